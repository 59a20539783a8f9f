"""redis-py against the server on port argv[1]. Any failure is an exception."""

import sys
import threading

import redis

PORT = int(sys.argv[1])


def connect(**options):
    options.setdefault("decode_responses", True)
    return redis.Redis(host="127.0.0.1", port=PORT, socket_timeout=60, **options)


def basics(protocol):
    r = connect(protocol=protocol)
    r.flushall()
    assert r.ping()
    assert r.set("a", "1") and r.get("a") == "1"
    assert r.incr("a", 5) == 6
    assert r.set("a", "x", nx=True) is None
    assert r.mset({f"m:{n}": n for n in range(100)})
    assert r.mget([f"m:{n}" for n in range(100)]) == [str(n) for n in range(100)]
    assert r.hset("h", mapping={"f": "1", "g": "2"}) == 2
    assert r.hgetall("h") == {"f": "1", "g": "2"}
    assert r.rpush("l", *range(10)) == 10
    assert r.lrange("l", 2, 4) == ["2", "3", "4"]
    assert r.sadd("s", "a", "b") == 2
    assert r.smembers("s") == {"a", "b"}
    assert r.zadd("z", {"one": 1, "two": 2.5}) == 2
    expected = [("one", 1.0), ("two", 2.5)]
    assert [tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)] == expected
    assert r.zscore("z", "two") == 2.5
    assert r.expire("a", 100) and 0 < r.ttl("a") <= 100
    assert r.type("z") == "zset"
    assert r.delete("a", "h", "nosuch") == 2
    try:
        r.lpush("s", 1)
        raise AssertionError("no error")
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error) or "wrong kind" in str(error)
    binary = connect(protocol=protocol, decode_responses=False)
    blob = bytes(range(256)) * 400
    assert binary.set(b"\x00bin\r\n", blob) and binary.get(b"\x00bin\r\n") == blob


def pipelines(protocol):
    r = connect(protocol=protocol)
    with r.pipeline() as pipe:  # transaction=True
        for n in range(1000):
            pipe.set(f"p:{n}", n)
            pipe.incr(f"p:{n}")
        replies = pipe.execute()
    assert replies == [value for n in range(1000) for value in (True, n + 1)]
    with r.pipeline(transaction=False) as pipe:
        for n in range(5000):
            pipe.get(f"p:{n % 1000}")
        assert pipe.execute() == [str(n % 1000 + 1) for n in range(5000)]
    with r.pipeline() as pipe:
        pipe.set("ok", 1).lpush("ok", 1).get("ok")
        replies = pipe.execute(raise_on_error=False)
        assert replies[0] is True and replies[2] == "1"
        assert isinstance(replies[1], redis.ResponseError)


def optimism():
    """WATCH from many threads: no increment is lost."""
    r = connect()
    r.set("count", 0)

    def work():
        for _ in range(50):
            r.transaction(lambda pipe: add(pipe), "count")

    def add(pipe):
        value = int(pipe.get("count"))
        pipe.multi()
        pipe.set("count", value + 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("count") == "200", r.get("count")
    with r.pipeline() as pipe:
        pipe.watch("count")
        r.incr("count")
        pipe.multi()
        pipe.get("count")
        try:
            pipe.execute()
            raise AssertionError("no WatchError")
        except redis.WatchError:
            pass


def scans(protocol):
    r = connect(protocol=protocol)
    r.flushall()
    with r.pipeline(transaction=False) as pipe:
        for n in range(3000):
            pipe.set(f"scan:{n}", n)
        pipe.execute()
    assert sorted(r.scan_iter(count=50)) == sorted(f"scan:{n}" for n in range(3000))
    assert len(list(r.scan_iter(match="scan:12*"))) == 111
    r.hset("h", mapping={f"f{n}": n for n in range(1000)})
    assert dict(r.hscan_iter("h")) == {f"f{n}": str(n) for n in range(1000)}
    r.sadd("s", *range(1000))
    assert {int(member) for member in r.sscan_iter("s")} == set(range(1000))
    r.zadd("z", {str(n): n for n in range(1000)})
    assert dict(r.zscan_iter("z")) == {str(n): float(n) for n in range(1000)}


def administration(protocol):
    r = connect(protocol=protocol, client_name="administration")
    info = r.info()
    for name in ("redis_version", "tcp_port", "used_memory", "connected_clients", "role"):
        assert name in info, name
    assert info["tcp_port"] == PORT
    everything = r.info("all")
    assert everything["db0"]["keys"] >= 1
    assert "cmdstat_set" in everything
    assert r.info("keyspace")["db0"]["keys"] == r.dbsize()
    assert r.config_get("maxclients")["maxclients"] == "10000"
    assert r.config_set("timeout", 0)
    clients = r.client_list()
    assert any(client["name"] == "administration" for client in clients)
    assert any(client.get("lib-name", "").startswith("redis-py") for client in clients)
    assert r.client_id() > 0
    assert len(r.time()) == 2
    assert r.command_count() > 100
    assert r.command()["get"]["arity"] == 2
    assert r.command_getkeys("mset", "a", 1, "b", 2) == ["a", "b"]
    assert r.echo("hello") == "hello"
    assert r.lastsave() is not None
    hello = r.execute_command("HELLO", protocol)
    fields = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2]))
    assert fields["proto"] == protocol and fields["role"] == "master", fields
    assert r.wait(0, 10) == 0


for version in (2, 3):
    basics(version)
    pipelines(version)
    scans(version)
    administration(version)
optimism()
print("redis-py: all well")
