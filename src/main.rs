//! The server: assembles configuration, node and wires.

use std::net::SocketAddr;

use quorate::node::{self, Layout};
use quorate::rt::socket;
use quorate::server::{Connections, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    tracing_subscriber::fmt().init();
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).cloned().unwrap_or(default.to_string())
    };
    let cores: usize = value("--cores", "1").parse().unwrap();
    let address: SocketAddr = format!("127.0.0.1:{}", value("--port", "6379")).parse().unwrap();
    let layout = Layout::new(cores, cores > 2);
    let cpus = value("--core-list", "");
    let options = node::Options {
        directory: value("--dir", "./quorate-data").into(),
        layout,
        cpus: cpus.split(',').filter_map(|cpu| cpu.parse().ok()).collect(),
        spin_us: value("--spin-us", "0").parse().unwrap(),
        durability: quorate::config::Durability::parse(&value("--durability", "high")).unwrap(),
        consistency: Default::default(),
        backend: quorate::log::Backend::Segment,
    };
    socket::probe(address).unwrap();
    let node = node::start(options, move |core| {
        let listeners = if layout.shard_on(core).is_some() {
            vec![socket::listen(address, 511).unwrap()]
        } else {
            Vec::new()
        };
        Connections::new(listeners, Limits::default(), core, layout.cores)
    });
    if let Err(error) = node.and_then(|node| node.wait()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
