"""redis-py's RedisCluster against the nodes on the ports argv[1:], while one after another leads.

Says "ready" once it works, and after each line on its input shows that it still does: whatever
became of the leader meanwhile. Any failure is an exception."""

import sys
import time

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError

PORTS = [int(port) for port in sys.argv[1:]]


def works(r, number):
    """Within ten seconds a write succeeds, and is read."""
    end = time.monotonic() + 10
    while True:
        try:
            assert r.set(f"py:{number}", number)
            assert r.get(f"py:{number}") == str(number)
            return
        except RedisError as error:
            if time.monotonic() > end:
                raise
            print("again:", error, file=sys.stderr)
            time.sleep(0.1)


nodes = [ClusterNode("127.0.0.1", port) for port in PORTS]
r = RedisCluster(startup_nodes=nodes, decode_responses=True)
works(r, 0)
primaries = {node.port for node in r.get_primaries()}
assert len(primaries) == 1, primaries
assert {node.port for node in r.get_nodes()} == set(PORTS), r.get_nodes()
print("ready", *primaries, flush=True)
for number, _ in enumerate(sys.stdin, 1):
    works(r, number)
    # Where it sends this key by now; get_primaries() goes on naming leaders of before.
    print("works", r.get_node_from_key(f"py:{number}").port, flush=True)
