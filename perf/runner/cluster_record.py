"""The record of clusters: what was reached of the goals first, then each cell with all its lanes."""

import statistics

from .cluster_cells import LIGHT, REDIS, REDIS_SET_THEN, REDISRAFT
from .record import failures, heading, kept, number, percent, row, table_head, write_both

UNITS = {"rps": "requests/s", "latency_us/p50": "p50", "latency_us/p99": "p99"}


def write(directory, name, facts, session):
    """Writes the record of clusters; returns the path of what is to be read."""
    raw = {
        "facts": facts,
        "started": session.started_lines,
        "idle_shares": session.idle_shares,
        "cells": [
            {
                "cell": result.cell.label,
                "lanes": [vars(lane) for lane in result.cell.lanes],
                "goals": [vars(goal) for goal in result.cell.goals],
                "sync_us": result.sync_us,
                **kept(result),
            }
            for result in session.results
        ],
    }
    return write_both(directory, name, markdown(name, facts, session), raw)


def markdown(name, facts, session):
    lines, results = heading(name, facts, session), session.results
    idle = ", ".join(f"{who} {share:.1%}" for who, share in session.idle_shares.items())
    lines.append(f"- CPU of idle clusters, of one core, added to the bound of noise: {idle}")
    lines += environment(results)
    lines += ["", "Ratios are taken inside a round; median (min-max) over rounds. CPU is per"]
    lines += ["operation, all processes of a cluster summed; a batch's `WAIT` is no operation.", ""]
    if any(result.cell.goals for result in results):
        lines += ["## Goals", "", *goals(results), ""]
    for result in results:
        table = opened if result.cell.lanes[0].load == "open" else lanes
        lines += [f"## {result.cell.label}", "", *table(result), ""]
    lines += failures(results)
    return "\n".join(lines).rstrip() + "\n"


def environment(results):
    noisy = sum(result.noisy()[0] for result in results)
    runs = sum(result.noisy()[1] for result in results)
    every = [run for each in results for runs in each.runs.values() for run in runs if run]
    changes = sum(run["leader_changed"] for run in every)
    lines = [f"- noisy runs: {noisy} of {runs}; runs in which the leader changed: {changes}"]
    for key, what, unit in (
        ("memory_ns", "memory latency, one 16 MiB chain per round", "ns"),
        ("sync_us", "4 KiB overwrite and fdatasync on the same disk, median of 25 per round", "us"),
    ):
        seen = [value for result in results for value in getattr(result, key)]
        if seen:
            lines.append(
                f"- {what}: {statistics.median(seen):.0f} {unit} ({min(seen):.0f}-{max(seen):.0f})"
            )
    return lines


def goals(results):
    heads = ["cell", "of", "against", "what", "to reach", "is", "", "beside redis-server"]
    lines = table_head(heads)
    redis = redis_now(results)
    for result in results:
        for goal in result.cell.goals:
            values = reached(result, goal)
            sign = "at least" if goal.at_least else "at most"
            against = goal.base
            if goal.base_value is not None:
                against += f" ({goal.base_value:,})"
            said = [result.cell.label, goal.subject, against, UNITS[goal.key]]
            said += [f"{sign} {goal.bound}", spread(values), verdict(goal, values)]
            lines.append(row([*said, beside_redis(goal, values, redis)]))
    lines += ["", f"Beside redis-server: the ratio if {REDISRAFT}'s figure, taken when redis-server"]
    lines += [f"did {REDIS_SET_THEN:,} SET/s, moved as redis-server's rate of this session"]
    lines += [f"({redis:,.0f} SET/s)." if redis else "(not measured here)."]
    return lines


def reached(result, goal):
    """What stands against the goal's bound, round by round."""
    if goal.base_value is not None:
        return [value / goal.base_value for value in result.values(goal.subject, goal.key)]
    return result.ratios(goal.subject, goal.base, goal.key)


def verdict(goal, values):
    if not values:
        return "no result"
    median = statistics.median(values)
    met = median >= goal.bound if goal.at_least else median <= goal.bound
    return "met" if met else "MISSED"


def redis_now(results):
    """SET/s of redis-server without a log at c=50, P=1 in this session."""
    for result in results:
        if result.cell.label == "cluster-set,P=1":
            return result.median(REDIS, "rps")
    return None


def beside_redis(goal, values, redis):
    if goal.base != REDISRAFT or goal.key != "rps" or not values or not redis:
        return ""
    return f"{statistics.median(values) * REDIS_SET_THEN / redis:.2f}"


def lanes(result):
    bases = [base for base in (next(iter(result.runs)), LIGHT) if base in result.runs]
    heads = ["of", "load", "requests/s", *(f"{base}, over it" for base in bases)]
    heads += ["p50 ms", "p99 ms", "servers us/op", "client us/op", "client's share of CPU", "noisy"]
    lines = table_head(heads)
    for lane in result.cell.lanes:
        rps = result.values(lane.label, "rps")
        if not rps:
            lines.append(row([lane.label, described(lane), "failed"] + [""] * (len(heads) - 3)))
            continue
        ratios = [spread(result.ratios(base, lane.label)) for base in bases]
        server, client = (
            result.median(lane.label, f"{who}_cpu_ns_per_reply") for who in ("server", "client")
        )
        lines.append(
            row([
                lane.label, described(lane), spread(rps, 0), *ratios,
                milliseconds(result, lane.label, "p50"), milliseconds(result, lane.label, "p99"),
                number(server / 1000, 1), number(client / 1000, 1),
                percent(client / (client + server)), sum(result.values(lane.label, "noisy")) or "",
            ])
        )
    return lines


def described(lane):
    program = {"benchmark": "redis-benchmark", "closed": "quorate-perf", "etcd": "quorate-perf"}
    size = f"c={lane.connections}"
    if lane.load != "etcd":
        size += f" P={lane.pipeline}"
    return f"{program[lane.load]} {lane.command} {size}"


def opened(result):
    heads = ["of", "rate/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "client lag p99 ms"]
    lines = table_head(heads + ["servers us/op", "noisy"])
    for lane in result.cell.lanes:
        if result.median(lane.label, "rps") is None:
            lines.append(row([lane.label, "failed"] + [""] * 7))
            continue
        quantiles = [milliseconds(result, lane.label, each) for each in ("p50", "p99", "p99.9", "max")]
        lag = result.median(lane.label, "send_lag_us/p99")
        server = result.median(lane.label, "server_cpu_ns_per_reply")
        lines.append(
            row([
                lane.label, f"{result.median(lane.label, 'rate'):,.0f}", *quantiles,
                number(lag / 1000, 2), number(server / 1000, 1),
                sum(result.values(lane.label, "noisy")) or "",
            ])
        )
    return lines


def milliseconds(result, label, quantile):
    value = result.median(label, f"latency_us/{quantile}")
    return "" if value is None else number(value / 1000, 2)


def spread(values, digits=2):
    if not values:
        return ""
    middle, low, high = statistics.median(values), min(values), max(values)
    if low == high:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"
