"""The dated record: Markdown to read, JSON to compute with."""

import json
import statistics

SECTIONS = (
    ("server-bound", "Server-bound load (quorate-perf closed, the server is the bottleneck)"),
    ("high", "redis-benchmark, durability high (peers: appendfsync always)"),
    ("benchmark", "redis-benchmark, durability low"),
    ("suite", "redis-benchmark's default suite"),
)


def write(directory, name, facts, session, base):
    """Writes the record of servers; returns the path of what is to be read."""
    raw = {
        "facts": facts,
        "started": session.started_lines,
        "base": base,
        "cells": [
            {
                "cell": result.cell.label,
                "command": result.cell.command,
                "durability": result.cell.durability,
                "target": result.cell.target,
                **kept(result),
            }
            for result in session.results
        ],
    }
    return write_both(directory, name, markdown(name, facts, session, base), raw)


def kept(result):
    """What the JSON keeps of every cell: each single run, and what went with it."""
    return {
        "runs": result.runs,
        "failures": result.failures,
        "memory_ns": result.memory_ns,
    }


def write_both(directory, name, text, raw):
    """Writes `text` to `name`.md and `raw` to `name`.json; returns the path of the first."""
    path = directory / f"{name}.md"
    path.write_text(text)
    (directory / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")
    return path


def markdown(name, facts, session, base):
    lines, results = heading(name, facts, session), session.results
    noisy = sum(result.noisy()[0] for result in results)
    runs = sum(result.noisy()[1] for result in results)
    lines.append(f"- noisy runs: {noisy} of {runs}")
    probes = [ns for result in results for ns in result.memory_ns]
    if probes:
        lines.append(
            f"- memory latency over the run: {statistics.median(probes):.0f} ns "
            f"({min(probes):.0f}-{max(probes):.0f}), one 16 MiB chain per round"
        )
    lines += ["", f"Ratios are to {base}, inside a round; median (min-max) over rounds.", ""]
    lines += summary(results, base)
    for kind, title in SECTIONS:
        chosen = [result for result in results if section(result.cell) == kind]
        if chosen:
            table = suite if kind == "suite" else rates
            lines += [f"## {title}", "", *table(chosen, base), ""]
    opened = [result for result in results if result.cell.load == "open"]
    if opened:
        lines += ["## Open loop: latency from the due time, us", "", *latencies(opened), ""]
    ceilings = [result for result in results if result.cell.load == "ceiling"]
    if ceilings:
        lines += ["## Ceiling: the same load against the ideal server", "", *ceiling(ceilings), ""]
    lines += failures(results)
    return "\n".join(lines).rstrip() + "\n"


def heading(name, facts, session):
    lines = [f"# {name}", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    return lines + [f"- {who}: `{line}`" for who, line in session.started_lines.items()]


def section(cell):
    if cell.load == "closed":
        return "server-bound"
    if cell.load == "benchmark":
        if cell.group.startswith("suite"):
            return "suite"
        return cell.group
    return None


def rates(results, base):
    benchmark = results[0].cell.load == "benchmark"
    heads = ["cell", "server", "ratio", "to reach", "requests/s", "server ns/op", "later"]
    heads += ["p50 / p99 us"] if benchmark else ["client idle"]
    lines = table_head(heads + ["noisy"])
    for result in results:
        for name in result.runs:
            rps = result.median(name, "rps")
            if rps is None:
                lines.append(row([result.cell.label, name, "failed"] + [""] * (len(heads) - 2)))
                continue
            last = (
                f"{number(result.median(name, 'latency_us/p50'))} / "
                f"{number(result.median(name, 'latency_us/p99'))}"
                if benchmark
                else percent(result.median(name, "client_idle_share"))
            )
            noisy = sum(result.values(name, "noisy"))
            lines.append(
                row([
                    result.cell.label, name, ratio(result, name, base),
                    verdict(result, name, base), f"{rps:,.0f}",
                    number(result.median(name, "server_cpu_ns_per_reply")),
                    percent(result.median(name, "after_cpu_share")), last, noisy or "",
                ])
            )
    return lines


def suite(results, base):
    subjects = [name for name in results[0].runs if name != base]
    heads = ["cell", f"{base} requests/s", *(f"{name} ratio" for name in subjects)]
    heads += [f"{name} ns/op" for name in (base, *subjects)] + ["noisy"]
    lines = table_head(heads)
    for result in results:
        ratios = [ratio(result, name, base) or "failed" for name in subjects]
        cpu = [
            number(result.median(name, "server_cpu_ns_per_reply")) for name in (base, *subjects)
        ]
        rps = number(result.median(base, "rps"))
        lines.append(row([result.cell.label, rps, *ratios, *cpu, result.noisy()[0] or ""]))
    return lines


def summary(results, base):
    """Where quorate stands against the speed to reach."""
    aimed = [
        result for result in results
        if result.cell.target is not None and "quorate" in result.runs and base == "redis"
    ]
    if not aimed:
        return []
    missed = [
        result.cell.label for result in aimed
        if not result.ratios("quorate", base) or "MISSED" in verdict(result, "quorate", base)
    ]
    lines = [f"Reached in {len(aimed) - len(missed)} of {len(aimed)} cells."]
    if missed:
        lines.append("Not reached: " + "; ".join(missed) + ".")
    return ["\n".join(lines), ""]


def latencies(results):
    lines = table_head(
        ["cell", "server", "rate/s", "p50", "p99", "p99.9", "max", "client lag p99", "server ns/op", "noisy"]
    )
    for result in results:
        for name in result.runs:
            if result.median(name, "rps") is None:
                lines.append(row([result.cell.label, name, "failed"] + [""] * 7))
                continue
            quantiles = [
                number(result.median(name, f"latency_us/{quantile}"), 1)
                for quantile in ("p50", "p99", "p99.9", "max")
            ]
            lines.append(
                row([
                    result.cell.label, name, f"{result.median(name, 'rate'):,.0f}", *quantiles,
                    number(result.median(name, "send_lag_us/p99"), 1),
                    number(result.median(name, "server_cpu_ns_per_reply")),
                    sum(result.values(name, "noisy")) or "",
                ])
            )
    return lines


def ceiling(results):
    lines = table_head(["cell", "requests/s", "min-max", "server ns/op", "client idle"])
    for result in results:
        rates_seen = result.values("ceiling", "rps")
        if not rates_seen:
            continue
        lines.append(
            row([
                result.cell.label, f"{statistics.median(rates_seen):,.0f}",
                f"{min(rates_seen):,.0f}-{max(rates_seen):,.0f}",
                number(result.median("ceiling", "server_cpu_ns_per_reply")),
                percent(result.median("ceiling", "client_idle_share")),
            ])
        )
    return lines


def failures(results):
    failed = [(result.cell.label, who, why) for result in results for who, why in result.failures.items()]
    if not failed:
        return []
    return ["## Failed", "", *(f"- {label}, {who}: {why}" for label, who, why in failed), ""]


def ratio(result, name, base):
    ratios = result.ratios(name, base)
    if name == base or not ratios:
        return "1" if name == base else ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def verdict(result, name, base):
    """For quorate: the ratio to reach against the base, and whether it beats Valkey."""
    if name != "quorate" or result.cell.target is None or base != "redis":
        return ""
    ratios = result.ratios(name, base)
    if not ratios:
        return ""
    target = result.cell.target
    said = f"{target} {'met' if statistics.median(ratios) >= target else 'MISSED'}"
    against = result.ratios(name, "valkey")
    if against and not result.cell.name.startswith("suite-"):
        beaten = statistics.median(against)
        said += f"; valkey x{beaten:.2f}{'' if beaten >= 1 else ' MISSED'}"
    return said


def table_head(heads):
    return [row(heads), row(["---"] * len(heads))]


def row(values):
    return "| " + " | ".join(str(value) for value in values) + " |"


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def percent(value):
    return "" if value is None else f"{value * 100:.0f} %"
