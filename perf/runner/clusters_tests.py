"""Tests of how clusters are started, ended and asked; `runner.tests` runs them too."""

import contextlib
import io
import signal
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from . import cluster_cells, clusters, machine, main, resp, servers
from .cluster_session import ClusterSettings


class Resp(unittest.TestCase):
    def parse(self, text):
        return resp.parse(io.BytesIO(text))

    def test_replies_are_read(self):
        self.assertEqual(self.parse(b"*3\r\n$2\r\nab\r\n:7\r\n$-1\r\n"), ["ab", 7, None])
        self.assertEqual(self.parse(b"+OK\r\n"), "OK")
        with self.assertRaises(resp.Refused):
            self.parse(b"-ERR no\r\n")
        with self.assertRaises(ConnectionError):
            self.parse(b"")


class Starting(unittest.TestCase):
    def test_a_placement_names_a_cpu_for_each_node_or_none(self):
        self.assertEqual(clusters.placement_of("0,1,1", "0,1"), ["0", "1", "1"])
        self.assertEqual(clusters.placement_of("4,5,4", "5,4"), ["4", "5", "4"])
        self.assertEqual(clusters.placement_of("none", "0,1"), [None] * 3)
        for each in cluster_cells.PLACEMENTS:
            clusters.placement_of(each, "0,1")

    def test_a_placement_that_pins_nothing_is_refused_before_anything_is_built(self):
        for placement, why in (
            ("0,0", "2 CPUs for 3 nodes"),
            ("0,0,0,0", "4 CPUs for 3 nodes"),
            ("0,0,1023", "'1023' is none of the CPUs that servers may use (0,0)"),
            ("", "'' is none of the CPUs"),
            ("0,a,0", "'a' is none of the CPUs"),
        ):
            said = self.refused("--placement", placement, "--load-core", "0")
            self.assertIn(f"--placement {placement}: ", said)
            self.assertIn(why, said)
        said = self.refused("--load-core", "99999")
        self.assertIn("--load-core: CPU 99999 is none of those allowed", said)

    def refused(self, *options):
        said = io.StringIO()
        building = mock.patch.object(main, "build_generator", self.fail)
        allowed = mock.patch.object(machine.os, "sched_getaffinity", lambda _process: {0, 1})
        with contextlib.redirect_stderr(said), building, allowed, self.assertRaises(SystemExit):
            main.main(["--cells", "cluster", "--quorate", "/nonexistent", *options])
        return " ".join(said.getvalue().split())

    def test_only_a_placement_pins(self):
        lines = {}

        def launch(program, port, arguments, cores, scratch):
            lines[len(lines)] = list(map(str, arguments("/tmp/x")))
            raise OSError("enough")

        for placement in ("1,0,0", "none"):
            given = ClusterSettings("0,1", placement, "/tmp", 1, ["--more"])
            with mock.patch.object(servers, "launch", launch), self.assertRaises(OSError):
                clusters.start_quorate(None, given, 3)
        self.assertIn("--core-list 1 --cluster-peers", " ".join(lines[0]))
        self.assertNotIn("--core-list", lines[1])
        for line in lines.values():
            self.assertIn("--cores 1 --durability high", " ".join(line))
            self.assertEqual(line[-1], "--more")

    def test_what_started_is_ended_when_the_wait_is_cut_short(self):
        class Started:
            ended = 0

            def alive(self):
                return True

            def end(self):
                self.ended += 1

        def interrupt():
            raise KeyboardInterrupt

        server = Started()
        with self.assertRaises(KeyboardInterrupt):
            servers.wait_for([server], interrupt, "x")
        self.assertEqual(server.ended, 1)

    def test_nodes_before_one_that_does_not_start_are_ended(self):
        started = []

        def launch(program, port, arguments, cores, scratch):
            if len(started) == 2:
                raise failure
            started.append(mock.Mock(port=port))
            return started[-1]

        settings = ClusterSettings("0,1", "none", "/tmp", 1)
        for failure in (OSError("no such program"), KeyboardInterrupt()):
            for start in (
                lambda program: clusters.start_quorate(program, settings, 3),
                lambda program: clusters.start_etcd(program, settings),
                lambda program: clusters.start_redis(program, settings, "high", 2),
            ):
                started.clear()
                with mock.patch.object(servers, "launch", launch):
                    with self.assertRaises(type(failure)):
                        start(servers.Program("x", "", None, None))
                self.assertEqual([each.end.call_count for each in started], [1, 1])

    def test_all_are_ended_though_one_cannot_be(self):
        nodes = [mock.Mock() for _ in range(3)]
        nodes[1].end.side_effect = KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            clusters.Etcd("etcd-3", nodes).end()
        self.assertEqual([each.end.call_count for each in nodes], [1, 1, 1])

    def test_a_program_that_cannot_run_leaves_no_directory(self):
        program = servers.Program("x", "", Path("/nonexistent"), None)
        no_line = mock.Mock(side_effect=ValueError)
        for line, why in ((no_line, ValueError), (list, OSError), (list, KeyboardInterrupt)):
            with tempfile.TemporaryDirectory() as scratch:
                with mock.patch.object(servers.subprocess, "Popen", side_effect=why):
                    with self.assertRaises(why):
                        servers.launch(program, 1, lambda _directory: line(), "0", scratch)
                self.assertEqual(list(Path(scratch).iterdir()), [])

    def test_an_interrupt_while_a_server_ends_leaves_neither_it_nor_its_directory(self):
        with tempfile.TemporaryDirectory() as scratch:
            program = servers.Program("x", "", Path("/bin/sleep"), None)
            server = servers.launch(program, 1, lambda _directory: [60], "0", scratch)
            waits, wait = [KeyboardInterrupt, KeyboardInterrupt], server.process.wait

            def interrupted(timeout=None):
                if waits:
                    raise waits.pop()
                return wait(timeout)

            with mock.patch.multiple(server.process, wait=interrupted, terminate=mock.DEFAULT):
                with self.assertRaises(KeyboardInterrupt):
                    server.end()
            self.assertEqual(server.process.wait(5), -signal.SIGKILL)
            self.assertEqual(list(Path(scratch).iterdir()), [])

    def test_a_sync_is_timed_from_its_write_and_the_median_counts(self):
        now, written = [0.0], []
        took_us = iter((900, 200, 300))

        def pwrite(file, content, offset):
            written.append((file, len(content), offset))
            now[0] += 10e-6

        def fdatasync(file):
            self.assertEqual(written.pop(), (file, machine.SYNC_BYTES, 0))
            now[0] += next(took_us) * 1e-6

        disk = mock.patch.multiple(machine.os, pwrite=pwrite, fdatasync=fdatasync)
        clock = mock.patch.object(machine.time, "perf_counter", lambda: now[0])
        with tempfile.TemporaryDirectory() as directory, disk, clock:
            self.assertAlmostEqual(machine.sync_us(directory, times=3), 310)
        self.assertEqual(next(took_us, None), None)


class Leaders(unittest.TestCase):
    """The judgement of `INFO raft`, with the network left out."""

    def quorate(self, *said):
        class Node:
            def __init__(self, port):
                self.port = port

        made = clusters.Quorate("quorate-3", [Node(port) for port in (1, 2, 3)])
        answers = {port: dict(zip(("raft_leader_address", "raft_voters", "raft_node_id"), each))
                   for port, each in zip((1, 2, 3), said)}
        real, resp.info = resp.info, lambda port, _section: answers[port]
        self.addCleanup(setattr, resp, "info", real)
        return made

    def test_a_leader_is_one_that_all_name_among_three_voters(self):
        two = ("127.0.0.1:2", "1,2,3")
        cluster = self.quorate(two, two, two)
        self.assertTrue(cluster.settled())
        self.assertEqual(cluster.leader(), 1)

    def test_differing_answers_or_a_missing_voter_are_no_leader(self):
        two, one = ("127.0.0.1:2", "1,2,3"), ("127.0.0.1:1", "1,2,3")
        self.assertFalse(self.quorate(two, one, two).settled())
        self.assertFalse(self.quorate(two, two, ("127.0.0.1:2", "1,2")).settled())
        self.assertFalse(self.quorate(("", "1,2,3"), ("", "1,2,3"), ("", "1,2,3")).settled())

    def test_a_refusal_is_waited_out_at_the_start_and_fails_the_cluster_later(self):
        answers = (
            resp.Refused("NOAUTH"), ConnectionRefusedError("refused"), KeyError("slave0"),
            ValueError("no JSON"),
        )
        nodes = [mock.Mock(port=1)]
        for made in (
            clusters.Quorate("q", nodes), clusters.Etcd("e", nodes), clusters.Redis("r", nodes),
        ):
            for answer in answers:
                with mock.patch.object(resp, "info", side_effect=answer), mock.patch.object(
                    clusters.Etcd, "_status", side_effect=answer
                ):
                    self.assertFalse(made.settled())
                    with self.assertRaises(servers.ServerFailed) as failed:
                        made.target("leader", "x")
                self.assertIn(str(answer), str(failed.exception))

    def test_a_transfer_that_is_refused_is_told(self):
        two = ("127.0.0.1:2", "1,2,3", "7")
        cluster = self.quorate(two, two, two)
        refusing = mock.patch.object(resp, "ask", side_effect=resp.Refused("ERR unknown node"))
        # The deadline is set, one look is within it, the next one is not.
        seconds = mock.patch.object(clusters.time, "monotonic", side_effect=[0, 1, 99])
        with refusing, seconds, self.assertRaises(servers.ServerFailed) as failed:
            cluster.lead()
        self.assertIn("TRANSFER was answered: ERR unknown node", str(failed.exception))

    def test_a_replica_that_lost_its_master_is_no_leader(self):
        made = clusters.Redis("redis-wait", [mock.Mock(port=1), mock.Mock(port=2)])
        for line, settled in (
            ({"slave0": "ip=127.0.0.1,port=2,state=online"}, True),
            ({"slave0": "ip=127.0.0.1,port=2,state=wait_bgsave"}, False),
            ({}, False),
        ):
            with mock.patch.object(resp, "info", return_value=line):
                self.assertEqual(made.settled(), settled)


if __name__ == "__main__":
    unittest.main()
