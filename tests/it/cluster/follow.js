// ioredis' Cluster against the nodes on the ports argv[2..], while one after another leads.
//
// Says "ready" once it works, and after each line on its input shows that it still does: whatever
// became of the leader meanwhile. Any failure ends it.

const Redis = require('ioredis');
const readline = require('node:readline');

const nodes = process.argv.slice(2).map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const cluster = new Redis.Cluster(nodes, { clusterRetryStrategy: () => 100 });
cluster.on('error', (error) => console.error('again:', error.message));

// Within ten seconds a write succeeds, and is read.
async function works(number) {
  const end = Date.now() + 10000;
  for (;;) {
    try {
      await cluster.set(`js:${number}`, number);
      if ((await cluster.get(`js:${number}`)) === String(number)) return;
      throw new Error('another value');
    } catch (error) {
      if (Date.now() > end) throw error;
      console.error('again:', error.message);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function main() {
  await works(0);
  const masters = () => cluster.nodes('master').map((node) => node.options.port).join(' ');
  console.log('ready', masters());
  let number = 0;
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    number += 1;
    await works(number);
    console.log('works', masters());
  }
  cluster.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
