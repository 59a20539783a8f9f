"""Rounds of alternating runs, kept out of noisy windows.

A round runs each server once, in the same order every time (A B A B ..); a ratio is taken inside
a round, so that whatever slows the machine for longer than a round cancels out. Medians are over
rounds.
"""

import statistics
import sys
import time
from dataclasses import dataclass, field

from . import machine, servers
from .loads import LoadFailed


# So many quiet rounds make a median; below that, noisy ones count too (and are named).
QUIET_ROUNDS_MIN = 3
# How long after a run its server's later work is watched.
AFTER_S = 5.0


@dataclass
class Settings:
    pairs: int
    quiet_share: float  # of one core, above which a window counts as noisy
    patience_s: float  # to wait for a quiet machine, over all runs of a cell
    retries: int  # of a noisy run, while patience lasts
    server_core: int
    scratch: str
    tools: object


@dataclass
class CellResult:
    """Runs of one cell: server name -> one result per round (None where it failed)."""

    cell: object
    runs: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    memory_ns: list = field(default_factory=list)  # one probe per round
    sync_us: list = field(default_factory=list)  # one per round, where the disk matters

    def rounds(self):
        """The rounds that count: the wholly quiet ones if enough are, else all."""
        count = max((len(runs) for runs in self.runs.values()), default=0)
        quiet = [
            index
            for index in range(count)
            if not any(
                index < len(runs) and runs[index] and runs[index]["noisy"]
                for runs in self.runs.values()
            )
        ]
        return quiet if len(quiet) >= QUIET_ROUNDS_MIN else list(range(count))

    def values(self, name, key):
        """`key` of each counting, successful run of `name`; slashes reach into nested objects."""
        runs, found = self.runs.get(name, []), []
        for index in self.rounds():
            value = reach(runs[index], key) if index < len(runs) else None
            if value is not None:
                found.append(value)
        return found

    def median(self, name, key):
        values = self.values(name, key)
        return statistics.median(values) if values else None

    def ratios(self, subject, base, key="rps"):
        """Subject over base, round by round."""
        ones, twos = self.runs.get(subject, []), self.runs.get(base, [])
        count = min(len(ones), len(twos))
        pairs = [(ones[index], twos[index]) for index in self.rounds() if index < count]
        pairs = [(reach(one, key), reach(two, key)) for one, two in pairs]
        return [one / two for one, two in pairs if one is not None and two]

    def noisy(self):
        runs = [run for rounds in self.runs.values() for run in rounds if run]
        return sum(run["noisy"] for run in runs), len(runs)


def reach(run, key):
    """`key` of a run, None where there is none; slashes reach into nested objects."""
    for part in key.split("/"):
        run = run.get(part) if isinstance(run, dict) else None
    return run


class Session:
    """Measures cells over started programs; the first program is the base of ratios."""

    def __init__(self, settings, programs):
        self.settings = settings
        self.programs = programs
        self.results = []
        self.started_lines = {}
        self.peaks = {}
        self.patience_left_s = 0.0

    def measure(self, cells):
        """Runs all cells, group by group, each group on freshly started servers."""
        groups = {}
        for cell in cells:
            groups.setdefault(cell.group, []).append(cell)
        for group in groups.values():
            if group[0].load == "ceiling":
                self._ceiling(group)
            else:
                self._group(group)
        return self.results

    def _group(self, cells):
        started, missing = [], {}
        try:
            for program in self.programs:
                try:
                    started.append(self._start(program, cells[0].durability))
                except servers.ServerFailed as failure:
                    print(f"perf/run: {failure}", file=sys.stderr)
                    missing[program.name] = str(failure)
            for cell in cells:
                self._cell(cell, started, missing)
        finally:
            servers.end_all(started)

    def _start(self, program, durability):
        settings = self.settings
        server = servers.start(program, durability, settings.server_core, settings.scratch)
        self.started_lines[f"{program.name}, durability {durability}"] = " ".join(server.command)
        try:
            settings.tools.preload(server)
        except LoadFailed as failure:
            tail = server.log_tail()
            server.end()
            raise servers.ServerFailed(f"loading {program.name}: {failure}\n{tail}") from failure
        except BaseException:
            server.end()
            raise
        return server

    def _cell(self, cell, started, missing):
        runs = {program.name: [] for program in self.programs}
        result = CellResult(cell, runs, dict(missing))
        self.results.append(result)
        self.patience_left_s = self.settings.patience_s
        if not started:
            return
        rate = self._open_rate(cell, started[0]) if cell.load == "open" else None
        for _ in range(self.settings.pairs):
            result.memory_ns.append(self.settings.tools.memory_ns())
            for server in started:
                result.runs[server.name].append(self._run(cell, server, rate, result))
        if cell.load == "closed" and cell.pipeline == 1:
            self.peaks[cell.command] = result.median(started[0].name, "rps")
        say_result(result, started[0].name)

    def _run(self, cell, server, rate, result):
        """One run, repeated while noisy; None when it fails, with the cause kept."""
        if server.name in result.failures:
            return None
        try:
            run = self._in_quiet(server, lambda: self._load(cell, server, rate))
        except LoadFailed as failure:
            tail = "" if server.alive() else f" (the server ended: {server.log_tail()})"
            result.failures[server.name] = f"{failure}{tail}"
            return None
        if cell.load == "benchmark" and run["alone"]:
            requests = self._requests(cell)
            run["server_cpu_ns_per_reply"] = run["server_cpu_seconds"] / requests * 1e9
        return run

    def _load(self, cell, server, rate):
        tools = self.settings.tools
        if cell.load == "ceiling":
            return tools.closed(server, cell.command, cell.pipeline, keys=1)
        if cell.load == "closed":
            return tools.closed(server, cell.command, cell.pipeline)
        if cell.load == "open":
            return tools.open(server, cell.command, rate)
        requests = self._requests(cell)
        return tools.benchmark(server, cell.command, cell.pipeline, requests, cell.random_keys)

    def _requests(self, cell):
        return max(1000, int(cell.requests_per_second * self.settings.tools.seconds))

    def _quiet_share(self):
        """CPU of others, as a share of one core, above which a window is noisy."""
        return self.settings.quiet_share

    def _in_quiet(self, server, load):
        """Runs `load` in a quiet window if there is one, and says how quiet it was.

        What the server goes on doing after the load (`after_cpu_share`) is work put off, not work
        saved.
        """
        retries = self.settings.retries
        for attempt in range(retries + 1):
            before_share = self._wait_until_quiet()
            run, server_cpu = self._judged(server, load)
            run["before_share"] = round(before_share, 4)
            run["noisy"] |= before_share > self._quiet_share()
            if not run["noisy"] or attempt == retries or self.patience_left_s <= 0:
                break
        cpu = server.cpu_seconds()
        self._wait_until_quiet(AFTER_S)
        after = server.cpu_seconds() - cpu
        run["after_cpu_share"] = round(after / server_cpu, 4) if server_cpu > 0 else 0.0
        return run

    def _judged(self, server, load):
        """A run of `load` that says what others used meanwhile, which is what the machine spent
        beyond the server and the load; and the server's CPU seconds."""
        working, steal = machine.busy_and_steal_seconds()
        cpu, began = server.cpu_seconds(), time.monotonic()
        run = load()
        lasted = time.monotonic() - began
        server_cpu = server.cpu_seconds() - cpu
        working_after, steal_after = machine.busy_and_steal_seconds()
        others = working_after - working - server_cpu - run["client_cpu_seconds"]
        run["others_share"] = round(max(0.0, others) / lasted, 4)
        run["steal_share"] = round((steal_after - steal) / lasted, 4)
        run["noisy"] = run["others_share"] + run["steal_share"] > self._quiet_share()
        return run, server_cpu

    def _wait_until_quiet(self, limit_s=float("inf")):
        began, patience_s = time.monotonic(), min(limit_s, self.patience_left_s)
        share = machine.wait_until_quiet(self._quiet_share(), patience_s)
        # The look itself takes a moment; only waiting beyond it uses up patience.
        self.patience_left_s -= max(0.0, time.monotonic() - began - machine.LOOK_S)
        return share

    def _open_rate(self, cell, base):
        """Half of what the base does at P=1 when it is the bottleneck."""
        if self.peaks.get(cell.command) is None:
            self.peaks[cell.command] = self.settings.tools.closed(base, cell.command, 1)["rps"]
        return round(self.peaks[cell.command] / 2, -2)

    def _ceiling(self, cells):
        """The load against the ideal server, for the same number of rounds."""
        settings = self.settings
        for cell in cells:
            result = CellResult(cell, {"ceiling": []})
            self.results.append(result)
            self.patience_left_s = settings.patience_s
            ideal = self._ideal(cell)
            try:
                # It is not asked: a connection would count as one of the load's.
                servers.wait_for([ideal], lambda: not machine.is_free(ideal.port), ideal.name)
                for _ in range(settings.pairs):
                    result.runs["ceiling"].append(self._run(cell, ideal, None, result))
            except servers.ServerFailed as failure:
                result.failures["ceiling"] = str(failure)
            finally:
                ideal.end()
            say_result(result, "ceiling")

    def _ideal(self, cell):
        """Starts the server that answers by counting bytes."""
        settings, tools, port = self.settings, self.settings.tools, machine.free_port()
        line = ["ceiling", "--port", port, "--command", cell.command]
        line += ["--keys", 1]  # it knows one value only
        line += ["--connections", tools.connections, "--value-bytes", tools.value_bytes]
        program = servers.Program("ceiling", "", tools.generator, None)
        return servers.launch(
            program, port, lambda _directory: line, settings.server_core, settings.scratch
        )


def say_result(result, base):
    """One line of progress on stderr."""
    parts = []
    for name in result.runs:
        rps = result.median(name, "rps")
        if rps is None:
            parts.append(f"{name} failed: {result.failures.get(name)}")
            continue
        ratios = result.ratios(name, base)
        ratio = f" x{statistics.median(ratios):.2f}" if name != base and ratios else ""
        parts.append(f"{name} {rps:,.0f}/s{ratio}")
    noisy, runs = result.noisy()
    noise = f"  [{noisy} of {runs} runs noisy]" if noisy else ""
    print(f"{result.cell.label:28} {'   '.join(parts)}{noise}", file=sys.stderr, flush=True)
