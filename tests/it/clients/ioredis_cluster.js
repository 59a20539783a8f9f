// ioredis' Cluster against the node on port argv[2]. Any failure is an exception.

const assert = require('node:assert/strict');
const Redis = require('ioredis');

const port = Number(process.argv[2]);

async function commands(cluster) {
  assert.equal(await cluster.set('a', '1'), 'OK');
  assert.equal(await cluster.get('a'), '1');
  assert.equal(await cluster.incrby('a', 41), 42);
  const all = await Promise.all(Array.from({ length: 2000 }, (_, n) => cluster.set(`k:${n}`, n)));
  assert.ok(all.every((reply) => reply === 'OK'));
  // A pipeline's keys share a slot, by the client's own rule.
  const pipeline = cluster.pipeline();
  for (let n = 0; n < 100; n++) pipeline.set(`{p}${n}`, n).get(`{p}${n}`);
  const replies = await pipeline.exec();
  replies.forEach(([error, value], at) => {
    assert.equal(error, null);
    assert.equal(value, at % 2 ? String((at - 1) / 2) : 'OK');
  });
  const multi = await cluster.multi().set('{t}', 1).incr('{t}').get('{t}').exec();
  assert.deepEqual(multi.map(([, value]) => value), ['OK', 2, '2']);
}

async function main() {
  for (const scaleReads of ['master', 'slave', 'all']) {
    const cluster = new Redis.Cluster([{ host: '127.0.0.1', port }], { scaleReads });
    await commands(cluster);
    const [node] = cluster.nodes('master');
    assert.deepEqual([cluster.nodes('all').length, node.options.port], [1, port]);
    assert.equal(await node.cluster('KEYSLOT', 'foo'), 12182);
    assert.equal(await cluster.quit(), 'OK');
  }
  console.log('ioredis cluster: all well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
