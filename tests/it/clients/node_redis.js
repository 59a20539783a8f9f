// node-redis against the server on port argv[2]. Any failure is an exception.

const assert = require('node:assert/strict');
const { createClient } = require('redis');

const port = Number(process.argv[2]);

async function suite(RESP) {
  const client = createClient({ RESP, socket: { port, host: '127.0.0.1' } });
  client.on('error', (error) => { throw error; });
  await client.connect();
  await client.flushAll();
  assert.equal(await client.set('a', '1'), 'OK');
  assert.equal(await client.get('a'), '1');
  assert.equal(await client.get('missing'), null);
  assert.equal(await client.incrBy('a', 2), 3);
  assert.equal(await client.hSet('h', { f: '1', g: '2' }), 2);
  assert.deepEqual({ ...(await client.hGetAll('h')) }, { f: '1', g: '2' });
  assert.equal(await client.rPush('l', ['1', '2', '3']), 3);
  assert.deepEqual(await client.lRange('l', 0, -1), ['1', '2', '3']);
  await client.zAdd('z', [{ value: 'a', score: 1.5 }, { value: 'b', score: 2 }]);
  assert.deepEqual(await client.zRangeWithScores('z', 0, -1), [
    { value: 'a', score: 1.5 },
    { value: 'b', score: 2 },
  ]);
  assert.deepEqual(await client.multi().set('t', '1').incr('t').get('t').exec(), ['OK', 2, '2']);
  const values = await Promise.all(Array.from({ length: 2000 }, (_, n) => client.set(`n:${n}`, `${n}`)));
  assert.ok(values.every((value) => value === 'OK'));
  const seen = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'n:*', COUNT: 100 })) {
    [keys].flat().forEach((key) => seen.add(key));
  }
  assert.equal(seen.size, 2000);

  const other = client.duplicate();
  await other.connect();
  await client.watch('w');
  await other.set('w', '1');
  await assert.rejects(client.multi().set('w', '2').exec(), /watch/i);
  await assert.rejects(client.incr('l'), /WRONGTYPE/);
  assert.equal(await client.ttl('a'), -1);
  assert.match(await client.info('server'), /redis_version/);
  await other.close();
  await client.close();
}

suite(2)
  .then(() => suite(3))
  .then(() => console.log('node-redis: all well'))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
