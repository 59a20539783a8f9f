//! `LATENCY DOCTOR`: where the time of a write goes, in words.

use std::fmt::Write;

use super::stages::{Stage, Stages};

/// A report for people: the stages with their latencies and their shares, and what the largest
/// one usually means.
pub fn doctor(stages: &Stages) -> String {
    let sum_ns: u64 = stages.iter().map(|(_, stage)| stage.mean_ns()).sum();
    let Some((largest, _)) = stages
        .iter()
        .filter(|(_, histogram)| histogram.count() > 0)
        .max_by_key(|(_, histogram)| histogram.mean_ns())
    else {
        return "No write was measured since the start or the last LATENCY RESET.\n".into();
    };
    let mut text = String::from("Where the time of a write goes (microseconds):\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>8}",
        "stage", "batches", "mean", "p50", "p99", "max", "share"
    );
    for (stage, histogram) in stages.iter() {
        let us = |ns: u64| ns as f64 / 1000.0;
        let share = 100.0 * histogram.mean_ns() as f64 / sum_ns.max(1) as f64;
        let _ = writeln!(
            text,
            "{:<8}{:>12}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{share:>7.1}%",
            stage.name(),
            histogram.count(),
            us(histogram.mean_ns()),
            us(histogram.quantile_ns(0.5)),
            us(histogram.quantile_ns(0.99)),
            us(histogram.max_ns()),
        );
    }
    let _ = writeln!(
        text,
        "\nMost of it is {}: {}",
        largest.name(),
        advice(largest)
    );
    text
}

fn advice(stage: Stage) -> &'static str {
    match stage {
        Stage::Queue => {
            "writes wait for the entries before them. Under load that is what makes batches; \
             when it is not, the core is busy or the disk is slow."
        }
        Stage::Append => {
            "handing entries to the log takes long. The core of the Raft tasks is busy: give it \
             one of its own (raft-core dedicated)."
        }
        Stage::Sync => {
            "the disk. A write waits for its sync at durability high and all; a drive with \
             power-loss protection is faster, durability medium or low does not wait."
        }
        Stage::Commit => "the network, or the disks of the other voters.",
        Stage::Apply => {
            "executing the commands. See INFO commandstats for the ones that take long, and add \
             cores."
        }
        Stage::Reply => {
            "bringing replies to the cores of their clients and to the sockets. Those cores are \
             busy."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stage_is_named() {
        let mut stages = Stages::default();
        assert!(doctor(&stages).starts_with("No write"));
        stages.record(Stage::Queue, 1_000);
        stages.record(Stage::Sync, 99_000);
        let text = doctor(&stages);
        assert!(text.contains("Most of it is sync: the disk."), "{text}");
        assert!(text.contains("99.0%"), "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with('%')).count(), 6);
    }
}
