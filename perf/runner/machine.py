"""What this machine is, how busy it is, how slow its disk, and the CPU time of one process."""

import os
import platform
import random
import socket
import statistics
import tempfile
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# One look at how busy the machine is.
LOOK_S = 0.3
SYNC_BYTES = 4096
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Above the ports that the tests of quorate take (`tests/it/kit/port.rs`).
PORTS_FROM = 30_000


def busy_and_steal_seconds():
    """CPU seconds that all cores together spent working, and waiting for the hypervisor."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    working = user + nice + system + irq + softirq
    return working / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


def process_cpu_seconds(pid):
    """CPU seconds of all threads of `pid`, io_uring's kernel workers included; 0 once it is gone.

    Threads that have ended are missing from the nanosecond clocks, so the coarser process clock
    (10 ms steps, ended threads included) is a lower bound.
    """
    total_ns = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                total_ns += int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError):
                continue
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    except OSError:
        return 0.0
    return max(total_ns / 1e9, sum(map(int, ticks)) / TICKS_PER_SECOND)


def wait_until_quiet(limit_share, patience_s):
    """Waits until the machine is idle but for `limit_share` of one core.

    Returns the share seen last; above the limit if patience ran out.
    """
    deadline = time.monotonic() + max(0.0, patience_s)
    while True:
        share = _load_over(LOOK_S)
        if share <= limit_share or time.monotonic() > deadline:
            return share
        time.sleep(0.5)


def _load_over(seconds):
    started, before = time.monotonic(), sum(busy_and_steal_seconds())
    time.sleep(seconds)
    return (sum(busy_and_steal_seconds()) - before) / (time.monotonic() - started)


def has_cpu(number):
    """Whether this process, and so what it starts, may use that CPU."""
    return number in os.sched_getaffinity(0)


def free_port():
    return free_ports(1)[0]


def free_ports(count):
    """So many different ports that nobody listens on. They lie below those that the kernel gives to
    outgoing connections, so that none is lost to one before its server binds it."""
    outgoing_from = int(OUTGOING_PORTS.read_text().split()[0])
    ports = range(PORTS_FROM, max(outgoing_from, PORTS_FROM + 1000))
    free = filter(is_free, random.sample(ports, len(ports)))
    return [next(free) for _ in range(count)]


def is_free(port):
    """Whether nobody listens on `port`. Looking is in no server's way: a port that is bound can be
    bound again until somebody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def sync_us(directory, times=25):
    """Median microseconds of a 4 KiB overwrite and its fdatasync in `directory`."""
    taken = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(bytes(SYNC_BYTES))
        os.fsync(file.fileno())
        for _ in range(times):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(SYNC_BYTES), 0)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken)


def describe():
    """Lines for the record."""
    cpu = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        cpu.setdefault(name.strip(), value.strip())
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "cpu": f"{cpu.get('model name', 'unknown')} (family {cpu.get('cpu family', '?')}, "
        f"model {cpu.get('model', '?')}), {os.cpu_count()} cores",
        "hypervisor": "virtual machine" if "hypervisor" in cpu.get("flags", "") else "bare metal",
        "memory": f"{memory_kib / 1024 / 1024:.1f} GiB",
        "kernel": platform.release(),
        "tcp congestion control": congestion.read_text().strip() if congestion.exists() else "?",
    }
