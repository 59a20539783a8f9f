// node-redis' cluster client against the node on port argv[2]. Any failure is an exception.

const assert = require('node:assert/strict');
const { createCluster } = require('redis');

const url = `redis://127.0.0.1:${process.argv[2]}`;

async function main() {
  for (const useReplicas of [false, true]) {
    const cluster = createCluster({ rootNodes: [{ url }], useReplicas });
    await cluster.connect();
    assert.deepEqual([cluster.masters.length, cluster.replicas.length], [1, 0]);
    assert.equal(cluster.slots.length, 16384);
    assert.equal(await cluster.set('a', '1'), 'OK');
    assert.equal(await cluster.get('a'), '1');
    const all = Array.from({ length: 1000 }, (_, n) => cluster.set(`k:${n}`, String(n)));
    assert.ok((await Promise.all(all)).every((reply) => reply === 'OK'));
    const multi = await cluster.multi().set('{t}', '1').incr('{t}').exec();
    assert.deepEqual(multi, ['OK', 2]);
    await cluster.close();
  }
  console.log('node-redis cluster: all well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
