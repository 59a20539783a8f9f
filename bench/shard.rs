//! Running an entry: a delivery of so many SETs, each answered.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use quorate::command::{Spec, by_name, mutation};
use quorate::keyspace::OrderSlice;
use quorate::metrics::{CoreMetrics, Timing};
use quorate::resp::{Args, Protocol, Reply};
use quorate::shard::{Delivery, Host, Item, Local, Part, Shard, ShardMessage};
use quorate::slot::slot_of;
use quorate::value::Digest;

/// Takes replies as a connection would, and counts as a core does.
#[derive(Default)]
struct Desk {
    out: Vec<u8>,
    metrics: CoreMetrics,
}

impl Host for Desk {
    fn reply(&mut self, _origin: usize, _item: &Item, write: &mut dyn FnMut(&mut Vec<u8>)) {
        write(&mut self.out);
    }

    fn send(&mut self, _shard: usize, _message: ShardMessage) {}

    fn digested(&mut self, _index: u64, _slice: OrderSlice, _digest: Digest, _us: u64) {}

    fn time(&mut self, spec: &Spec) -> Timing {
        self.metrics.time(spec.is_constant_time())
    }

    fn ran(
        &mut self,
        spec: &Spec,
        _args: Args<'_>,
        _item: Option<&Item>,
        timing: Timing,
        _reply: &Reply<'_>,
    ) {
        self.metrics.ran(spec.id, timing, None);
    }
}

fn delivery(count: usize) -> Arc<Delivery> {
    let set = by_name(b"set").expect("SET is in the table").id;
    let mut payload = Vec::new();
    let mut items = Vec::new();
    for number in 0..count {
        let key = format!("key:{:012}", number * 7919 % 100_000);
        let slot = slot_of(key.as_bytes());
        mutation::write_slices(&mut payload, set, slot, 0, &[key.as_bytes(), &[b'v'; 32]]);
        items.push(Item {
            client: 0,
            seq: number as u32,
            core: 0,
            read: false,
            ordered: true,
            protocol: Protocol::Resp2,
        });
    }
    let part = Part {
        commands: 0..payload.len(),
        local: Some(Arc::new(Local {
            items,
            ..Local::default()
        })),
    };
    Arc::new(Delivery {
        id: 1,
        index: 1,
        now_ms: 1_700_000_000_000,
        seed: 1,
        payload: payload.into(),
        parts: vec![part],
        capture: None,
        digest: None,
        replace: None,
    })
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard/apply");
    for count in [64, 1024] {
        let delivery = delivery(count);
        let (mut shard, mut desk) = (Shard::new(0, 1, 1), Desk::default());
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} SETs"), |bencher| {
            bencher.iter(|| {
                desk.out.clear();
                shard.deliver(delivery.clone());
                shard.run(&mut desk);
                black_box(desk.out.len())
            });
        });
        assert_eq!(shard.fault(), None);
    }
    group.finish();
}
