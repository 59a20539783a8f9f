"""Tests of what becomes of a run in which a cluster fails; `runner.tests` runs them too."""

import io
import sys
import unittest
from unittest import mock

from . import cluster_cells, cluster_record, cluster_session, clusters, loads, machine, servers
from .cluster_session import ClusterSession, ClusterSettings
from .cluster_record_tests import run
from .session import Settings


class FakeCluster:
    """Does what is asked until `fails` is set; remembers that it was ended."""

    speaks_resp = True

    def __init__(self, name):
        self.name, self.fails, self.dead, self.ended = name, None, False, 0
        self.nodes = [mock.Mock(command=[name])]

    def target(self, place, name):
        if self.fails is not None:
            raise self.fails
        return mock.Mock(port=1, cpu_seconds=lambda: 0.0, load=name)

    def cpu_seconds(self):
        return 0.0

    def alive(self):
        return not self.dead

    def log_tail(self):
        return "out of memory"

    def end(self):
        self.ended += 1


class FakeTools(loads.Tools):
    """Every load is done at once; `failing` maps what is loaded to why that fails."""

    failing = {}

    def load(self, server, *_arguments):
        failure = self.failing.get(server.load)
        if failure is not None:
            raise failure
        return {**run(1000), "client_cpu_seconds": 0.0}

    closed = etcd = preload = load

    def memory_ns(self):
        return 100.0


class Failures(unittest.TestCase):
    """A cluster that fails is ended and told, and the others are measured nevertheless."""

    def setUp(self):
        self.clusters, FakeTools.failing = {}, {}
        for target, name, value in (
            (machine, "wait_until_quiet", lambda *_limits: 0.0),
            (machine, "sync_us", lambda _directory: 100.0),
            (clusters, "start", self.start),
            (cluster_session, "IDLE_S", 0.0),
            (sys, "stderr", io.StringIO()),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def start(self, name, _programs, _settings):
        return self.clusters.setdefault(name, FakeCluster(name))

    def measure(self, rounds=3):
        """Two cells of a lane each on the clusters a and b."""
        lanes = tuple(cluster_cells.Lane(name, name, "closed", "set") for name in ("a", "b"))
        of_two = [cluster_cells.ClusterCell(name, 1, lanes) for name in ("one", "two")]
        settings = Settings(rounds, 9.0, 0.0, 0, 0, "/tmp", FakeTools("", "0", 0.1, 50, 1, 1))
        running = ClusterSession(settings, ClusterSettings("0,1", "none", "/tmp", 1), {})
        running.measure(of_two)
        self.assertEqual([each.ended for each in self.clusters.values()], [1] * len(self.clusters))
        for each in running.results:
            self.assertEqual([done["rps"] for done in each.runs["b"]], [1000] * rounds)
        return running, cluster_record.markdown("x", {}, running)

    def failed(self, text):
        return text.partition("## Failed\n\n")[2].splitlines()

    def test_nothing_fails(self):
        _, text = self.measure()
        self.assertEqual(self.failed(text), [])

    def test_a_cluster_that_does_not_start(self):
        def start(name, *more):
            if name == "a":
                raise failure
            return self.start(name, *more)

        for failure in (servers.ServerFailed("no word"), ValueError("none of the CPUs")):
            with mock.patch.object(clusters, "start", start):
                running, text = self.measure()
            self.assertEqual(list(running.idle_shares), ["b"])
            told = [f"- {cell},P=1, a: {failure}" for cell in ("one", "two")]
            self.assertEqual(self.failed(text), told)
            self.clusters.clear()

    def test_a_cluster_that_cannot_be_loaded_is_ended_before_anything_is_measured(self):
        FakeTools.failing["a"] = loads.LoadFailed("-NOPERM")
        running, text = self.measure()
        self.assertEqual(list(running.idle_shares), ["b"])
        self.assertEqual(self.failed(text), ["- one,P=1, a: -NOPERM", "- two,P=1, a: -NOPERM"])

    def test_a_cluster_that_refuses_in_the_middle_is_ended_and_told_in_every_cell(self):
        with mock.patch.object(FakeTools, "memory_ns", self.after_rounds(1, self.refuse)):
            running, text = self.measure()
        self.assertEqual([run and run["rps"] for run in running.results[0].runs["a"]], [1000, None, None])
        self.assertEqual(running.results[1].runs["a"], [None] * 3)
        self.assertEqual(
            self.failed(text), ["- one,P=1, a: -CLUSTERDOWN", "- two,P=1, a: -CLUSTERDOWN"]
        )

    def test_a_cluster_that_died_idle_is_ended_before_the_look(self):
        def preload(self_, server, *more):
            # The other one is loaded last.
            self.clusters["a"].dead = server.load == "b"
            return self_.load(server, *more)

        with mock.patch.object(FakeTools, "preload", preload):
            running, text = self.measure()
        self.assertEqual(list(running.idle_shares), ["b"])
        told = "a: it did not outlive the loading (a node ended: out of memory)"
        self.assertEqual(self.failed(text), [f"- one,P=1, {told}", f"- two,P=1, {told}"])

    def test_the_bound_of_noise_has_the_idle_share_of_those_that_run(self):
        running = ClusterSession(Settings(1, 0.08, 0.0, 0, 0, "/tmp", None), None, {})
        running.clusters = {name: FakeCluster(name) for name in "abc"}
        self.assertAlmostEqual(running._quiet_share(), 0.08)
        running.idle_shares = {"a": 0.05, "b": 0.03, "c": 0.01}
        self.assertAlmostEqual(running._quiet_share(), 0.17)
        running.clusters["a"].dead = True
        self.assertAlmostEqual(running._quiet_share(), 0.12)
        running._give_up("b", "refused")
        self.assertAlmostEqual(running._quiet_share(), 0.09)

    def test_a_load_that_fails_is_one_cells_where_the_nodes_live(self):
        def fail_once(self_, server, *more):
            if server.load == "a" and not told:
                told.append(True)
                raise loads.LoadFailed("-UNCERTAIN")
            return self_.load(server, *more)

        told = []
        with mock.patch.object(FakeTools, "closed", fail_once):
            _, text = self.measure()
        self.assertEqual(self.failed(text), ["- one,P=1, a: -UNCERTAIN"])

    def test_a_node_that_died_under_load_is_told_with_its_last_words(self):
        def die(self_, server, *more):
            if server.load == "a":
                self.clusters["a"].dead = True
                raise loads.LoadFailed("closed")
            return self_.load(server, *more)

        with mock.patch.object(FakeTools, "closed", die):
            _, text = self.measure()
        told = "a: closed (a node ended: out of memory)"
        self.assertEqual(self.failed(text), [f"- one,P=1, {told}", f"- two,P=1, {told}"])

    def refuse(self):
        self.clusters["a"].fails = servers.ServerFailed("-CLUSTERDOWN")

    def after_rounds(self, rounds, happens):
        """A memory probe, taken at the start of each round, behind whose `rounds` something
        `happens`."""
        seen = []

        def memory_ns(_tools):
            seen.append(1)
            if len(seen) == rounds + 1:
                happens()
            return 100.0

        return memory_ns


if __name__ == "__main__":
    unittest.main()
