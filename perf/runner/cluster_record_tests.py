"""Tests of the table, the goals and the record of clusters; `runner.tests` runs them too."""

import json
import tempfile
import unittest
from pathlib import Path

from . import cells, cluster_cells, cluster_record, clusters
from .cluster_session import ClusterSession
from .session import CellResult

RATES = {"quorate-3": 40_000, "etcd-3": 8_000, "redis": 105_000}


def run(rps, p50=1000.0, p99=2000.0):
    return {
        "rps": rps, "noisy": False, "leader_changed": False, "rate": rps,
        "latency_us": {"p50": p50, "p99": p99, "p99.9": p99, "max": p99},
        "send_lag_us": {"p99": 100.0},
        "server_cpu_ns_per_reply": 3000.0, "client_cpu_ns_per_reply": 1000.0,
    }


def cell(label):
    return next(each for each in cluster_cells.all_cells() if each.label == label)


def result(label, rates):
    """A cell whose lanes did `rates` in each of three rounds, what is not named 10,000/s."""
    chosen = cell(label)
    names = [lane.label for lane in chosen.lanes]
    return CellResult(chosen, {name: [run(rates.get(name, 10_000))] * 3 for name in names})


def session(*results):
    made = ClusterSession(None, None, {})
    made.results = list(results)
    return made


class ClusterCells(unittest.TestCase):
    def test_only_a_selection_that_names_clusters_takes_them(self):
        shown = cluster_cells.select("cluster")
        looks = cluster_cells.select("placement")
        self.assertCountEqual(shown + looks, cluster_cells.all_cells())
        self.assertEqual(cells.select("cluster"), [])
        self.assertEqual(cells.select("placement"), [])
        for other in ("", "all", "get", "set,P=16"):
            self.assertEqual(cluster_cells.select(other), [])
        chosen = [each.label for each in cluster_cells.select("cluster-set,P=16")]
        self.assertEqual(chosen, ["cluster-set,P=16"])

    def test_lanes_can_be_told_apart_and_goals_name_lanes(self):
        for each in cluster_cells.all_cells():
            labels = [lane.label for lane in each.lanes]
            self.assertEqual(len(labels), len(set(labels)), each.label)
            for goal in each.goals:
                self.assertIn(goal.subject, labels)
                self.assertEqual(goal.base_value is None, goal.base in labels)

    def test_every_lane_has_a_cluster_to_start_and_redis_benchmark_an_expectation(self):
        for each in cluster_cells.all_cells():
            for lane in each.lanes:
                self.assertIn(lane.cluster.split(" on ")[0], clusters.STARTERS)
                self.assertEqual(lane.load == "benchmark", lane.rps > 0, lane)


class Goals(unittest.TestCase):
    def test_a_rate_must_be_reached_and_a_latency_not_exceeded(self):
        measured = result("cluster-set,P=1", RATES)
        said = cluster_record.goals([measured])
        rate, latency, figure = said[2:5]
        self.assertIn("| at least 5 | 5.00 | met |", rate)
        self.assertIn("| at most 1 | 1.00 | met |", latency)
        # 40,000 of 28,000, in an hour in which redis-server does what it did then.
        self.assertIn("| at least 2.5 | 1.43 | MISSED | 1.43 |", figure)
        measured.runs["quorate-3"] = [run(39_999, p99=2001.0)] * 3
        rate, latency, _ = cluster_record.goals([measured])[2:5]
        self.assertIn("MISSED", rate)
        self.assertIn("MISSED", latency)

    def test_a_figure_of_another_hour_moves_with_redis_server(self):
        measured = result("cluster-set,P=1", {**RATES, "redis": 52_500})
        self.assertIn("| 2.86 |", cluster_record.goals([measured])[4])
        alone = result("cluster-get,P=16", {})
        self.assertIn("| 0.08 | MISSED |  |", cluster_record.goals([alone])[2])

    def test_a_peer_that_did_not_start_is_no_goal_met(self):
        measured = result("cluster-set,P=1", RATES)
        measured.runs["etcd-3"] = [None] * 3
        measured.failures["etcd-3"] = "etcd-server is not installed"
        text = cluster_record.markdown("x", {}, session(measured))
        self.assertEqual(text.count("no result"), 2)
        self.assertIn("| etcd-3 | quorate-perf put c=50 | failed |", text)
        self.assertIn("- cluster-set,P=1, etcd-3: etcd-server is not installed", text)


class Record(unittest.TestCase):
    def test_every_cell_has_its_table_and_every_run_is_kept(self):
        results = [result(each.label, RATES) for each in cluster_cells.all_cells()]
        with tempfile.TemporaryDirectory() as directory:
            path = cluster_record.write(Path(directory), "x", {"cpu": "?"}, session(*results))
            text, raw = path.read_text(), json.loads(path.with_suffix(".json").read_text())
        widths = set()
        for line in text.splitlines():
            if line.startswith("## "):
                widths = set()
            if line.startswith("| "):
                widths.add(line.count(" |"))
                self.assertEqual(len(widths), 1, line)
        for each in results:
            self.assertIn(f"## {each.cell.label}\n", text)
        self.assertEqual(len(raw["cells"]), len(results))
        self.assertEqual(len(raw["cells"][1]["runs"]["etcd-3"]), 3)
        # 3 us of 4 are the servers'.
        self.assertIn("| 25 % |", text)


if __name__ == "__main__":
    unittest.main()
