"""How clusters are started on loopback, and which of their nodes leads.

Nothing here has a core to itself: every process may use all of the cores given, alike for all.
"""

import json
import time
import urllib.request
from dataclasses import dataclass, replace

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
        return sum(node.cpu_seconds() for node in self.cluster.nodes)

    def alive(self):
        return all(node.alive() for node in self.cluster.nodes)

    def log_tail(self):
        dead = [node for node in self.cluster.nodes if not node.alive()]
        return (dead or self.cluster.nodes)[0].log_tail()


@dataclass
class Cluster:
    """Started nodes of one kind; `nodes[0]` is where clients of a single server go."""

    name: str
    nodes: list
    speaks_resp: bool = True

    def lead(self):
        """The index of the leading node. Where a leader can be asked to be another, it is asked."""
        return 0

    def target(self, place, name):
        leader = self.lead()
        index = leader if place == "leader" else (leader + 1) % len(self.nodes)
        return Target(name, self.nodes[index].port, self)

    def end(self):
        for node in self.nodes:
            node.end()


class Quorate(Cluster):
    """Node 0 is made the leader, so that each run has it on the same core."""

    def lead(self):
        deadline = time.monotonic() + LEADS_WITHIN_S
        while (leader := self._leader()) != 0:
            if time.monotonic() > deadline:
                raise servers.ServerFailed(f"{self.name}: node 0 does not come to lead")
            if leader is not None:
                self._transfer(leader)
            time.sleep(0.1)
        return 0

    def settled(self):
        """Whether all nodes name one leader, and all nodes as voters."""
        try:
            leader = self._leader()
        except (OSError, KeyError, resp.Refused):
            return False
        return leader is not None

    def _leader(self):
        """The index of the node that all name as the leader of all of them; None if they differ."""
        said = [resp.info(node.port, "raft") for node in self.nodes]
        named = {each["raft_leader_address"] for each in said}
        whole = all(len(each["raft_voters"].split(",")) == len(self.nodes) for each in said)
        ports = [f"127.0.0.1:{node.port}" for node in self.nodes]
        leader = named.pop() if len(named) == 1 else ""
        return ports.index(leader) if whole and leader in ports else None

    def _transfer(self, leader):
        wanted = resp.info(self.nodes[0].port, "raft")["raft_node_id"]
        try:
            resp.ask(self.nodes[leader].port, "RAFT", "TRANSFER", wanted)
        except (OSError, resp.Refused):
            pass  # Another has come to lead meanwhile; the caller looks again.


class Etcd(Cluster):
    """Led by whom its own election chose."""

    def lead(self):
        leader = self._leader()
        if leader is None:
            raise servers.ServerFailed("etcd has no leader")
        return leader

    def settled(self):
        try:
            return self._leader() is not None
        except OSError:
            return False

    def _leader(self):
        said = [self._status(node.port) for node in self.nodes]
        members = [each["header"]["member_id"] for each in said]
        named = {each.get("leader") for each in said}
        leader = named.pop() if len(named) == 1 else None
        return members.index(leader) if leader in members else None

    def _status(self, port):
        url = f"http://127.0.0.1:{port}/v3/maintenance/status"
        with urllib.request.urlopen(url, data=b"{}", timeout=2) as answer:
            return json.load(answer)


def start_quorate(program, settings, nodes):
    """`nodes` nodes, one executor each, pinned as `settings.placement` says where it does."""
    ports = machine.free_ports(2 * nodes)
    members = [f"127.0.0.1:{ports[2 * at]}@{ports[2 * at + 1]}" for at in range(nodes)]
    cpus = placement_of(settings.placement, settings.cores)

    def arguments(at):
        def line(directory):
            words = ["--port", ports[2 * at], "--peer-port", ports[2 * at + 1], "--dir", directory]
            words += ["--cores", "1", "--durability", "high"]
            if cpus[at] is not None:
                words += ["--core-list", cpus[at]]
            if nodes > 1:
                words += ["--cluster-peers", ",".join(members), "--expect", nodes]
            return words + settings.quorate_arguments

        return line

    started = [
        servers.launch(program, ports[2 * at], arguments(at), settings.cores, settings.scratch)
        for at in range(nodes)
    ]
    cluster = Quorate(program.name, started)
    servers.wait_for(started, cluster.settled, program.name)
    return cluster


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
            raise servers.ServerFailed(
                f"placement {placement}: '{cpu}' is none of the CPUs that servers may use ({cores})"
            )
    if len(cpus) != NODES:
        raise servers.ServerFailed(f"placement {placement}: {len(cpus)} CPUs for {NODES} nodes")
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

    started = [
        servers.launch(program, ports[2 * at], arguments(at), settings.cores, settings.scratch)
        for at in range(NODES)
    ]
    cluster = Etcd(program.name, started, speaks_resp=False)
    servers.wait_for(started, cluster.settled, program.name)
    return cluster


def start_redis(program, settings, durability, replicas):
    """A master and its replicas, all as `servers.redis_arguments` has it."""
    started = []
    for port in machine.free_ports(1 + replicas):
        master = ["--replicaof", "127.0.0.1", started[0].port] if started else []

        def line(directory, port=port, master=master):
            return servers.redis_arguments(port, directory, durability) + master

        started.append(servers.launch(program, port, line, settings.cores, settings.scratch))
        servers.wait_for(started, lambda port=port: servers.answers(port), program.name)

    def attached():
        lines = resp.info(started[0].port, "replication")
        return all("state=online" in lines.get(f"slave{at}", "") for at in range(replicas))

    servers.wait_for(started, attached, program.name)
    return Cluster(program.name, started)


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
