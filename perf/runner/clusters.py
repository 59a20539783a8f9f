"""How clusters are started on loopback, and which of their nodes leads.

Nothing here has a core to itself: every process may use all of the cores given, alike for all.
"""

import json
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException

from . import machine, resp, servers

NODES = 3
LEADS_WITHIN_S = 15


@dataclass
class Target:
    """One node as a load sees it, with the CPU time of its whole cluster."""

    name: str
    port: int
    cluster: object

    @property
    def pid(self):
        return ",".join(str(node.pid) for node in self.cluster.nodes)

    def cpu_seconds(self):
        return self.cluster.cpu_seconds()


@contextmanager
def asking(name):
    """A node that does not answer, refuses, or leaves out what was asked fails its cluster."""
    try:
        yield
    except (OSError, HTTPException, resp.Refused, LookupError, ValueError) as failure:
        said = f"{type(failure).__name__}: {failure}"
        raise servers.ServerFailed(f"{name} does not say who leads: {said}") from failure


@dataclass
class Cluster:
    """Started nodes of one kind; `nodes[0]` is where clients of a single server go."""

    name: str
    nodes: list
    speaks_resp: bool = True

    def leader(self):
        """The index of the node that leads the whole cluster; None while none does.

        Raises `ServerFailed` when a node does not say.
        """
        raise NotImplementedError

    def settled(self):
        """Whether the cluster has its leader; asked while nodes start, when they may not answer."""
        try:
            return self.leader() is not None
        except servers.ServerFailed:
            return False

    def lead(self):
        """The index of the leading node, waited for where there is none just then."""
        deadline = time.monotonic() + LEADS_WITHIN_S
        while (leader := self.leader()) is None:
            if time.monotonic() > deadline:
                raise servers.ServerFailed(f"{self.name} has no leader")
            time.sleep(0.1)
        return leader

    def cpu_seconds(self):
        return sum(node.cpu_seconds() for node in self.nodes)

    def alive(self):
        return all(node.alive() for node in self.nodes)

    def log_tail(self):
        dead = [node for node in self.nodes if not node.alive()]
        return (dead or self.nodes)[0].log_tail()

    def target(self, place, name):
        leader = self.lead()
        index = leader if place == "leader" else (leader + 1) % len(self.nodes)
        return Target(name, self.nodes[index].port, self)

    def end(self):
        servers.end_all(self.nodes)


class Redis(Cluster):
    """The first node is the master of the others."""

    def leader(self):
        """The master, once all replicas take what it writes."""
        with asking(self.name):
            lines = resp.info(self.nodes[0].port, "replication")
        replicas = [lines.get(f"slave{at}", "") for at in range(len(self.nodes) - 1)]
        return 0 if all("state=online" in each for each in replicas) else None


@dataclass
class Quorate(Cluster):
    """Node 0 is made the leader, so that each run has it on the same core."""

    peer_ports: list = field(default_factory=list)

    def lead(self):
        deadline, refused = time.monotonic() + LEADS_WITHIN_S, ""
        while (leader := self.leader()) != 0:
            if time.monotonic() > deadline:
                raise servers.ServerFailed(f"{self.name}: node 0 does not come to lead{refused}")
            if leader is not None:
                refused = self._transfer(leader)
            time.sleep(0.1)
        return 0

    def leader(self):
        """The node that all name as the leader, with all nodes as voters; None if they differ."""
        with asking(self.name):
            said = [resp.info(node.port, "raft") for node in self.nodes]
            named = {each["raft_leader_address"] for each in said}
            voters = [each["raft_voters"].split(",") for each in said]
        whole = all(len(each) == len(self.nodes) for each in voters)
        ports = [f"127.0.0.1:{node.port}" for node in self.nodes]
        leader = named.pop() if len(named) == 1 else ""
        return ports.index(leader) if whole and leader in ports else None

    def _transfer(self, leader):
        """Asks `leader` to make node 0 the leader; returns what is to be said if it never is."""
        with asking(self.name):
            wanted = resp.info(self.nodes[0].port, "raft")["raft_node_id"]
        try:
            resp.ask(self.nodes[leader].port, "RAFT", "TRANSFER", wanted)
        except (OSError, resp.Refused) as failure:
            # Another may have come to lead meanwhile: the caller looks again.
            return f"; TRANSFER was answered: {failure}"
        return ""


class Etcd(Cluster):
    """Led by whom its own election chose."""

    def leader(self):
        with asking(self.name):
            said = [self._status(node.port) for node in self.nodes]
            members = [each["header"]["member_id"] for each in said]
        named = {each.get("leader") for each in said}
        leader = named.pop() if len(named) == 1 else None
        return members.index(leader) if leader in members else None

    def _status(self, port):
        url = f"http://127.0.0.1:{port}/v3/maintenance/status"
        with urllib.request.urlopen(url, data=b"{}", timeout=2) as answer:
            return json.load(answer)


def launch_all(program, settings, ports, arguments):
    """Starts a node for each port, with the line `arguments(index)` gives for its directory. Where
    one does not start, those before it are ended."""
    started = []
    try:
        for at, port in enumerate(ports):
            line = arguments(at)
            started.append(servers.launch(program, port, line, settings.cores, settings.scratch))
    except BaseException:
        servers.end_all(started)
        raise
    return started


def start_quorate(program, settings, nodes):
    """`nodes` nodes, one executor each, pinned as `settings.placement` says where it does."""
    ports = machine.free_ports(2 * nodes)
    members = list(map(member, ports[::2], ports[1::2]))
    among = ["--cluster-peers", ",".join(members), "--expect", nodes] if nodes > 1 else []

    def arguments(at):
        return quorate_line(settings, at, ports[2 * at], ports[2 * at + 1], among)

    started = launch_all(program, settings, ports[::2], arguments)
    cluster = Quorate(program.name, started, peer_ports=ports[1::2])
    servers.wait_for(started, cluster.settled, program.name)
    return cluster


def member(port, peer_port):
    return f"127.0.0.1:{port}@{peer_port}"


def quorate_line(settings, at, port, peer_port, among):
    """The line of node `at`, for its directory; `among` says how it comes to its cluster."""

    def line(directory):
        words = ["--port", port, "--peer-port", peer_port, "--dir", directory]
        words += ["--cores", "1", "--durability", "high"]
        cpu = placement_of(settings.placement, settings.cores)[at]
        if cpu is not None:
            words += ["--core-list", cpu]
        return [*words, *among, *settings.quorate_arguments]

    return line


def placement_of(placement, cores):
    """The CPU of each node's executor, of those in `cores`. `0,0,1` is that of the leader and of
    two followers; a node on its own gets the first. `none` is None for each: a node that is given
    no list and takes fewer cores than there are leaves them to the scheduler."""
    if placement == "none":
        return [None] * NODES
    cpus = placement.split(",")
    for cpu in cpus:
        # quorate would pin nothing, and the record say otherwise.
        if cpu not in cores.split(","):
            raise ValueError(f"{placement}: '{cpu}' is none of the CPUs that servers may use ({cores})")
    if len(cpus) != NODES:
        raise ValueError(f"{placement}: {len(cpus)} CPUs for {NODES} nodes")
    return cpus


def start_etcd(program, settings):
    """Three members with etcd's defaults: every write is synced by each member that takes it."""
    ports = machine.free_ports(2 * NODES)
    url = [f"http://127.0.0.1:{port}" for port in ports]
    members = ",".join(f"node{at}={url[2 * at + 1]}" for at in range(NODES))

    def arguments(at):
        client, peer = url[2 * at], url[2 * at + 1]
        return lambda directory: [
            "--name", f"node{at}", "--data-dir", directory / "data", "--log-level", "warn",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", members, "--initial-cluster-state", "new",
        ]

    started = launch_all(program, settings, ports[::2], arguments)
    cluster = Etcd(program.name, started, speaks_resp=False)
    servers.wait_for(started, cluster.settled, program.name)
    return cluster


def start_redis(program, settings, durability, replicas):
    """A master and its replicas, all as `servers.redis_arguments` has it."""
    ports = machine.free_ports(1 + replicas)

    def arguments(at):
        master = ["--replicaof", "127.0.0.1", ports[0]] if at > 0 else []
        return lambda directory: servers.redis_arguments(ports[at], directory, durability) + master

    started = launch_all(program, settings, ports, arguments)
    cluster = Redis(program.name, started)
    servers.wait_for(started, cluster.settled, program.name)
    return cluster


STARTERS = {
    "quorate-3": lambda program, settings: start_quorate(program, settings, NODES),
    "quorate-1": lambda program, settings: start_quorate(program, settings, 1),
    "etcd-3": start_etcd,
    "redis-wait": lambda program, settings: start_redis(program, settings, "high", 1),
    "redis": lambda program, settings: start_redis(program, settings, "low", 0),
}


def start(name, programs, settings):
    """Starts the cluster called `name`, of the binary among `programs` that it is made of. What
    stands behind ` on ` is a placement of its own."""
    kind, _, placement = name.partition(" on ")
    program = programs["quorate" if kind.startswith("quorate") else kind.split("-")[0]]
    if placement:
        settings = replace(settings, placement=placement)
    return STARTERS[kind](replace(program, name=name.replace(" ", "-")), settings)
