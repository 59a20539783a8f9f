//! `quorate-perf`: load for Redis-protocol servers, light enough that the server is measured.
//!
//! Results go to stdout as one JSON object; `perf/run` reads them. See `README.md`.

mod ceiling;
mod check;
mod closed_loop;
mod command;
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
use workload::{Shape, Workload};

const USAGE: &str = "\
quorate-perf closed   one batch in flight per connection; rate, server CPU
quorate-perf open     fixed arrival rate; latency from the due time, server CPU
quorate-perf preload  SET of every key once
quorate-perf ceiling  the ideal server: answers by counting bytes
quorate-perf probe    how slow memory is just now, for comparing times of day

all:      --host 127.0.0.1 --port 6379 --connections 50 --keys 100000 --value-bytes 32
closed:   --command get --get-percent 90 --pipeline 1 --warm-up 0.5 --seconds 2
          --server-pid PID[,PID] --seed 1
open:     --command get --get-percent 90 --rate 50000 --arrivals poisson|constant
          --warm-up 0.5 --seconds 2 --server-pid PID[,PID] --seed 1
preload:  --pipeline 64
ceiling:  --command get|set|ping
commands: get set mixed incr mset lpush hset sadd zadd ping
";

/// Requests encoded before a run; more than fit a core's cache at 32-byte values.
const REQUESTS: usize = 1 << 17;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let outcome = Options::parse(arguments).and_then(|options| match mode.as_str() {
        "closed" => closed(options),
        "open" => open(options),
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

fn shape(options: &mut Options) -> Result<Shape, String> {
    let get_percent = options.take("get-percent", 90)?;
    let command = options.take("command", "get".to_owned())?;
    let (keys, requests): (u64, usize) = (options.take("keys", 100_000)?, REQUESTS);
    if keys == 0 {
        return Err("--keys must be at least 1".to_owned());
    }
    Ok(Shape {
        command: Command::parse(&command, get_percent)?,
        keys,
        value_bytes: options.take("value-bytes", 32)?,
        requests,
        seed: options.take("seed", 1)?,
    })
}

fn connections(options: &mut Options) -> Result<usize, String> {
    match options.take("connections", 50)? {
        0 => Err("--connections must be at least 1".to_owned()),
        connections => Ok(connections),
    }
}

fn closed(mut options: Options) -> Result<(), String> {
    let plan = closed_loop::Plan {
        address: address(&mut options)?,
        connections: connections(&mut options)?,
        pipeline: options.take("pipeline", 1)?.max(1),
        warm_up: options.take_seconds("warm-up", 0.5)?,
        window: options.take_seconds("seconds", 2.0)?,
        server_pids: options.take_pids("server-pid")?,
    };
    let shape = shape(&mut options)?;
    options.finish()?;
    let outcome = closed_loop::run(&plan, &Workload::random(&shape))?;
    let seconds = outcome.window.as_secs_f64();
    println!(
        "{{\"replies\": {}, \"seconds\": {seconds:.6}, \"rps\": {:.1}, \"client_idle_share\": {:.4}, {}}}",
        outcome.replies,
        outcome.replies as f64 / seconds,
        outcome.idle_share,
        cpu_fields(outcome.server_cpu_ns, outcome.replies, outcome.window),
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
    };
    if !(plan.rate > 0.0 && plan.rate.is_finite()) {
        return Err("--rate must be above 0".to_owned());
    }
    let shape = shape(&mut options)?;
    options.finish()?;
    let outcome = open_loop::run(&plan, &Workload::random(&shape))?;
    let replies = outcome.latency.len();
    println!(
        "{{\"replies\": {replies}, \"rate\": {:.1}, \"rps\": {:.1}, {}, {}, {}}}",
        plan.rate,
        replies as f64 / outcome.window.as_secs_f64(),
        quantiles("latency", &outcome.latency),
        quantiles("send_lag", &outcome.send_lag),
        cpu_fields(outcome.server_cpu_ns, replies, outcome.window),
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
    };
    let shape = shape(&mut options)?;
    options.finish()?;
    let loaded = closed_loop::send_all(&plan, &Workload::every_key(shape.keys, shape.value_bytes))?;
    println!("{{\"keys\": {loaded}}}");
    Ok(())
}

fn ideal(mut options: Options) -> Result<(), String> {
    let address = address(&mut options)?;
    let connections = connections(&mut options)?;
    let shape = shape(&mut options)?;
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

fn quantiles(name: &str, histogram: &hdrhistogram::Histogram<u64>) -> String {
    let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "\"{name}_us\": {{\"p50\": {:.1}, \"p99\": {:.1}, \"p99.9\": {:.1}, \"max\": {:.1}}}",
        us(0.5),
        us(0.99),
        us(0.999),
        histogram.max() as f64 / 1000.0
    )
}

fn cpu_fields(server_cpu_ns: Option<u64>, replies: u64, window: Duration) -> String {
    match server_cpu_ns {
        None => "\"server_cpu_ns_per_reply\": null, \"server_cpu_share\": null".to_owned(),
        Some(ns) => format!(
            "\"server_cpu_ns_per_reply\": {:.1}, \"server_cpu_share\": {:.4}",
            ns as f64 / replies.max(1) as f64,
            ns as f64 / window.as_nanos() as f64
        ),
    }
}
