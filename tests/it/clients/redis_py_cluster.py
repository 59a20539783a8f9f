"""redis-py's RedisCluster against the node on port argv[1]. Any failure is an exception."""

import sys

from redis.cluster import LoadBalancingStrategy, RedisCluster

PORT = int(sys.argv[1])


def connect(**options):
    return RedisCluster(host="127.0.0.1", port=PORT, decode_responses=True, **options)


def topology(r):
    (node,) = r.get_nodes()
    assert (node.host, node.port, node.server_type) == ("127.0.0.1", PORT, "primary")
    assert r.cluster_info()["cluster_state"] == "ok"
    lines = r.cluster_nodes()
    assert lines[f"127.0.0.1:{PORT}"]["slots"] == [["0", "16383"]], lines
    assert lines[f"127.0.0.1:{PORT}"]["node_id"] == r.cluster_myid(node)
    assert r.cluster_slots()[(0, 16383)]["primary"] == ("127.0.0.1", PORT)
    (shard,) = r.cluster_shards()
    assert shard["nodes"][0]["role"] == "master" and shard["nodes"][0]["port"] == PORT
    assert r.cluster_keyslot("foo") == 12182


def commands(r):
    r.flushall()
    assert r.set("a", "1") and r.get("a") == "1"
    assert r.incr("a") == 2
    assert r.mset_nonatomic({f"m:{n}": n for n in range(100)})
    assert r.mget_nonatomic([f"m:{n}" for n in range(100)]) == [str(n) for n in range(100)]
    with r.pipeline() as pipe:
        for n in range(1000):
            pipe.set(f"p:{n}", n)
            pipe.incr(f"p:{n}")
        replies = pipe.execute()
    assert replies == [value for n in range(1000) for value in (True, n + 1)]
    assert r.dbsize() == 1101
    assert sorted(r.scan_iter(match="m:*")) == sorted(f"m:{n}" for n in range(100))
    assert r.set("{foo}1", "x") and r.set("foo", "y")
    assert r.cluster_countkeysinslot(12182) == 2
    assert sorted(r.cluster_get_keys_in_slot(12182, 10)) == ["foo", "{foo}1"]
    assert r.delete("{foo}1", "foo") == 2


for version in (2, 3):
    for balancing in (None, LoadBalancingStrategy.ROUND_ROBIN):
        r = connect(protocol=version, load_balancing_strategy=balancing)
        topology(r)
        commands(r)
        r.close()
print("redis-py cluster: all well")
