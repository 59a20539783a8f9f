//! Replies of `LATENCY`: pure functions of what was measured.

use crate::metrics::{CommandStats, Stages};
use crate::resp::{Args, Reply};

/// Answers `LATENCY HISTOGRAM [command ..]`: of each command that was called (of all where none
/// is named; of a container its subcommands too) the calls and the cumulative counts by
/// microseconds, in Redis' shape.
pub fn histogram(args: Args<'_>, commands: &[(&'static str, CommandStats)]) -> Reply<'static> {
    let asked = |name: &str| {
        args.len() == 2
            || args.iter_from(2).any(|word| {
                let container = name.split('|').next().unwrap_or(name);
                word.eq_ignore_ascii_case(name.as_bytes())
                    || word.eq_ignore_ascii_case(container.as_bytes())
            })
    };
    Reply::Map(
        commands
            .iter()
            .filter(|(name, _)| asked(name))
            .filter_map(|(name, stats)| Some((name, stats.latency.as_ref()?)))
            .flat_map(|(name, latency)| {
                let counts = latency
                    .cumulative()
                    .into_iter()
                    .flat_map(|(bound_ns, count)| {
                        [
                            Reply::Int((bound_ns / 1000) as i64),
                            Reply::Int(count as i64),
                        ]
                    })
                    .collect();
                let of_command = Reply::Map(vec![
                    Reply::bulk(b"calls"),
                    Reply::Int(latency.count() as i64),
                    Reply::bulk(b"histogram_usec"),
                    Reply::Map(counts),
                ]);
                [Reply::bulk(name.as_bytes()), of_command]
            })
            .collect(),
    )
}

/// Answers `LATENCY STAGES`: of each stage of a write how many batches passed it, and the
/// nanoseconds of mean, p50, p99, p99.9 and the longest.
pub fn stages(stages: &Stages) -> Reply<'static> {
    Reply::Map(
        stages
            .iter()
            .flat_map(|(stage, histogram)| {
                let fields = [
                    ("count", histogram.count()),
                    ("mean_ns", histogram.mean_ns()),
                    ("p50_ns", histogram.quantile_ns(0.5)),
                    ("p99_ns", histogram.quantile_ns(0.99)),
                    ("p99.9_ns", histogram.quantile_ns(0.999)),
                    ("max_ns", histogram.max_ns()),
                ];
                let fields = fields.into_iter().flat_map(|(name, value)| {
                    [Reply::bulk(name.as_bytes()), Reply::Int(value as i64)]
                });
                [
                    Reply::bulk(stage.name().as_bytes()),
                    Reply::Map(fields.collect()),
                ]
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve::tests::request;
    use crate::metrics::{Stage, Stages};
    use crate::resp::{Protocol, encode};

    fn bytes(reply: &Reply<'_>, protocol: Protocol) -> String {
        let mut out = Vec::new();
        encode(reply, protocol, &mut out);
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn histograms_have_redis_shape() {
        let stats = |latencies: &[u64]| {
            let mut stats = CommandStats::default();
            for ns in latencies {
                stats.latency.get_or_insert_default().record(*ns);
            }
            stats
        };
        let commands = [
            ("set", stats(&[12_031])),
            ("get", CommandStats::default()),
            ("config|get", stats(&[7_000, 30_000])),
        ];
        let ask = |line: &str, protocol| {
            request(line, |args| bytes(&histogram(args, &commands), protocol))
        };
        assert_eq!(
            ask("latency histogram SET", Protocol::Resp2),
            "*2 $3 set *4 $5 calls :1 $14 histogram_usec *2 :16 :1 "
        );
        assert_eq!(
            ask("latency histogram config", Protocol::Resp3),
            "%1 $10 config|get %2 $5 calls :2 $14 histogram_usec %2 :8 :1 :32 :2 "
        );
        assert_eq!(ask("latency histogram get nosuch", Protocol::Resp2), "*0 ");
        assert!(ask("latency histogram", Protocol::Resp3).starts_with("%2 "));
    }

    #[test]
    fn stages_are_maps() {
        let mut measured = Stages::default();
        measured.record(Stage::Queue, 1_000);
        let text = bytes(&stages(&measured), Protocol::Resp3);
        assert!(
            text.starts_with("%6 $5 queue %6 $5 count :1 $7 mean_ns :1000 "),
            "{text}"
        );
    }
}
