//! The server: assembles configuration, node and wires.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use quorate::config::{Config, Logging, RaftCore, Startup, VERSION};
use quorate::database;
use quorate::error::Fatal;
use quorate::node::{self, Event, Layout};
use quorate::rt::socket;
use quorate::server::{Connections, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = match Config::from_args(&args) {
        Ok(Startup::Run(config)) => config,
        Ok(Startup::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &Fatal) -> ExitCode {
    eprintln!("quorate: {error}");
    ExitCode::FAILURE
}

fn run(config: Config) -> Result<(), Fatal> {
    Logging::install(&config)?.keep();
    database::quiet_panics();
    let addresses = addresses(&config)?;
    let (layout, cpus) = placement(&config);
    for address in &addresses {
        socket::probe(*address).map_err(|error| cannot_listen(*address, &error))?;
    }
    // Signals are taken by a thread of their own; every other inherits the mask.
    let signals = block_signals();
    announce(&config, layout, &cpus, &addresses);
    let front_config = config.clone();
    let open_everywhere = Arc::new(AtomicUsize::new(0));
    let node = node::start(config, layout, cpus, move |core| {
        let mut listeners = Vec::new();
        if layout.shard_on(core).is_some() {
            for address in &addresses {
                let backlog = front_config.tcp_backlog() as i32;
                let listener = socket::listen(*address, backlog);
                listeners.push(listener.map_err(|error| cannot_listen(*address, &error))?);
            }
        }
        Ok(Connections::new(
            listeners,
            Limits::of(&front_config),
            core,
            layout.cores,
            open_everywhere.clone(),
        ))
    })?;
    let sender = node.sender();
    let signalled = move || {
        wait_for_signal(&signals);
        tracing::info!("a signal came: stopping");
        // The node has stopped when nobody listens.
        let _ = sender.send(Event::StopAsked);
    };
    let waiting = std::thread::Builder::new().name("signals".into());
    let waiting = waiting.spawn(signalled);
    waiting.map_err(|error| Fatal::Setup(format!("no thread to wait for signals: {error}")))?;
    node.wait()?;
    tracing::info!("stopped");
    Ok(())
}

/// What a newcomer wants to know, once.
fn announce(config: &Config, layout: Layout, cpus: &[usize], addresses: &[SocketAddr]) {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    tracing::info!("quorate {VERSION} on {}", shown.join(", "));
    let raft = if layout.dedicated {
        "one of them Raft's own"
    } else {
        "Raft shares the first"
    };
    let pinned = if cpus.is_empty() {
        "not pinned".to_string()
    } else {
        format!("pinned to {cpus:?}")
    };
    tracing::info!(
        "{} cores ({raft}), {} shards, {pinned}",
        layout.cores,
        layout.shards
    );
    tracing::info!(
        "durability {}, consistency {}",
        config.durability(),
        config.consistency()
    );
    tracing::info!("data in {}", config.dir().display());
    for notice in config.notices() {
        tracing::warn!("{notice}");
    }
}

/// How many cores, which does what, and the CPU of each. Pinned where CPUs are listed, or the node
/// takes all there are: of several nodes on a machine with fewer cores each, all would take the same.
fn placement(config: &Config) -> (Layout, Vec<usize>) {
    let allowed = allowed_cpus();
    let listed = config.core_list();
    let cores = config.cores().unwrap_or(if listed.is_empty() {
        allowed.len()
    } else {
        listed.len()
    });
    let dedicated = match config.raft_core() {
        RaftCore::Auto => cores > 2,
        RaftCore::Shared => false,
        RaftCore::Dedicated => true,
    };
    let candidates = if listed.is_empty() { &allowed } else { &listed };
    let mut cpus: Vec<usize> = candidates.iter().copied().take(cores).collect();
    if listed.is_empty() && cores < allowed.len() {
        cpus.clear();
    } else if cpus.len() < cores || cpus.iter().any(|cpu| !allowed.contains(cpu)) {
        tracing::warn!(
            "{cores} cores were asked for and {} may be used: none is pinned",
            candidates.len()
        );
        cpus.clear();
    }
    (Layout::new(cores.max(1), dedicated), cpus)
}

/// CPUs that this process may run on.
fn allowed_cpus() -> Vec<usize> {
    // SAFETY: sched_getaffinity fills a plain set of the size given; the macros only read it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: `cpu` is within the set's size.
    let cpus = (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) });
    let cpus: Vec<usize> = cpus.collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

fn addresses(config: &Config) -> Result<Vec<SocketAddr>, Fatal> {
    let mut found = Vec::new();
    for host in config.bind() {
        // As Redis: an address behind `-` may be missing on this machine; `*` is every one.
        let (host, optional) = match host.strip_prefix('-') {
            Some(host) => (host, true),
            None => (host.as_str(), false),
        };
        let host = match host {
            "*" => "0.0.0.0",
            "::*" => "::",
            host => host,
        };
        match (host, config.port()).to_socket_addrs() {
            Ok(addresses) => found.extend(addresses.take(1)),
            Err(_) if optional => {}
            Err(error) => {
                return Err(Fatal::Setup(format!(
                    "bind {host}: {error}: give an address of this machine"
                )));
            }
        }
    }
    Ok(found)
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Fatal {
    Fatal::Setup(match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            format!("{address} is in use: stop what listens there, or give another --port")
        }
        Some(libc::EACCES) => format!(
            "{address} is not allowed: give a --port above 1023, or the capability \
             CAP_NET_BIND_SERVICE"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Keeps SIGTERM and SIGINT for [`wait_for_signal`].
fn block_signals() -> libc::sigset_t {
    // SAFETY: the set is made by sigemptyset before it is used; only this thread's mask changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

fn wait_for_signal(set: &libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: the set was made by `block_signals`; the signal's number is written to a local.
    unsafe { libc::sigwait(set, &mut signal) };
}
