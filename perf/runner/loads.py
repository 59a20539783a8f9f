"""One run of one load against one server."""

import csv
import json
import os
import subprocess
from dataclasses import dataclass, replace

RUN_WITHIN_S = 300


class LoadFailed(Exception):
    """The load ended with an error: a wrong reply, a closed connection, an overload."""


@dataclass
class Tools:
    """The load generators and where they run. `wait` is quorate-perf's: `spin` needs a core of
    its own, `sleep` leaves shared ones to the servers."""

    generator: str
    core: str
    seconds: float
    connections: int
    keys: int
    value_bytes: int
    wait: str = "spin"

    def closed(self, server, command, pipeline, keys=None):
        """Server-bound closed loop: rate, server CPU per reply, idle share of the client."""
        return self._generator(
            "closed", server, "--keys", keys or self.keys,
            "--command", command, "--pipeline", pipeline, "--seconds", self.seconds,
            "--server-pid", server.pid, "--wait", self.wait,
        )

    def open(self, server, command, rate):
        """Open loop: latency at `rate` requests per second, from the instant each was due."""
        return self._generator(
            "open", server, "--keys", self.keys,
            "--command", command, "--rate", rate, "--seconds", self.seconds,
            "--server-pid", server.pid, "--wait", self.wait,
        )

    def etcd(self, server, command, calls, http_connections):
        """Closed loop in etcd's protocol, `calls` in flight."""
        tools = replace(self, connections=http_connections)
        return tools._generator(
            "etcd", server, "--keys", self.keys, "--command", command, "--calls", calls,
            "--seconds", self.seconds, "--server-pid", server.pid,
        )

    def preload(self, server):
        """Every key once."""
        return self._generator("preload", server, "--keys", self.keys)

    def memory_ns(self):
        """Nanoseconds per load from beyond the core's own caches: what the neighbours leave."""
        return json.loads(self._run([self.generator, "probe"])[0])["memory_ns"]

    def benchmark(self, server, test, pipeline, requests, random_keys):
        """redis-benchmark's `test`; CPU per request is the server's over the whole run."""
        line = ["redis-benchmark", "-p", server.port, "-c", self.connections, "-P", pipeline]
        line += ["-n", requests, "-t", test, "--csv"]
        if random_keys:
            line += ["-r", self.keys, "-d", self.value_bytes]
        cpu_before = server.cpu_seconds()
        printed, client_cpu = self._run(line)
        server_cpu = server.cpu_seconds() - cpu_before
        return {**parse_benchmark(printed, server_cpu), "client_cpu_seconds": client_cpu}

    def _generator(self, mode, server, *arguments):
        line = [self.generator, mode, "--port", server.port, "--connections", self.connections]
        line += ["--value-bytes", self.value_bytes, *arguments]
        printed, client_cpu = self._run(line)
        return {**json.loads(printed), "client_cpu_seconds": client_cpu}

    def _run(self, line):
        """Runs on the load's core; returns what it printed and the CPU seconds it took."""
        line = ["taskset", "-c", str(self.core), *map(str, line)]
        before = os.times()
        try:
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=RUN_WITHIN_S, check=False,
            )
        except subprocess.TimeoutExpired as expired:
            raise LoadFailed(f"still running after {RUN_WITHIN_S} s") from expired
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise LoadFailed(said)
        return done.stdout, cpu


def parse_benchmark(printed, server_cpu_seconds):
    """Rate and latency of the last test in redis-benchmark's CSV.

    Rows before it (`LPUSH (needed to benchmark LRANGE)`) are preparation.
    """
    rows = list(csv.DictReader(printed.splitlines()))
    if not rows:
        raise LoadFailed(f"redis-benchmark printed no result: {printed.strip()[-200:]}")
    row = rows[-1]
    result = {
        "test": row["test"],
        "rps": float(row["rps"]),
        "latency_us": {
            quantile: float(row[f"{column}_latency_ms"]) * 1000
            for quantile, column in (("p50", "p50"), ("p99", "p99"), ("max", "max"))
        },
    }
    result["server_cpu_seconds"] = server_cpu_seconds
    result["alone"] = len(rows) == 1
    return result
