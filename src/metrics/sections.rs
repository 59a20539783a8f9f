//! The lines of `INFO`'s sections.

use super::histogram::Histogram;
use super::info::Lines;
use super::snapshot::Snapshot;

/// The Redis release whose commands and replies this server speaks.
const REDIS_VERSION: &str = "7.2.0";

pub(super) fn server(snapshot: &Snapshot, lines: &mut Lines) {
    let server = &snapshot.server;
    let uptime_s = (server.now_us / 1000).saturating_sub(server.started_ms) / 1000;
    lines
        .add("redis_version", REDIS_VERSION)
        .add("redis_mode", "standalone")
        .add("server_name", "quorate")
        .add("quorate_version", env!("CARGO_PKG_VERSION"))
        .add("os", &server.os)
        .add("arch_bits", usize::BITS)
        .add("multiplexing_api", "io_uring")
        .add("process_id", server.process_id)
        .add("process_supervised", "no")
        .add("run_id", &server.run_id)
        .add("tcp_port", server.port)
        .add("server_time_usec", server.now_us)
        .add("uptime_in_seconds", uptime_s)
        .add("uptime_in_days", uptime_s / 86_400)
        .add("executable", &server.executable)
        .add("config_file", &server.config_file)
        .add("cores", server.cores)
        .flag("raft_core_dedicated", server.raft_core_dedicated)
        .add("durability", &server.durability)
        .add("consistency", &server.consistency);
}

pub(super) fn clients(snapshot: &Snapshot, lines: &mut Lines) {
    let clients = &snapshot.clients;
    lines
        .add("connected_clients", clients.connected)
        .add("maxclients", clients.clients_max)
        .add("client_recent_max_input_buffer", clients.input_bytes_max)
        .add("client_recent_max_output_buffer", clients.output_bytes_max)
        .add("blocked_clients", clients.blocked)
        .add("tracking_clients", 0);
}

pub(super) fn memory(snapshot: &Snapshot, lines: &mut Lines) {
    let memory = &snapshot.memory;
    // Without the allocator's word the dataset is what is known to be used.
    let used = memory.used_bytes.max(memory.dataset_bytes);
    let overhead = used - memory.dataset_bytes;
    let ratio = memory.rss_bytes as f64 / used.max(1) as f64;
    lines
        .add_bytes("used_memory", used)
        .add_bytes("used_memory_rss", memory.rss_bytes)
        .add_bytes("used_memory_peak", memory.used_bytes_peak.max(used))
        .add("used_memory_overhead", overhead)
        .add("used_memory_dataset", memory.dataset_bytes)
        .add_bytes("total_system_memory", memory.system_bytes)
        .add_bytes("maxmemory", 0)
        .add("maxmemory_policy", "noeviction")
        .add("mem_fragmentation_ratio", format!("{ratio:.2}"))
        .add("mem_log_entries", memory.log_bytes)
        .add("mem_allocator", "mimalloc");
}

pub(super) fn persistence(snapshot: &Snapshot, lines: &mut Lines) {
    let persistence = &snapshot.persistence;
    let now_ms = snapshot.server.now_us / 1000;
    let seconds = |ms: Option<u64>| ms.map_or(-1, |ms| (ms / 1000) as i64);
    let running = persistence
        .checkpoint_began_ms
        .map(|began_ms| now_ms.saturating_sub(began_ms));
    let ok = |failed: bool| if failed { "err" } else { "ok" };
    lines
        .flag("loading", persistence.loading)
        .add(
            "rdb_changes_since_last_save",
            persistence.entries_since_checkpoint,
        )
        .flag(
            "rdb_bgsave_in_progress",
            persistence.checkpoint_began_ms.is_some(),
        )
        .add("rdb_last_save_time", persistence.checkpoint_last_ms / 1000)
        .add(
            "rdb_last_bgsave_status",
            ok(persistence.checkpoint_last_failed),
        )
        .add(
            "rdb_last_bgsave_time_sec",
            seconds(persistence.checkpoint_last_took_ms),
        )
        .add("rdb_current_bgsave_time_sec", seconds(running))
        .add("rdb_saves", persistence.checkpoints)
        .flag("aof_enabled", true)
        .flag("aof_rewrite_in_progress", false)
        .add(
            "aof_last_write_status",
            ok(persistence.log_failure.is_some()),
        )
        .add("aof_current_size", persistence.log_bytes)
        .add("log_backend", persistence.log_backend)
        .add(
            "log_failure",
            persistence.log_failure.as_deref().unwrap_or_default(),
        );
}

pub(super) fn stats(snapshot: &Snapshot, lines: &mut Lines) {
    let counters = &snapshot.counters;
    let rates = &snapshot.stats;
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    lines
        .add("total_connections_received", counters.connections_received)
        .add("total_commands_processed", counters.commands_processed)
        .add(
            "instantaneous_ops_per_sec",
            rates.commands_per_second.round() as u64,
        )
        .add("total_net_input_bytes", counters.input_bytes)
        .add("total_net_output_bytes", counters.output_bytes)
        .add(
            "instantaneous_input_kbps",
            kilobytes(rates.input_bytes_per_second),
        )
        .add(
            "instantaneous_output_kbps",
            kilobytes(rates.output_bytes_per_second),
        )
        .add("rejected_connections", counters.connections_rejected)
        .add(
            "client_output_buffer_limit_disconnections",
            counters.connections_overflowed,
        )
        .add("expired_keys", counters.keys_expired)
        .add("evicted_keys", 0)
        .add("keyspace_hits", counters.keyspace_hits)
        .add("keyspace_misses", counters.keyspace_misses)
        .add("total_forks", 0)
        .add("total_error_replies", counters.errors_replied)
        .add("total_reads_processed", counters.socket_reads)
        .add("total_writes_processed", counters.socket_writes)
        .add("entries_proposed", counters.entries_proposed)
        .add("commands_proposed", counters.commands_proposed)
        .add("core_messages_sent", counters.messages_sent)
        .add("core_commands_sent", counters.commands_sent);
}

pub(super) fn replication(snapshot: &Snapshot, lines: &mut Lines) {
    for (name, value) in &snapshot.replication {
        lines.add(name, value);
    }
}

pub(super) fn raft(snapshot: &Snapshot, lines: &mut Lines) {
    for (name, value) in &snapshot.raft {
        lines.add(name, value);
    }
    for (stage, histogram) in snapshot.stages.iter() {
        let name = format!("write_{}_usec", stage.name());
        lines.add(&name, percentiles(histogram));
    }
}

pub(super) fn cpu(snapshot: &Snapshot, lines: &mut Lines) {
    lines
        .add("used_cpu_sys", format!("{:.6}", snapshot.cpu.system))
        .add("used_cpu_user", format!("{:.6}", snapshot.cpu.user));
}

pub(super) fn commandstats(snapshot: &Snapshot, lines: &mut Lines) {
    for (name, stats) in &snapshot.commands {
        let mean = stats.ns as f64 / 1000.0 / stats.calls.max(1) as f64;
        lines.add(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={},usec={},usec_per_call={mean:.2},rejected_calls={},failed_calls={}",
                stats.calls,
                stats.ns / 1000,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

pub(super) fn errorstats(snapshot: &Snapshot, lines: &mut Lines) {
    for (code, count) in snapshot.errors.iter() {
        lines.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn latencystats(snapshot: &Snapshot, lines: &mut Lines) {
    for (name, stats) in &snapshot.commands {
        if let Some(latency) = &stats.latency {
            lines.add(
                &format!("latency_percentiles_usec_{name}"),
                percentiles(latency),
            );
        }
    }
}

/// Percentiles in microseconds, as Redis' `latencystats`.
fn percentiles(histogram: &Histogram) -> String {
    let us = |share: f64| histogram.quantile_ns(share) as f64 / 1000.0;
    let (p50, p99, p999) = (us(0.5), us(0.99), us(0.999));
    format!("p50={p50:.3},p99={p99:.3},p99.9={p999:.3}")
}

pub(super) fn cluster(_: &Snapshot, lines: &mut Lines) {
    lines.flag("cluster_enabled", true);
}

pub(super) fn keyspace(snapshot: &Snapshot, lines: &mut Lines) {
    for database in snapshot
        .keyspace
        .iter()
        .filter(|database| database.keys > 0)
    {
        lines.add(
            &format!("db{}", database.database),
            format_args!(
                "keys={},expires={},avg_ttl={}",
                database.keys, database.expires, database.ttl_ms_mean
            ),
        );
    }
}
