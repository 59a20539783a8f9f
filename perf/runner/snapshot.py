"""Latency at the leader while a node that lost its disk is sent a checkpoint, beside calm windows.

A round: calm windows; a follower is killed, its directory emptied, the leader's log cut behind a
checkpoint; the follower joins anew, and windows go on until the leader says it has sent its own.
"""

import argparse
import datetime
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import clusters, loads, machine, resp, servers

PERF = Path(__file__).resolve().parents[1]
WITHIN_S = 120
CALM_WINDOWS = 5


def parse(arguments):
    parser = argparse.ArgumentParser(prog="perf/snapshot", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quorate", default=str(PERF.parent / "target/release/quorate"), help="binary to measure")
    add("--generator", default=str(PERF / "target/release/quorate-perf"))
    add("--quorate-args", default="", help="more arguments for each node, as one string")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="one window")
    add("--keys", type=int, default=1_000_000)
    add("--value-bytes", type=int, default=200)
    add("--cores", default="0,1", help="that nodes and load may use")
    add("--scratch", default="/tmp", help="where data directories are made")
    add("--name", default="snapshot", help="record is records/YYYY-MM-DD-NAME.md")
    add("--no-record", action="store_true", help="print the record instead of keeping it")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    version = subprocess.check_output([options.quorate, "--version"], text=True).strip()
    program = servers.Program("quorate", version, Path(options.quorate), None)
    # What a cluster's starter asks of its settings.
    options.placement, options.quorate_arguments = "none", options.quorate_args.split()
    cluster = clusters.start("quorate-3", {"quorate": program}, options)
    try:
        text = markdown(options, version, arguments, *measure(options, cluster))
    finally:
        cluster.end()
    if options.no_record:
        print(text)
        return 0
    path = PERF / "records" / f"{datetime.date.today()}-{options.name}.md"
    path.write_text(text)
    print(path)
    return 0


def measure(options, cluster):
    """The rate of the windows, and each round's (calm, sending): lists of what windows gave."""
    tools = loads.Tools(
        options.generator, options.cores, options.seconds, 50, options.keys, options.value_bytes,
        wait="sleep",
    )
    target = cluster.target("leader", "quorate-3")
    tools.preload(target)
    rate = int(tools.closed(target, "set", 1)["rps"] / 2)
    rounds = []
    for at in range(options.rounds):
        calm = [tools.open(target, "set", rate) for _ in range(CALM_WINDOWS)]
        began = time.monotonic()
        sending = rejoin(options, cluster, lambda: tools.open(target, "set", rate))
        took = time.monotonic() - began
        print(f"round {at + 1}: {len(sending)} windows while sending", file=sys.stderr)
        rounds.append((calm, sending, took))
    return rate, rounds


def rejoin(options, cluster, window):
    """Has the last node lose its disk and join anew; returns the windows that lie wholly within the
    sending of the checkpoint to it."""
    leader, lost = cluster.nodes[0], cluster.nodes[-1]
    lost.process.kill()
    lost.process.wait()
    shutil.rmtree(lost.directory)
    cut_log(leader.port)
    before = sent(leader.port)

    def line(directory):
        words = ["--port", lost.port, "--peer-port", peer_port(lost), "--dir", directory]
        words += ["--cores", "1", "--durability", "high"]
        words += ["--join", f"127.0.0.1:{leader.port}@{peer_port(leader)}"]
        return words + options.quorate_arguments

    started = servers.launch(lost.program, lost.port, line, options.cores, options.scratch)
    cluster.nodes[-1] = started
    await_that("the node joins", lambda: resp.info(leader.port, "raft")["raft_learners"])
    windows = []
    while True:
        told = window()
        if sent(leader.port) != before:
            break
        windows.append(told)
    await_that("it is a voter", lambda: cluster.settled())
    return windows


def peer_port(node):
    return node.command[node.command.index("--peer-port") + 1]


def cut_log(port):
    """Has the leader's log begin behind a checkpoint of what it has now."""
    wanted = int(resp.info(port, "raft")["raft_last_index"])
    resp.ask(port, "RAFT", "SNAPSHOT", timeout_s=WITHIN_S)

    def is_cut():
        resp.ask(port, "SET", "behind", "it")
        return int(resp.info(port, "raft")["raft_purged_index"]) >= wanted

    await_that("the log is cut", is_cut)


def sent(port):
    return int(resp.info(port, "raft")["raft_snapshots_sent"])


def await_that(what, is_so):
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            raise servers.ServerFailed(f"waited in vain: {what}")
        time.sleep(0.05)


def markdown(options, version, arguments, rate, rounds):
    facts = {
        "taken": datetime.datetime.now().isoformat(" ", "seconds"),
        **machine.describe(),
        "quorate": version,
        "load": f"open loop, {rate} SET/s at the leader (half of what 50 connections reach), "
        f"{options.keys} keys of {options.value_bytes} bytes, windows of {options.seconds} s",
        "command": " ".join(["perf/snapshot", *arguments]),
    }
    lines = ["# What a leader's clients feel while it sends a checkpoint", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    lines += ["", "| round | windows while sending | p50 ms, calm | sending | p99 ms, calm |"
        " sending | p99, ratio | s until a voter again |", "|" + "---|" * 8]
    ratios = []
    for at, (calm, sending, took) in enumerate(rounds):
        p50, p99 = quantile(calm, "p50"), quantile(calm, "p99")
        if sending:
            ratios.append(quantile(sending, "p99") / p99)
            told = [f"{quantile(sending, 'p50'):.2f}", f"{quantile(sending, 'p99'):.2f}"]
            told.append(f"{ratios[-1]:.2f}")
        else:
            told = ["", "", "none lay within"]
        row = [at + 1, len(sending), f"{p50:.2f}", told[0], f"{p99:.2f}", *told[1:], f"{took:.1f}"]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    median = f"{statistics.median(ratios):.2f}" if ratios else "unknown"
    lines += ["", f"p99 while sending to p99 calm, median of rounds: {median} (wanted: at most 2).", ""]
    return "\n".join(lines)


def quantile(windows, name):
    """Milliseconds: the median over windows."""
    return statistics.median(each["latency_us"][name] for each in windows) / 1000
