"""The table of what is measured of clusters, and the speed to reach in each cell."""

from dataclasses import dataclass

from .cells import matches

# RedisRaft's figures from this machine: three nodes, fsync on, loopback, taken when redis-server
# without any log did so many SET/s at c=50, P=1. It is in no package registry, so its figures stand
# in for it.
REDISRAFT = "RedisRaft"
REDIS_SET_THEN = 105_000

Q3, Q1, ETCD, WAIT, REDIS = "quorate-3", "quorate-1", "etcd-3", "redis-wait", "redis"
PLACEMENTS = ("0,0,1", "0,1,1", "0,0,0", "none")
FOLLOWER = "quorate-3 at a follower"
# The same load from quorate-perf, as the peers get it: it leaves more of the cores to the servers.
LIGHT, LIGHT_ALONE = "quorate-3, light load", "quorate-1, light load"


@dataclass(frozen=True)
class Lane:
    """One load against one node of a cluster; each round runs every lane of its cell once.

    `load` is benchmark (redis-benchmark), closed or open (quorate-perf) or etcd (quorate-perf etcd).
    """

    label: str
    cluster: str
    load: str
    command: str
    connections: int = 50
    pipeline: int = 1
    place: str = "leader"
    rps: int = 0  # expected: redis-benchmark's first run gets as many requests as fill a window


@dataclass(frozen=True)
class Goal:
    """`subject`'s `key` against `base`'s: of the same round, or a figure (`base_value`)."""

    subject: str
    key: str
    bound: float
    at_least: bool
    base: str
    base_value: float = None


@dataclass(frozen=True)
class ClusterCell:
    """One block of the record."""

    name: str
    pipeline: int
    lanes: tuple
    goals: tuple = ()

    @property
    def label(self):
        return f"{self.name},P={self.pipeline}"


def rate(subject, bound, base, base_value=None):
    return Goal(subject, "rps", bound, True, base, base_value)


def latency(subject, quantile, bound, base, base_value=None):
    return Goal(subject, f"latency_us/{quantile}", bound, False, base, base_value)


def of_quorate(command, rps, follower_rps, connections=50, pipeline=1, light=True):
    """quorate-3 under one load, at its leader and through a follower; and under the light one."""
    shape = (command, connections, pipeline)
    lanes = [
        Lane(Q3, Q3, "benchmark", *shape, rps=rps),
        Lane(FOLLOWER, Q3, "benchmark", *shape, place="follower", rps=follower_rps),
    ]
    return lanes + [Lane(LIGHT, Q3, "closed", *shape)] if light else lanes


def set_cells():
    return [
        ClusterCell(
            "cluster-set-c1", 1,
            (
                *of_quorate("set", 1_500, 1_300, connections=1),
                Lane(ETCD, ETCD, "etcd", "put", 1),
                Lane(WAIT, WAIT, "closed", "set-wait", 1),
            ),
            (
                latency(Q3, "p50", 0.6, ETCD),
                latency(Q3, "p50", 0.8, REDISRAFT, 310),
                rate(Q3, 2.5, REDISRAFT, 3_100),
            ),
        ),
        ClusterCell(
            "cluster-set", 1,
            (
                *of_quorate("set", 30_000, 30_000),
                Lane(ETCD, ETCD, "etcd", "put"),
                Lane(WAIT, WAIT, "closed", "set-wait"),
                Lane(REDIS, REDIS, "benchmark", "set", rps=100_000),
            ),
            (
                rate(Q3, 5, ETCD),
                latency(Q3, "p99", 1, ETCD),
                rate(Q3, 2.5, REDISRAFT, 28_000),
            ),
        ),
        ClusterCell(
            "cluster-set", 16,
            (
                *of_quorate("set", 300_000, 300_000, pipeline=16),
                Lane(Q1, Q1, "benchmark", "set", pipeline=16, rps=500_000),
                Lane(LIGHT_ALONE, Q1, "closed", "set", pipeline=16),
                Lane(ETCD, ETCD, "etcd", "put"),
                Lane(f"{ETCD}, 800 calls", ETCD, "etcd", "put", 800),
                Lane(WAIT, WAIT, "closed", "set-wait", pipeline=16),
            ),
            (
                rate(Q3, 20, ETCD),
                rate(Q3, 0.5, Q1),
                rate(LIGHT, 0.5, LIGHT_ALONE),
                rate(Q3, 8, REDISRAFT, 48_000),
            ),
        ),
    ]


def get_cells():
    return [
        ClusterCell(
            "cluster-get-c1", 1,
            (
                *of_quorate("get", 6_000, 4_000, connections=1, light=False),
                Lane(ETCD, ETCD, "etcd", "get", 1),
            ),
        ),
        ClusterCell(
            "cluster-get", 1,
            (
                *of_quorate("get", 50_000, 40_000),
                Lane(ETCD, ETCD, "etcd", "get"),
                Lane(f"{ETCD} at a follower", ETCD, "etcd", "get", place="follower"),
            ),
            (
                rate(Q3, 5, ETCD),
                rate(FOLLOWER, 3, ETCD),
                rate(FOLLOWER, 3, f"{ETCD} at a follower"),
                rate(Q3, 1.1, REDISRAFT, 87_000),
            ),
        ),
        ClusterCell(
            "cluster-get", 16,
            tuple(of_quorate("get", 600_000, 500_000, pipeline=16)),
            (rate(Q3, 5, REDISRAFT, 120_000),),
        ),
    ]


def open_cells():
    lanes = (
        Lane(Q3, Q3, "open", "set"),
        Lane(FOLLOWER, Q3, "open", "set", place="follower"),
    )
    return [ClusterCell("cluster-set-open-loop", 1, lanes)]


def placement_cells():
    """Which `--placement` is best: one cluster for each, side by side."""
    shapes = [("set-c1", "set", 1, 1), ("set", "set", 50, 1), ("set", "set", 50, 16)]
    shapes += [("get", "get", 50, 1), ("get", "get", 50, 16)]
    return [
        ClusterCell(
            f"placement-{name}", pipeline,
            tuple(
                Lane(f"{Q3} on {cpus}", f"{Q3} on {cpus}", "closed", command, clients, pipeline)
                for cpus in PLACEMENTS
            ),
        )
        for name, command, clients, pipeline in shapes
    ]


def all_cells():
    return set_cells() + get_cells() + open_cells() + placement_cells()


def select(selection):
    """Cells that match `selection`, as `cells.select`; none unless it names clusters or
    placements."""
    if "cluster" not in selection and "placement" not in selection:
        return []
    return [cell for cell in all_cells() if matches(selection, cell.name, cell.pipeline)]
