// ioredis against the server on port argv[2]. Any failure is an exception.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const Redis = require('ioredis');

const port = Number(process.argv[2]);
const connect = (options) => new Redis({ port, host: '127.0.0.1', ...options });

async function basics(redis) {
  await redis.flushall();
  assert.equal(await redis.set('a', '1'), 'OK');
  assert.equal(await redis.get('a'), '1');
  assert.equal(await redis.get('missing'), null);
  assert.equal(await redis.incrby('a', 41), 42);
  await redis.mset(new Map([['x', '1'], ['y', '2'], ['z', '3']]));
  assert.deepEqual(await redis.mget('x', 'y', 'z', 'missing'), ['1', '2', '3', null]);
  await redis.hset('h', { f: 1, g: 2 });
  assert.deepEqual(await redis.hgetall('h'), { f: '1', g: '2' });
  await redis.rpush('l', 1, 2, 3);
  assert.deepEqual(await redis.lrange('l', 0, -1), ['1', '2', '3']);
  await redis.zadd('z1', 1, 'a', 2, 'b');
  assert.deepEqual(await redis.zrange('z1', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2']);
  await assert.rejects(redis.incr('l'), /WRONGTYPE/);
  const binary = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
  await redis.set('binary', binary);
  assert.deepEqual(await redis.getBuffer('binary'), binary);
}

async function pipelines(redis) {
  const pipeline = redis.pipeline();
  for (let n = 0; n < 1000; n++) pipeline.set(`p:${n}`, n).get(`p:${n}`);
  const replies = await pipeline.exec();
  replies.forEach(([error, value], at) => {
    assert.equal(error, null);
    assert.equal(value, at % 2 ? String((at - 1) / 2) : 'OK');
  });
  const multi = await redis.multi().set('t', 1).incr('t').lpush('t', 1).get('t').exec();
  assert.deepEqual(multi.map(([error, value]) => (error ? 'error' : value)), ['OK', 2, 'error', '2']);
  // Without awaiting: one pipeline by itself.
  const all = await Promise.all(Array.from({ length: 5000 }, (_, n) => redis.incr(`auto:${n % 7}`)));
  assert.equal(all.length, 5000);
}

async function conflicts(redis) {
  const other = connect();
  await redis.watch('w');
  await other.set('w', 1);
  assert.equal(await redis.multi().set('w', 2).exec(), null);
  assert.equal(await redis.get('w'), '1');
  other.disconnect();
}

async function scans(redis) {
  await redis.flushall();
  const names = Array.from({ length: 2000 }, (_, n) => `scan:${n}`);
  await redis.mset(...names.flatMap((name) => [name, 'x']));
  const seen = new Set();
  const stream = redis.scanStream({ match: 'scan:*', count: 100 });
  for await (const keys of stream) keys.forEach((key) => seen.add(key));
  assert.equal(seen.size, 2000);
}

async function reconnects() {
  const redis = connect({ retryStrategy: () => 20 });
  const killer = connect();
  await redis.set('before', 1);
  const id = await redis.client('ID');
  const ready = once(redis, 'ready');
  assert.equal(await killer.client('KILL', 'ID', id), 1);
  await ready;
  assert.equal(await redis.get('before'), '1');
  assert.notEqual(await redis.client('ID'), id);
  redis.disconnect();
  killer.disconnect();
}

async function main() {
  const redis = connect();
  await basics(redis);
  await pipelines(redis);
  await conflicts(redis);
  await scans(redis);
  await reconnects();
  assert.match(await redis.info(), /redis_version/);
  assert.equal(await redis.quit(), 'OK');
  console.log('ioredis: all well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
