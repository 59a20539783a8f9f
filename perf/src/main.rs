//! `quorate-perf`: load for Redis-protocol servers, light enough that the server is measured.
//!
//! Results go to stdout as one JSON object; `perf/run` reads them. See `README.md`.

mod ceiling;
mod check;
mod closed_loop;
mod command;
mod etcd;
mod latency;
#[cfg(test)]
mod loop_tests;
mod open_loop;
mod options;
mod probe;
mod random;
mod server_cpu;
mod wire;
mod workload;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use command::Command;
use open_loop::Arrivals;
use options::Options;
use wire::Wait;
use workload::{Shape, Workload};

const USAGE: &str = "\
quorate-perf closed   one batch in flight per connection; rate, server CPU
quorate-perf open     fixed arrival rate; latency from the due time, server CPU
quorate-perf etcd     as closed, in etcd's protocol: put, or linearizable range
quorate-perf preload  SET of every key once
quorate-perf ceiling  the ideal server: answers by counting bytes
quorate-perf probe    how slow memory is just now, for comparing times of day

all:      --host 127.0.0.1 --port 6379 --connections 50 --keys 100000 --value-bytes 32
closed:   --command get --get-percent 90 --pipeline 1 --warm-up 0.5 --seconds 2
          --server-pid PID[,PID] --seed 1 --wait spin|sleep
open:     --command get --get-percent 90 --rate 50000 --arrivals poisson|constant
          --warm-up 0.5 --seconds 2 --server-pid PID[,PID] --seed 1 --wait spin|sleep
etcd:     --command put|get|preload --calls 50 (outstanding, over all connections)
          --warm-up 0.5 --seconds 2 --server-pid PID[,PID] --seed 1
preload:  --pipeline 64
ceiling:  --command get|set|ping
commands: get set mixed set-wait incr mset lpush hset sadd zadd ping
";

/// Requests encoded before a run; more than fit a core's cache at 32-byte values.
const REQUESTS: usize = 1 << 17;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let outcome = Options::parse(arguments).and_then(|options| match mode.as_str() {
        "closed" => closed(options),
        "open" => open(options),
        "etcd" => etcd_load(options),
        "preload" => preload(options),
        "ceiling" => ideal(options),
        "probe" => probe_memory(options),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn address(options: &mut Options) -> Result<SocketAddr, String> {
    let host: std::net::IpAddr = options.take("host", [127, 0, 0, 1].into())?;
    Ok(SocketAddr::new(host, options.take("port", 6379)?))
}

fn shape(options: &mut Options, pipeline: usize) -> Result<Shape, String> {
    let get_percent = options.take("get-percent", 90)?;
    let command = options.take("command", "get".to_owned())?;
    let command = Command::parse(&command, get_percent, pipeline)?;
    Ok(Shape {
        command,
        keys: keys(options)?,
        value_bytes: options.take("value-bytes", 32)?,
        // Whole batches.
        requests: REQUESTS - REQUESTS % command.batch_requests(pipeline),
        seed: options.take("seed", 1)?,
    })
}

fn keys(options: &mut Options) -> Result<u64, String> {
    match options.take("keys", 100_000)? {
        0 => Err("--keys must be at least 1".to_owned()),
        keys => Ok(keys),
    }
}

fn connections(options: &mut Options) -> Result<usize, String> {
    match options.take("connections", 50)? {
        0 => Err("--connections must be at least 1".to_owned()),
        connections => Ok(connections),
    }
}

fn closed(mut options: Options) -> Result<(), String> {
    let pipeline = options.take("pipeline", 1)?.clamp(1, REQUESTS / 2);
    let shape = shape(&mut options, pipeline)?;
    let batch = shape.command.batch_requests(pipeline);
    let plan = closed_loop::Plan {
        address: address(&mut options)?,
        connections: connections(&mut options)?,
        pipeline: batch,
        warm_up: options.take_seconds("warm-up", 0.5)?,
        window: options.take_seconds("seconds", 2.0)?,
        server_pids: options.take_pids("server-pid")?,
        wait: options.take("wait", Wait::Spin)?,
    };
    options.finish()?;
    let outcome = closed_loop::run(&plan, &Workload::random(&shape))?;
    let idle_share = number_or_null(outcome.idle_share, 4);
    report(
        // What counts: a batch's `WAIT` does not.
        outcome.replies / batch as u64 * pipeline as u64,
        outcome.window,
        (outcome.server_cpu_ns, outcome.client_cpu_ns),
        &[
            format!("\"client_idle_share\": {idle_share}"),
            latency::json("latency", &outcome.latency),
        ],
    );
    Ok(())
}

fn open(mut options: Options) -> Result<(), String> {
    let arrivals = match options.take("arrivals", "poisson".to_owned())?.as_str() {
        "poisson" => Arrivals::Poisson,
        "constant" => Arrivals::Constant,
        other => {
            return Err(format!(
                "--arrivals: '{other}' is neither poisson nor constant"
            ));
        }
    };
    let plan = open_loop::Plan {
        address: address(&mut options)?,
        connections: connections(&mut options)?,
        rate: options.take("rate", 50_000.0)?,
        arrivals,
        warm_up: options.take_seconds("warm-up", 0.5)?,
        window: options.take_seconds("seconds", 2.0)?,
        server_pids: options.take_pids("server-pid")?,
        seed: 2,
        wait: options.take("wait", Wait::Spin)?,
    };
    if !(plan.rate > 0.0 && plan.rate.is_finite()) {
        return Err("--rate must be above 0".to_owned());
    }
    if plan.wait == Wait::Sleep {
        wire::sleep_exactly();
    }
    let shape = shape(&mut options, 1)?;
    if shape.command.batch_requests(1) != 1 {
        return Err("--command: only for closed, requests of a batch belong together".to_owned());
    }
    options.finish()?;
    let outcome = open_loop::run(&plan, &Workload::random(&shape))?;
    report(
        outcome.latency.len(),
        outcome.window,
        (outcome.server_cpu_ns, outcome.client_cpu_ns),
        &[
            format!("\"rate\": {:.1}", plan.rate),
            latency::json("latency", &outcome.latency),
            latency::json("send_lag", &outcome.send_lag),
        ],
    );
    Ok(())
}

fn etcd_load(mut options: Options) -> Result<(), String> {
    let plan = etcd::Plan {
        address: address(&mut options)?,
        connections: connections(&mut options)?,
        calls: options.take("calls", 50)?,
        command: etcd::Command::parse(&options.take("command", "put".to_owned())?)?,
        keys: keys(&mut options)?,
        value_bytes: options.take("value-bytes", 32)?,
        warm_up: options.take_seconds("warm-up", 0.5)?,
        window: options.take_seconds("seconds", 2.0)?,
        server_pids: options.take_pids("server-pid")?,
        seed: options.take("seed", 1)?,
    };
    options.finish()?;
    let outcome = etcd::run(&plan)?;
    report(
        outcome.replies,
        outcome.window,
        (outcome.server_cpu_ns, outcome.client_cpu_ns),
        &[latency::json("latency", &outcome.latency)],
    );
    Ok(())
}

fn preload(mut options: Options) -> Result<(), String> {
    let plan = closed_loop::Plan {
        address: address(&mut options)?,
        connections: connections(&mut options)?,
        pipeline: options.take("pipeline", 64)?.max(1),
        warm_up: Duration::ZERO,
        window: Duration::ZERO,
        server_pids: Vec::new(),
        wait: Wait::Sleep,
    };
    let shape = shape(&mut options, 1)?;
    options.finish()?;
    let loaded = closed_loop::send_all(&plan, &Workload::every_key(shape.keys, shape.value_bytes))?;
    println!("{{\"keys\": {loaded}}}");
    Ok(())
}

fn ideal(mut options: Options) -> Result<(), String> {
    let address = address(&mut options)?;
    let connections = connections(&mut options)?;
    let shape = shape(&mut options, 1)?;
    options.finish()?;
    let sample = Workload::random(&Shape {
        requests: 1,
        ..shape
    });
    let reply = sample
        .replies(0, 1)
        .ok_or("the ideal server answers get, set and ping only")?;
    let listener =
        TcpListener::bind(address).map_err(|error| format!("listening on {address}: {error}"))?;
    ceiling::serve(&listener, connections, sample.requests(0, 1).len(), reply)
}

fn probe_memory(options: Options) -> Result<(), String> {
    options.finish()?;
    println!(
        "{{\"memory_ns\": {:.1}}}",
        probe::load_ns(Duration::from_millis(50))
    );
    Ok(())
}

fn number_or_null(number: Option<f64>, digits: usize) -> String {
    number.map_or("null".to_owned(), |number| format!("{number:.digits$}"))
}

/// Prints what a window showed: what every load counts, and the fields of its `own`.
fn report(
    replies: u64,
    window: Duration,
    (server_cpu_ns, client_cpu_ns): (Option<u64>, u64),
    own: &[String],
) {
    let seconds = window.as_secs_f64();
    let per_reply = |ns: u64| ns as f64 / replies.max(1) as f64;
    let share = |ns: u64| ns as f64 / window.as_nanos() as f64;
    println!(
        "{{\"replies\": {replies}, \"seconds\": {seconds:.6}, \"rps\": {:.1}, {}, \"server_cpu_ns_per_reply\": {}, \"server_cpu_share\": {}, \"client_cpu_ns_per_reply\": {:.1}}}",
        replies as f64 / seconds,
        own.join(", "),
        number_or_null(server_cpu_ns.map(per_reply), 1),
        number_or_null(server_cpu_ns.map(share), 4),
        per_reply(client_cpu_ns),
    );
}
