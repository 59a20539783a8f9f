"""Rounds over clusters: each round of a cell runs each of its lanes once, in the same order."""

import statistics
import sys
import time
from dataclasses import dataclass, field, replace

from . import clusters, machine, servers
from .cluster_cells import Q3
from .loads import LoadFailed
from .session import CellResult, Session

# What a cell, or a cluster, may fail of while the others go on.
FAILURES = (LoadFailed, OSError, servers.ServerFailed)
# In flight while keys are loaded: etcd gathers what comes together into one sync.
PRELOAD_CALLS = 16
# After loading keys, clusters are left alone so long before their idle CPU time is looked at.
SETTLE_S = 5.0
IDLE_S = 3.0


@dataclass
class ClusterSettings:
    """How clusters are started and etcd is called."""

    cores: str  # that every server and load may use
    placement: str  # of quorate's executors on them, the leader's first; or none
    scratch: str
    http_connections: int  # that calls to etcd share
    quorate_arguments: list = field(default_factory=list)


class ClusterSession(Session):
    """Measures cells of lanes. All clusters run from beginning to end; one is loaded at a time."""

    def __init__(self, settings, cluster_settings, programs):
        super().__init__(settings, list(programs.values()))
        self.cluster_settings = cluster_settings
        self.by_name = programs
        self.clusters = {}
        self.missing = {}
        self.seen_rps = {}
        self.idle_shares = {}  # of one core, by cluster

    def measure(self, cells):
        try:
            for name in dict.fromkeys(lane.cluster for cell in cells for lane in cell.lanes):
                self._start_cluster(name)
            self._look_at_idle_clusters()
            for cell in cells:
                self._cluster_cell(cell)
        finally:
            servers.end_all(self.clusters.values())
        return self.results

    def _start_cluster(self, name):
        try:
            cluster = clusters.start(name, self.by_name, self.cluster_settings)
            self.clusters[name] = cluster
            for at, node in enumerate(cluster.nodes):
                self.started_lines[f"{name}, node {at}"] = " ".join(map(str, node.command))
            self._preload(cluster)
        except (*FAILURES, ValueError) as failure:  # a placement of its own may not suit our CPUs
            self._give_up(name, failure)

    def _give_up(self, name, failure):
        """Ends a cluster that failed; its lanes fail from here on, and why is returned."""
        why, cluster = str(failure), self.clusters.get(name)
        if cluster is not None:
            if not cluster.alive():
                why += f" (a node ended: {cluster.log_tail()})"
            cluster.end()
            del self.clusters[name]
        print(f"perf/run: {name}: {why}", file=sys.stderr)
        self.missing[name] = why
        return why

    def _look_at_idle_clusters(self):
        """How much CPU each takes while nothing is asked of it; the dead would blur the look."""
        for name in [name for name, each in self.clusters.items() if not each.alive()]:
            self._give_up(name, "it did not outlive the loading")
        machine.wait_until_quiet(self.settings.quiet_share, SETTLE_S)
        began = time.monotonic()
        before = {name: each.cpu_seconds() for name, each in self.clusters.items()}
        time.sleep(IDLE_S)
        lasted = time.monotonic() - began
        for name, cpu in before.items():
            spent = self.clusters[name].cpu_seconds() - cpu
            self.idle_shares[name] = round(spent / lasted, 4)

    def _quiet_share(self):
        """Heartbeats of clusters that wait for their turn are no noise: they are there in each run
        for as long as those clusters are."""
        alive = [name for name, each in self.clusters.items() if each.alive()]
        return self.settings.quiet_share + sum(self.idle_shares.get(name, 0.0) for name in alive)

    def _preload(self, cluster):
        tools, target = self.settings.tools, cluster.target("leader", cluster.name)
        if cluster.speaks_resp:
            tools.preload(target)
        else:
            tools.etcd(target, "preload", PRELOAD_CALLS, 1)

    def _cluster_cell(self, cell):
        result = CellResult(cell, {lane.label: [] for lane in cell.lanes})
        self.results.append(result)
        self.patience_left_s = self.settings.patience_s
        for _ in range(self.settings.pairs):
            result.memory_ns.append(self.settings.tools.memory_ns())
            result.sync_us.append(round(machine.sync_us(self.settings.scratch), 1))
            for lane in cell.lanes:
                result.runs[lane.label].append(self._lane(cell, lane, result))
        say(result)

    def _lane(self, cell, lane, result):
        """One run of a lane, repeated while noisy; None when it fails, with the cause kept. Where
        it was not the load alone that failed, its cluster is ended."""
        if lane.cluster in self.missing:
            result.failures.setdefault(lane.label, self.missing[lane.cluster])
        if lane.label in result.failures:
            return None
        cluster = self.clusters[lane.cluster]
        try:
            target = cluster.target(lane.place, lane.label)
            run = self._in_quiet(target, lambda: self._lane_load(cell, lane, target))
            after = cluster.target(lane.place, lane.label)
        except FAILURES as failure:
            why = str(failure)
            if isinstance(failure, servers.ServerFailed) or not cluster.alive():
                why = self._give_up(lane.cluster, failure)
            result.failures[lane.label] = why
            return None
        # What ran against a node in another role than its lane's says nothing of the lane.
        run["leader_changed"] = after.port != target.port
        run["noisy"] |= run["leader_changed"]
        self.seen_rps.setdefault((cell.label, lane.label), []).append(run["rps"])
        return run

    def _lane_load(self, cell, lane, target):
        tools = replace(self.settings.tools, connections=lane.connections)
        if lane.load == "etcd":
            http = min(lane.connections, self.cluster_settings.http_connections)
            return tools.etcd(target, lane.command, lane.connections, http)
        if lane.load == "closed":
            return tools.closed(target, lane.command, lane.pipeline)
        if lane.load == "open":
            return tools.open(target, lane.command, self._half_the_peak())
        # As many requests as filled the window so far.
        rps = statistics.median(self.seen_rps.get((cell.label, lane.label), [lane.rps]))
        requests = max(200, int(rps * tools.seconds))
        run = tools.benchmark(target, lane.command, lane.pipeline, requests, random_keys=True)
        run["server_cpu_ns_per_reply"] = run["server_cpu_seconds"] / requests * 1e9
        run["client_cpu_ns_per_reply"] = run["client_cpu_seconds"] / requests * 1e9
        return run

    def _half_the_peak(self):
        """Half of what quorate's leader did at P=1, in this session or in a run of its own."""
        if "set" not in self.peaks:
            measured = [each for each in self.results if each.cell.label == "cluster-set,P=1"]
            peak = measured[0].median(Q3, "rps") if measured else None
            if peak is None:
                target = self.clusters[Q3].target("leader", Q3)
                peak = self.settings.tools.closed(target, "set", 1)["rps"]
            self.peaks["set"] = peak
        return round(self.peaks["set"] / 2, -2)


def say(result):
    """A line of progress for each lane, on stderr."""
    base = next(iter(result.runs))
    for name in result.runs:
        rps = result.median(name, "rps")
        if rps is None:
            said = f"failed: {result.failures.get(name)}"
        else:
            ratios = result.ratios(base, name)
            said = f"{rps:,.0f}/s" + (f"  x{statistics.median(ratios):.2f}" if ratios else "")
        print(f"{result.cell.label:28} {name:28} {said}", file=sys.stderr, flush=True)
