"""Tests of the rounds of `perf/snapshot`, with cluster and load left out; `runner.tests` runs them
too."""

import contextlib
import io
import json
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from . import cluster_session_tests, clusters, loads, machine, main as perf_run, resp, servers
from . import snapshot
from .cluster_session import ClusterSettings
from .session import Settings
from .snapshot import Round, SnapshotSession


def window(p99=2000.0, **more):
    return {"rps": 1000, "client_cpu_seconds": 0.0, "latency_us": {"p50": 1000.0, "p99": p99}, **more}


class FakeCluster(cluster_session_tests.FakeCluster):
    """Three nodes; the first leads, has a log of ten entries and does at once what it is asked."""

    def __init__(self):
        super().__init__("quorate-3")
        self.nodes = [self.node(port) for port in (1, 2, 3)]
        self.peer_ports = [11, 12, 13]
        self.never_sends = False
        self.refusals = ["Background save already in progress"]
        self.purged = self.sent = self.windows = self.leaders = 0
        self.lines = []

    def node(self, port):
        return mock.Mock(port=port, command=["quorate", port])

    def target(self, place, name):
        self.leaders += 1
        return super().target(place, name)

    def settled(self):
        return len(self.nodes) == 3

    def info(self, _port, _section):
        return {
            "raft_last_index": "10", "raft_purged_index": str(self.purged),
            "raft_snapshots_sent": str(self.sent), "raft_learners": "3" if self.joining() else "",
        }

    def ask(self, _port, *words, **_more):
        if words == ("RAFT", "SNAPSHOT"):
            if self.refusals:
                raise resp.Refused(self.refusals.pop())
            self.purged = 10
        return "OK"

    def launch(self, _program, port, line, _cores, _scratch):
        self.lines.append(" ".join(map(str, line("/fresh"))))
        self.windows_left = 3
        return self.node(port)

    def joining(self):
        return len(self.lines) > self.sent

    def open(self, *_load):
        """What a window gives; the third since a node joined ends behind the checkpoint."""
        self.windows += 1
        if self.joining() and not self.never_sends:
            self.windows_left -= 1
            self.sent += self.windows_left == 0
        return window()


class Rounds(unittest.TestCase):
    def setUp(self):
        self.cluster = FakeCluster()
        for target, name, value in (
            (clusters, "start", lambda *_given: self.cluster),
            (servers, "launch", self.cluster.launch),
            (resp, "info", self.cluster.info),
            (resp, "ask", self.cluster.ask),
            (machine, "sync_us", lambda _directory: 100.0),
            (machine, "is_free", lambda _port: True),
            (machine, "busy_and_steal_seconds", lambda: (0.0, 0.0)),
            (time, "sleep", lambda _seconds: None),
            (sys, "stderr", io.StringIO()),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def session(self):
        tools = mock.Mock(open=self.cluster.open, closed=lambda *_load: window())
        given = ClusterSettings("0,1", "0,0,1", "/tmp", 1, ["--more"])
        return SnapshotSession(Settings(2, 0.33, 0.0, 0, 0, "/tmp", tools), given, [])

    def fails(self, failure=servers.ServerFailed):
        running = self.session()
        with self.assertRaises(failure) as failed:
            running.measure(range(2))
        self.assertEqual(self.cluster.ended, 1)
        return running, str(failed.exception)

    def test_a_round_has_calm_windows_and_those_before_the_checkpoint_was_sent(self):
        running = self.session()
        lost = self.cluster.nodes[-1]
        running.measure(range(2))
        lost.process.kill.assert_called_once()
        lost.end.assert_called_once()
        self.assertEqual([len(each.calm) for each in running.results], [5, 5])
        self.assertEqual([len(each.sending) for each in running.results], [2, 2])
        self.assertEqual([each["noisy"] for each in running.results[0].sending], [False] * 2)
        # Once to load it, and at the start of each round.
        self.assertEqual((self.cluster.leaders, self.cluster.ended), (3, 1))
        line = (
            "--port 3 --peer-port 13 --dir /fresh --cores 1 --durability high --core-list 1 "
            "--join 127.0.0.1:1@11 --more"
        )
        self.assertEqual(self.cluster.lines, [line] * 2)
        self.assertEqual(running.started_lines["quorate-3, node 1"], "quorate 2")
        self.assertEqual(len(running.started_lines), 4)

    def test_a_checkpoint_that_was_sent_before_anybody_looked_has_no_windows(self):
        def launch(*given):
            self.cluster.sent += 1
            return self.cluster.launch(*given)

        with mock.patch.object(servers, "launch", launch):
            running = self.session()
            running.measure(range(1))
        self.assertEqual(running.results[0].sending, [])
        self.assertIn("| 1 | 0 |", snapshot.markdown("x", {}, running))

    def test_one_that_is_never_sent_is_not_waited_for_without_end(self):
        self.cluster.never_sends = True
        clock = iter(range(0, 100_000, 50))
        with mock.patch.object(time, "monotonic", lambda: next(clock)):
            running, why = self.fails()
        self.assertEqual(why, "waited in vain: the checkpoint is sent")
        self.assertGreater(len(running.results[0].sending), 0)
        self.assertEqual(len(running.results[0].calm), 5)

    def test_a_refusal_to_the_end_is_told(self):
        self.cluster.refusals = ["no"] * 10_000
        clock = iter(range(100_000))
        with mock.patch.object(time, "monotonic", lambda: next(clock)):
            _, why = self.fails()
        self.assertEqual(why, "waited in vain: a checkpoint is written; at last: no")

    def test_a_node_that_ended_is_told_with_its_last_words(self):
        def info(*given):
            self.cluster.dead |= self.cluster.joining()
            return {**self.cluster.info(*given), "raft_learners": ""}

        with mock.patch.object(resp, "info", info):
            running, why = self.fails()
        self.assertEqual(why, "waited in vain: the node joins (a node ended: out of memory)")
        self.assertEqual(len(running.results[0].calm), 5)

    def test_a_load_that_failed_is_told_as_it_is_where_the_nodes_live(self):
        with mock.patch.object(self.cluster, "open", side_effect=loads.LoadFailed("overloaded")):
            _, why = self.fails(loads.LoadFailed)
        self.assertEqual(why, "overloaded")


class Record(unittest.TestCase):
    def running(self):
        calm = [window(2000.0, noisy=False, others_share=0.2)] * 3
        sending = [window(p99, noisy=p99 > 3000, others_share=0.3) for p99 in (3000.0, 5000.0)]
        running = SnapshotSession(None, None, [])
        running.rate = 500
        running.started_lines["quorate-3, node 0"] = "quorate --port 1"
        running.results = [
            Round(100.0, calm, sending, 12.34), Round(110.0, calm, [], 1.0), Round(120.0),
        ]
        return running

    def test_a_round_that_was_cut_short_has_what_it_has(self):
        text = snapshot.markdown("x", {"cpu": "?"}, self.running())
        self.assertIn("- cpu: ?\n- quorate-3, node 0: `quorate --port 1`\n", text)
        self.assertIn("- noisy windows, calm: 0 of 6; others' CPU: 20 %", text)
        self.assertIn("- noisy windows, sending: 1 of 2; others' CPU: 30 %", text)
        self.assertIn("| 1 | 2 | 1.00 | 1.00 | 2.00 | 4.00 | 2.00 | 12.3 | 100.0 |", text)
        self.assertIn("| 2 | 0 | 1.00 |  | 2.00 |  |  | 1.0 | 110.0 |", text)
        self.assertIn("| 3 | 0 |  |  |  |  |  |  | 120.0 |", text)
        self.assertIn("median of rounds: 2.00 (", text)
        self.assertEqual(len({line.count(" |") for line in text.splitlines() if line[:1] == "|"}), 1)

    def test_what_was_measured_before_a_failure_is_written_with_every_window(self):
        def measure(running, rounds):
            self.assertEqual(list(rounds), [0, 1, 2])
            running.results, running.rate = self.running().results, 500
            raise servers.ServerFailed("gone")

        program = servers.Program("quorate", "quorate 1", Path("/nonexistent"), None)
        with tempfile.TemporaryDirectory() as directory, mock.patch.multiple(
            perf_run, program=lambda *_given: program, build_generator=str, signal=mock.DEFAULT,
            records=lambda: Path(directory), check_cpus=mock.DEFAULT,
        ), mock.patch.object(SnapshotSession, "measure", measure):
            said = contextlib.redirect_stdout(io.StringIO())
            with said as printed, contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(snapshot.main(["--rounds", "3", "--name", "x"]), 1)
            path = Path(printed.getvalue().strip())
            text, raw = path.read_text(), json.loads(path.with_suffix(".json").read_text())
        self.assertIn("- INCOMPLETE: gone\n", text)
        self.assertIn("- load: 1000000 random keys, 200-byte values, 1.0 s windows, 3 rounds", text)
        self.assertEqual([len(each["calm"]) for each in raw["rounds"]], [3, 3, 0])
        self.assertEqual(raw["rounds"][0]["sending"][1]["latency_us"]["p99"], 5000.0)


if __name__ == "__main__":
    unittest.main()
