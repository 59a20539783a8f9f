"""Latency at the leader while a node that lost its disk is sent a checkpoint, beside calm windows.

A round: calm windows; a follower is killed, its directory emptied, the leader's log cut behind a
checkpoint; the follower joins anew, and windows go on until the leader says it has sent its own.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field

from . import clusters, machine, main as perf_run, record, resp, servers
from .cluster_cells import Q3
from .cluster_session import FAILURES
from .session import Session

WITHIN_S = 120
CALM_WINDOWS = 5
# What no process is charged for, see README.md, is some 0.25 of a core for these writes.
QUIET_SHARE = 0.33


def parse(arguments):
    parser = argparse.ArgumentParser(prog="perf/snapshot", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", dest="pairs", metavar="ROUNDS", type=int, default=5)
    perf_run.add_common(parser.add_argument)
    parser.set_defaults(
        keys=1_000_000, value_bytes=200, seconds=1.0, placement="none", quiet_share=QUIET_SHARE,
        patience=0.0, retries=0, http_connections=1,
    )
    return parser, parser.parse_args(arguments)


def main(arguments):
    parser, options = parse(arguments)
    perf_run.check_cpus(parser, options, of_clusters=True)

    def make(_options, programs, generator):
        return SnapshotSession(*perf_run.shared(options, generator), programs)

    def put(programs, running, stopped):
        told = {
            "open loop": f"{running.rate} SET/s at the leader, half of what {options.connections} "
            "connections reach",
            **perf_run.shared_pinning(options),
        }
        command = " ".join(["perf/snapshot", *arguments])
        facts = perf_run.facts_of(options, programs, told, command, stopped)
        name = perf_run.record_name(options, "snapshot")
        text = markdown(name, facts, running)
        if options.no_record:
            print(text)
            return
        rounds = [vars(each) for each in running.results]
        raw = {"facts": facts, "started": running.started_lines, "rounds": rounds}
        print(record.write_both(perf_run.records(), name, text, raw))

    return perf_run.carry_out(
        "perf/snapshot", options, ["quorate"], make, range(options.pairs), put
    )


@dataclass
class Round:
    """Its windows: calm, and wholly within the sending of the checkpoint."""

    sync_us: float
    calm: list = field(default_factory=list)
    sending: list = field(default_factory=list)
    took_s: float = None  # from the end of the calm until the node was a voter again


class SnapshotSession(Session):
    """Rounds on one cluster; each is in `results` from its beginning."""

    def __init__(self, settings, cluster_settings, programs):
        super().__init__(settings, programs)
        self.cluster_settings = cluster_settings
        self.cluster = None
        self.rate = None

    def measure(self, rounds):
        self.cluster = clusters.start(Q3, perf_run.by_name(self.programs), self.cluster_settings)
        try:
            for at, node in enumerate(self.cluster.nodes):
                self._say_started(f"node {at}", node)
            tools, target = self.settings.tools, self._leader()
            tools.preload(target)
            self.rate = int(tools.closed(target, "set", 1)["rps"] / 2)
            for _ in rounds:
                self._round()
        except FAILURES as failure:
            if self.cluster.alive():
                raise
            tail = self.cluster.log_tail()
            raise servers.ServerFailed(f"{failure} (a node ended: {tail})") from failure
        finally:
            self.cluster.end()

    def _round(self):
        now = Round(round(machine.sync_us(self.settings.scratch), 1))
        self.results.append(now)
        leader = self._leader()
        for _ in range(CALM_WINDOWS):
            now.calm.append(self._window(leader))
        began = time.monotonic()
        self._rejoin(leader, now.sending)
        now.took_s = round(time.monotonic() - began, 1)
        print(f"round {len(self.results)}: {len(now.sending)} windows while sending", file=sys.stderr)

    def _leader(self):
        return self.cluster.target("leader", Q3)

    def _window(self, leader):
        run, _ = self._judged(leader, lambda: self.settings.tools.open(leader, "set", self.rate))
        return run

    def _say_started(self, who, node):
        self.started_lines[f"{Q3}, {who}"] = " ".join(map(str, node.command))

    def _rejoin(self, leader, windows):
        """Has the last node lose its disk and join anew; adds the windows that lie wholly within the
        sending of the checkpoint to it."""
        nodes, peer_ports, settings = self.cluster.nodes, self.cluster.peer_ports, self.cluster_settings
        nodes[-1].process.kill()
        nodes[-1].end()
        lost = nodes.pop()
        self._cut_log(leader.port)
        before = sent(leader.port)
        ports = (lost.port, peer_ports[-1])
        # The kernel may hold them for a moment after their process.
        self._await("its ports are free", lambda: all(map(machine.is_free, ports)))
        among = ["--join", clusters.member(leader.port, peer_ports[0])]
        line = clusters.quorate_line(settings, len(nodes), *ports, among)
        joining = servers.launch(lost.program, lost.port, line, settings.cores, settings.scratch)
        nodes.append(joining)
        self._say_started("the node that joined anew", joining)

        def is_sent():
            told = self._window(leader)
            if sent(leader.port) != before:
                return True
            windows.append(told)
            return False

        # With few keys it has all it needs, and a vote, before the first look.
        self._await("the node joins", lambda: learners(leader.port) or sent(leader.port) != before)
        self._await("the checkpoint is sent", is_sent)
        self._await("it is a voter", self.cluster.settled)

    def _cut_log(self, port):
        """Has the leader's log begin behind a checkpoint of what it has now."""
        wanted = int(resp.info(port, "raft")["raft_last_index"])
        # Refused while one is written that was due.
        self._await(
            "a checkpoint is written", lambda: resp.ask(port, "RAFT", "SNAPSHOT", timeout_s=WITHIN_S)
        )

        def is_cut():
            resp.ask(port, "SET", "behind", "it")
            return int(resp.info(port, "raft")["raft_purged_index"]) >= wanted

        self._await("the log is cut", is_cut)

    def _await(self, what, is_so):
        """Waits until `is_so()`, as long as the nodes live; no answer, or a refusal, is a no."""
        deadline, said = time.monotonic() + WITHIN_S, ""
        while True:
            try:
                if is_so():
                    return
            except (OSError, resp.Refused) as failure:
                said = f"; at last: {failure}"
            if not self.cluster.alive() or time.monotonic() > deadline:
                raise servers.ServerFailed(f"waited in vain: {what}{said}")
            time.sleep(0.05)


def sent(port):
    return int(resp.info(port, "raft")["raft_snapshots_sent"])


def learners(port):
    return resp.info(port, "raft")["raft_learners"]


def markdown(name, facts, running):
    lines = record.heading(name, facts, running)
    for what in ("calm", "sending"):
        windows = [window for each in running.results for window in getattr(each, what)]
        noisy = sum(window["noisy"] for window in windows)
        others = record.percent(median(window["others_share"] for window in windows))
        lines.append(f"- noisy windows, {what}: {noisy} of {len(windows)}; others' CPU: {others}")
    lines += ["", "What a leader's clients feel while it sends a checkpoint. Latencies are medians"]
    lines += ["over windows, others' CPU is of one core.", ""]
    lines += record.table_head([
        "round", "windows while sending", "p50 ms, calm", "sending", "p99 ms, calm", "sending",
        "p99, ratio", "s until a voter again", "sync us",
    ])
    ratios = []
    for at, each in enumerate(running.results):
        p50, p99 = (
            [quantile(windows, which) for windows in (each.calm, each.sending)]
            for which in ("p50", "p99")
        )
        ratio = p99[1] / p99[0] if each.sending else None
        if ratio is not None:
            ratios.append(ratio)
        told = [record.number(value, 2) for value in (*p50, *p99, ratio)]
        took = record.number(each.took_s, 1)
        lines.append(record.row([at + 1, len(each.sending), *told, took, each.sync_us]))
    middle = record.number(median(ratios), 2) or "unknown"
    lines += ["", f"p99 while sending to p99 calm, median of rounds: {middle} (wanted: at most 2)."]
    return "\n".join(lines) + "\n"


def quantile(windows, name):
    """Milliseconds: the median over windows; None where there are none."""
    return median(window["latency_us"][name] / 1000 for window in windows)


def median(values):
    values = list(values)
    return statistics.median(values) if values else None
