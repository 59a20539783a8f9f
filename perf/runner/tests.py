"""All tests of the runner: `python3 -m unittest runner.tests` in perf/. Here are those of single
servers' runs and of the machine."""

import contextlib
import io
import json
import os
import socket
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from . import cells, loads, machine, main, record, servers
from .session import CellResult, Session, Settings

CSV = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms",'
    '"p99_latency_ms","max_latency_ms"\n'
)
LPUSH = '"LPUSH (needed to benchmark LRANGE)","9.00","1","1","1","1","1","1"\n'
LRANGE = '"LRANGE_100 (first 100 elements)","71428.57","0.4","0.1","0.359","0.4","0.567","0.767"\n'


def load_tests(loader, own, _pattern):
    """Adds every `*_tests.py` beside this file."""
    here = Path(__file__).parent
    own.addTests(loader.discover(str(here), "*_tests.py", str(here.parent)))
    return own


def allowing(*cpus):
    """A machine on which this process may use just these CPUs."""
    return mock.patch.object(os, "sched_getaffinity", lambda _process: set(cpus))


def run(rps, noisy=False, **more):
    return {"rps": rps, "noisy": noisy, **more}


class CellSelection(unittest.TestCase):
    def test_names_and_depths_both_must_match(self):
        chosen = cells.select("get-server-bound,P=64")
        self.assertEqual([cell.label for cell in chosen], ["get-server-bound,P=64"])

    def test_the_default_holds_the_whole_table(self):
        chosen = {cell.label for cell in cells.select("")}
        for name, depths in cells.TARGETS.items():
            for depth in depths:
                self.assertIn(f"{name},P={depth}", chosen)
        self.assertIn("suite-mset,P=16", chosen)
        self.assertNotIn("mixed-server-bound,P=1", chosen)

    def test_a_group_has_one_durability(self):
        for cell in cells.all_cells():
            self.assertEqual(cell.durability == "high", cell.group == "high")


class BenchmarkOutput(unittest.TestCase):
    def test_the_last_row_counts(self):
        parsed = loads.parse_benchmark(CSV + LPUSH + LRANGE, 1.0)
        self.assertEqual(parsed["rps"], 71428.57)
        self.assertEqual(parsed["latency_us"]["p50"], 359.0)
        self.assertFalse(parsed["alone"])

    def test_no_row_is_a_failure(self):
        with self.assertRaises(loads.LoadFailed):
            loads.parse_benchmark(CSV, 1.0)


class Ratios(unittest.TestCase):
    def result(self, ours, theirs):
        return CellResult(cells.select("get-server-bound,P=1")[0], {"quorate": ours, "redis": theirs})

    def test_a_ratio_is_taken_inside_a_round(self):
        result = self.result([run(120), run(60), run(240)], [run(100), run(50), run(200)])
        self.assertEqual(result.ratios("quorate", "redis"), [1.2, 1.2, 1.2])
        self.assertIn("met", record.verdict(result, "quorate", "redis"))

    def test_noisy_rounds_are_left_out_where_enough_are_quiet(self):
        ours = [run(1, noisy=True), run(110), run(110), run(110)]
        theirs = [run(100)] * 4
        self.assertEqual(self.result(ours, theirs).ratios("quorate", "redis"), [1.1] * 3)
        self.assertIn("MISSED", record.verdict(self.result(ours, theirs), "quorate", "redis"))
        few = self.result(ours[:3], theirs[:3])
        self.assertEqual(len(few.ratios("quorate", "redis")), 3)

    def test_a_failed_run_has_no_ratio_and_is_said(self):
        result = self.result([None, None], [run(100), run(100)])
        result.failures["quorate"] = "the server sent -ERR"
        self.assertEqual(result.ratios("quorate", "redis"), [])
        session = Session(None, [])
        session.results = [result]
        text = record.markdown("x", {}, session, "redis")
        self.assertIn("Not reached: get-server-bound,P=1.", text)
        self.assertIn("quorate: the server sent -ERR", text)

    def test_what_is_written_is_read_and_computed_with(self):
        session = Session(None, [])
        session.results = [self.result([run(110)], [run(100)])]
        with tempfile.TemporaryDirectory() as directory:
            path = record.write(Path(directory), "x", {"cpu": "?"}, session, "redis")
            text, raw = path.read_text(), json.loads(path.with_suffix(".json").read_text())
        self.assertIn("| get-server-bound,P=1 | quorate | 1.10", text)
        self.assertEqual((raw["base"], raw["facts"]), ("redis", {"cpu": "?"}))
        (kept,) = raw["cells"]
        self.assertEqual((kept["cell"], kept["target"]), ("get-server-bound,P=1", 1.2))
        self.assertEqual(kept["runs"]["quorate"], [run(110)])

    def test_a_server_that_never_started_and_a_round_cut_short_are_borne(self):
        result = self.result([], [run(100), run(100)])
        self.assertEqual(result.rounds(), [0, 1])
        self.assertEqual(self.result([run(110)], [run(100), run(1)]).ratios("quorate", "redis"), [1.1])


class BreakingOff(unittest.TestCase):
    def test_what_was_measured_is_kept_with_the_cause(self):
        for cause, told in (
            (loads.LoadFailed("overloaded"), "overloaded"), (OSError("disk full"), "disk full"),
            (servers.ServerFailed("gone"), "gone"), (KeyboardInterrupt(), "interrupted"),
            (KeyError("rps"), "KeyError: 'rps'"),
        ):
            def measure(running, _cells):
                running.results.append("a cell")
                raise cause

            with mock.patch.multiple(
                main, program=lambda *_given: None, build_generator=str, signal=mock.DEFAULT,
                report=mock.DEFAULT,
            ) as patched, mock.patch.object(Session, "measure", measure):
                with contextlib.redirect_stderr(io.StringIO()) as said, allowing(0):
                    self.assertEqual(main.main(["--cells", "get", "--load-core", "0"]), 1)
            self.assertEqual(patched["report"].call_args.args[-1], told)
            self.assertEqual("Traceback" in said.getvalue(), isinstance(cause, KeyError))


class Ending(unittest.TestCase):
    def session(self, scratch, **tools):
        given = mock.Mock(generator="/bin/false", connections=1, value_bytes=1, **tools)
        return Session(Settings(1, 9.0, 0.0, 0, 0, scratch, given), [])

    def test_a_server_is_ended_when_its_loading_is_cut_short(self):
        started = mock.Mock(command=[])
        running = self.session("/tmp", preload=mock.Mock(side_effect=KeyboardInterrupt))
        with mock.patch.object(servers, "start", return_value=started):
            with self.assertRaises(KeyboardInterrupt):
                running._start(mock.Mock(), "low")
        started.end.assert_called_once()

    def test_an_ideal_server_that_ended_is_told(self):
        def closed(server, *_arguments, **_more):
            server.process.wait()
            raise loads.LoadFailed("no connection")

        # Before it listened, and under the load.
        for is_free, cause in (
            (lambda _port: True, "ceiling did not start: "),
            (lambda _port: False, "no connection (the server ended: "),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                running = self.session(scratch, closed=closed)
                quiet = contextlib.redirect_stderr(io.StringIO())
                with quiet, mock.patch.object(machine, "is_free", is_free):
                    with mock.patch.object(machine, "free_port", lambda: 30_000):
                        running.measure(cells.select("get-ceiling,P=1"))
                self.assertEqual(list(Path(scratch).iterdir()), [])
            self.assertIn(cause, running.results[0].failures["ceiling"])


class Ports(unittest.TestCase):
    def test_they_differ_and_are_none_of_outgoing_connections(self):
        outgoing = mock.Mock(read_text=lambda: "31500\t60999\n")
        with mock.patch.object(machine, "OUTGOING_PORTS", outgoing):
            ports = machine.free_ports(20)
        self.assertEqual(len(set(ports)), 20)
        self.assertLess(max(ports), 31500)

    def test_one_is_free_until_somebody_listens_and_looking_takes_it_from_nobody(self):
        port, another = machine.free_ports(2)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            self.assertTrue(machine.is_free(port))
            server.listen()
            self.assertFalse(machine.is_free(port))
            with mock.patch.object(machine.random, "sample", lambda *_all: [port, another]):
                self.assertEqual(machine.free_port(), another)

    def test_a_node_on_its_own_has_a_peer_port_that_is_not_its_port(self):
        with mock.patch.object(machine, "free_ports", lambda _count: [30_001, 30_002]):
            line = servers.quorate_arguments("0", [])(30_001, "/tmp/x", "low")
        self.assertEqual(line[:4], ["--port", 30_001, "--peer-port", 30_002])


class CpuTime(unittest.TestCase):
    def test_own_cpu_time_grows_with_work(self):
        before, until = machine.process_cpu_seconds(os.getpid()), time.process_time() + 0.05
        while time.process_time() < until:
            pass
        self.assertGreater(machine.process_cpu_seconds(os.getpid()) - before, 0.01)

    def test_a_process_that_is_gone_has_none(self):
        self.assertEqual(machine.process_cpu_seconds(2**22 + 1), 0.0)


if __name__ == "__main__":
    unittest.main()
