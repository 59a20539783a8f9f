//! Tests of reading and changing settings.

use std::time::Duration;

use super::*;
use crate::config::{Consistency, LogBackend, LogLevel, RaftCore};

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
    config
        .set(pairs)
        .map(|changes| changes.0.iter().map(Name::to_string).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn every_accessor_reads_its_default() {
    let config = Config::default();
    assert_eq!(config.port(), 6379);
    assert_eq!(config.bind(), ["127.0.0.1"]);
    assert!(config.protected_mode());
    assert_eq!(config.tcp_backlog(), 511);
    assert_eq!(config.tcp_keepalive(), Some(Duration::from_secs(300)));
    assert_eq!(config.timeout(), None);
    assert_eq!(config.clients_max(), 10_000);
    assert_eq!(config.output_limits().pubsub.soft_bytes, 8 << 20);
    assert_eq!(config.query_bytes_max(), 1 << 30);
    assert_eq!((config.cores(), config.core_list()), (None, vec![]));
    assert_eq!(config.raft_core(), RaftCore::Auto);
    assert_eq!(config.spin(), Duration::ZERO);
    assert_eq!(config.durability(), Durability::High);
    assert_eq!(config.consistency(), Consistency::Linearizable);
    assert_eq!(config.dir(), Path::new("./quorate-data"));
    assert_eq!(config.log_backend(), LogBackend::Segment);
    assert_eq!(config.log_segment_bytes(), crate::limits::SEGMENT_BYTES);
    assert_eq!(config.checkpoint_log_bytes(), 512 << 20);
    assert_eq!(config.checkpoint_slice(), Duration::from_micros(500));
    assert_eq!(
        (config.log_level(), config.log_file()),
        (LogLevel::Notice, None)
    );
    assert_eq!(config.slowlog_us_min(), Some(10_000));
    assert_eq!(config.slowlog_len_max(), 128);
}

#[test]
fn a_core_list_says_how_many() {
    let mut config = Config::default();
    config.read_text("core-list 4-7", "f", 0).unwrap();
    assert_eq!(
        (config.cores(), config.core_list()),
        (Some(4), vec![4, 5, 6, 7])
    );
    config.read_text("cores 2", "f", 0).unwrap();
    assert_eq!(config.cores(), Some(2));
}

#[test]
fn redis_benchmark_is_told_the_truth() {
    let mut config = Config::default();
    let ask = |config: &Config| (config.show(Name::Save), config.show(Name::Appendonly));
    assert_eq!(ask(&config), (String::new(), "yes".into()));
    for (level, appendfsync) in [
        ("low", "no"),
        ("medium", "everysec"),
        ("high", "always"),
        ("all", "always"),
    ] {
        set(&mut config, &[("durability", level)]).unwrap();
        assert_eq!(config.show(Name::Appendfsync), appendfsync);
    }
    // `always` does not weaken `all`.
    assert_eq!(set(&mut config, &[("appendfsync", "always")]), Ok(vec![]));
    assert_eq!(config.durability(), Durability::All);
    assert_eq!(
        set(&mut config, &[("appendfsync", "no")]),
        Ok(vec!["durability".into(), "appendfsync".into()])
    );
    assert_eq!(config.durability(), Durability::Low);
    assert_eq!(
        set(&mut config, &[("save", ""), ("appendonly", "yes")]),
        Ok(vec![])
    );
    assert_eq!(set(&mut config, &[("save", "900 1")]), Ok(vec![]));
    assert_eq!(config.show(Name::Save), "");
}

#[test]
fn patterns_are_globs_in_any_case() {
    let config = Config::default();
    let names = |pattern: &str| -> Vec<String> {
        config
            .get(pattern)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names("PORT"), ["port"]);
    assert_eq!(
        names("max*"),
        ["maxclients", "maxmemory", "maxmemory-policy"]
    );
    assert_eq!(names("nosuch"), [""; 0]);
    assert_eq!(names("*").len(), DIRECTIVES.len());
    assert_eq!(config.get_any(["port", "p?rt", "bind"]).len(), 2);
}

#[test]
fn refusals_are_redis_texts() {
    let failed = |name: &str, why: &str| {
        Err(format!(
            "CONFIG SET failed (possibly related to argument '{name}') - {why}"
        ))
    };
    let mut config = Config::default();
    for (pairs, name, why) in [
        (
            &[("maxclients", "0")][..],
            "maxclients",
            "argument must be between 1 and 4294967295 inclusive",
        ),
        (
            &[("maxclients", "abc")],
            "maxclients",
            "argument couldn't be parsed into an integer",
        ),
        (
            &[("protected-mode", "maybe")],
            "protected-mode",
            "argument must be 'yes' or 'no'",
        ),
        (
            &[("maxmemory", "1x")],
            "maxmemory",
            "argument must be a memory value",
        ),
        (&[("port", "7000")], "port", "can't set immutable config"),
        (
            &[("loglevel", "foo")],
            "loglevel",
            "argument(s) must be one of the following: debug, verbose, notice, warning",
        ),
        (
            &[("timeout", "1"), ("TIMEOUT", "2")],
            "TIMEOUT",
            "duplicate parameter",
        ),
        (
            &[("client-output-buffer-limit", "normal 1 2")],
            "client-output-buffer-limit",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            &[("timeout", "5"), ("save", "1 2 3")],
            "save",
            "Invalid save parameters",
        ),
        (
            &[("maxmemory", "1gb")],
            "maxmemory",
            "only '0' is possible: there is no eviction yet",
        ),
        (
            &[("databases", "32")],
            "databases",
            "only '16' is possible: the number of databases is fixed",
        ),
    ] {
        assert_eq!(set(&mut config, pairs), failed(name, why));
    }
    assert_eq!(
        set(&mut config, &[("timeout", "5"), ("foo", "1")]),
        Err("Unknown option or number of arguments for CONFIG SET - 'foo'".into())
    );
    assert_eq!(config, Config::default(), "all or none");
}

#[test]
fn changes_are_named_once() {
    let mut config = Config::default();
    assert_eq!(
        set(
            &mut config,
            &[
                ("loglevel", "DEBUG"),
                ("timeout", "0"),
                ("consistency", "bounded 50")
            ]
        ),
        Ok(vec!["consistency".into(), "loglevel".into()])
    );
    assert_eq!(config.consistency(), Consistency::Bounded(50));
    assert_eq!(config.log_level(), LogLevel::Debug);
}

#[test]
fn what_has_no_effect_is_noted() {
    let mut config = Config::default();
    config
        .read_text("save 900 1\nsave 60 1000\nhz 10\nhz 50\nsave \"\"", "f", 0)
        .unwrap();
    assert_eq!(config.notices().len(), 2, "{:?}", config.notices());
    assert!(config.notices()[0].starts_with("save has no effect"));
    config.read_text("appendfsync everysec", "f", 0).unwrap();
    assert_eq!(
        config.notices()[2],
        "appendfsync everysec means durability medium"
    );
}
