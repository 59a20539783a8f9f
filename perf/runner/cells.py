"""The table of what is measured, and the speed to reach in each cell."""

from dataclasses import dataclass

PIPELINES = (1, 16, 64)

# Ratios to redis-server 7.0, by cell name and pipeline depth. Nothing may fall below Valkey.
TARGETS = {
    "get-server-bound": {1: 1.2, 16: 1.7, 64: 3.0},
    "set-server-bound": {1: 1.1, 16: 1.4, 64: 2.2},
    "get-benchmark": {1: 1.05, 16: 1.05, 64: 1.7},
    "set-benchmark": {1: 1.0, 16: 1.0, 64: 1.4},
    "set-high-benchmark": {1: 1.3, 16: 1.5, 64: 2.0},
}

# Requests per second of the window that redis-benchmark is given, near what redis-server does,
# so that a run lasts about as long as a window.
BENCHMARK_RATE = {1: 100_000, 16: 1_200_000, 64: 2_000_000}
BENCHMARK_RATE_HIGH = {1: 70_000, 16: 480_000, 64: 750_000}

# redis-benchmark's default suite in its own order: a later test pops what an earlier one pushed.
SUITE = (
    "ping_inline ping_mbulk set get incr lpush rpush lpop rpop sadd hset spop zadd zpopmin "
    "lrange_100 lrange_300 lrange_500 lrange_600 mset"
).split()
SUITE_RATE = {1: 50_000, 16: 500_000}
# A reply of hundreds of elements: so many requests would take minutes.
SUITE_SLOW = {"lrange": {1: 8_000, 16: 16_000}, "mset": {1: 30_000, 16: 100_000}}


@dataclass(frozen=True)
class Cell:
    """One line of the table. Cells of one `group` share servers, started fresh for the group."""

    name: str
    load: str  # closed | open | benchmark | ceiling
    command: str
    pipeline: int
    durability: str = "low"
    group: str = ""
    requests_per_second: int = 0
    random_keys: bool = True
    by_default: bool = True

    @property
    def label(self):
        return f"{self.name},P={self.pipeline}"

    @property
    def target(self):
        if self.name.startswith("suite-"):
            return 1.0
        return TARGETS.get(self.name, {}).get(self.pipeline)


def all_cells():
    cells = []
    for command in ("get", "set"):
        for depth in PIPELINES:
            name = f"{command}-ceiling"
            cells.append(Cell(name, "ceiling", command, depth, group=name))
    for command, by_default in (("get", True), ("set", True), ("mixed", False)):
        for depth in PIPELINES:
            name = f"{command}-server-bound"
            cells.append(
                Cell(name, "closed", command, depth, group="server-bound", by_default=by_default)
            )
    for command in ("get", "set"):
        cells.append(Cell(f"{command}-open-loop", "open", command, 1, group="server-bound"))
    for command in ("get", "set"):
        for depth in PIPELINES:
            cells.append(
                Cell(
                    f"{command}-benchmark", "benchmark", command, depth,
                    group="benchmark", requests_per_second=BENCHMARK_RATE[depth],
                )
            )
    for depth in PIPELINES:
        cells.append(
            Cell(
                "set-high-benchmark", "benchmark", "set", depth, durability="high",
                group="high", requests_per_second=BENCHMARK_RATE_HIGH[depth],
            )
        )
    for depth in (1, 16):
        for test in SUITE:
            rate = SUITE_SLOW.get(test.split("_")[0], SUITE_RATE)[depth]
            cells.append(
                Cell(
                    f"suite-{test}", "benchmark", test, depth, group=f"suite P={depth}",
                    requests_per_second=rate, random_keys=False,
                )
            )
    return cells


def select(selection):
    """Cells that match `selection`: comma-separated parts of names and `P=` depths.

    `get,P=64` is every cell with `get` in its name at depth 64; an empty selection is the default
    table, `all` everything.
    """
    words = [word for word in selection.split(",") if word]
    names = [word for word in words if not word.startswith("P=")]
    return [
        cell for cell in all_cells()
        if matches(selection, cell.name, cell.pipeline) and (names or cell.by_default)
    ]


def matches(selection, name, pipeline):
    """Whether one of the names, and one of the depths, is that of a cell; none given match all."""
    words = [word for word in selection.split(",") if word]
    depths = [word for word in words if word.startswith("P=")]
    names = [word for word in words if not word.startswith("P=")]
    named = not names or "all" in names or any(word in name for word in names)
    return named and (not depths or f"P={pipeline}" in depths)
