//! Both loops, spinning and sleeping, against the ideal server.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::command::Command;
use crate::open_loop::Arrivals;
use crate::wire::Wait;
use crate::workload::{Shape, Workload};
use crate::{ceiling, closed_loop, open_loop};

const CONNECTIONS: usize = 3;
const WINDOW: Duration = Duration::from_millis(50);

fn sets() -> Workload {
    Workload::random(&Shape {
        command: Command::Set,
        keys: 1,
        value_bytes: 8,
        requests: 64,
        seed: 1,
    })
}

/// Serves until the tests end.
fn ideal_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let request_bytes = sets().requests(0, 1).len();
    std::thread::spawn(move || ceiling::serve(&listener, CONNECTIONS, request_bytes, b"+OK\r\n"));
    address
}

#[test]
fn the_closed_loop_counts_and_times_batches() {
    let (address, workload) = (ideal_server(), sets());
    for wait in [Wait::Spin, Wait::Sleep] {
        let plan = closed_loop::Plan {
            address,
            connections: CONNECTIONS,
            pipeline: 4,
            warm_up: Duration::from_millis(5),
            window: WINDOW,
            server_pids: Vec::new(),
            wait,
        };
        let outcome = closed_loop::run(&plan, &workload).unwrap();
        assert_eq!(outcome.replies % 4, 0);
        let batches = outcome.replies / 4;
        assert!(batches > 0 && outcome.latency.len() <= batches);
        // What was sent before the window is counted, but not timed.
        assert!(outcome.latency.len() + CONNECTIONS as u64 >= batches);
        assert!(outcome.window >= WINDOW);
        let window_ns = outcome.window.as_nanos() as u64;
        // As coarse as the histogram is.
        assert!(outcome.latency.max() <= outcome.latency.highest_equivalent(window_ns));
        assert_eq!(outcome.idle_share.is_some(), wait == Wait::Spin);
        assert!(outcome.client_cpu_ns > 0);
    }
}

#[test]
fn the_open_loop_times_all_that_was_due() {
    let (address, workload) = (ideal_server(), sets());
    for wait in [Wait::Spin, Wait::Sleep] {
        let plan = open_loop::Plan {
            address,
            connections: CONNECTIONS,
            rate: 2000.0,
            arrivals: Arrivals::Constant,
            warm_up: Duration::from_millis(5),
            window: WINDOW,
            server_pids: Vec::new(),
            seed: 1,
            wait,
        };
        let outcome = open_loop::run(&plan, &workload).unwrap();
        let due = 2000 * WINDOW.as_millis() as u64 / 1000;
        assert!(outcome.latency.len().abs_diff(due) <= 1);
        assert_eq!(outcome.latency.len(), outcome.send_lag.len());
    }
}
