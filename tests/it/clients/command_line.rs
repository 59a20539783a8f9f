//! redis-cli: what operators type, and mass insertion.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::kit::{Server, command, integer, on_each};

use super::run;

fn cli(server: &Server, args: &[&str], input: Option<PathBuf>) -> String {
    let mut all = vec!["-p".to_string(), server.port().to_string()];
    all.extend(args.iter().map(ToString::to_string));
    run(Path::new("redis-cli"), &all, input)
}

#[test]
fn redis_cli_types_and_reads() {
    on_each(|server| {
        assert_eq!(cli(&server, &["PING"], None), "PONG\n");
        assert_eq!(cli(&server, &["-3", "PING"], None), "PONG\n");
        assert_eq!(cli(&server, &["SET", "a", "with blanks"], None), "OK\n");
        assert_eq!(cli(&server, &["GET", "a"], None), "with blanks\n");
        assert_eq!(cli(&server, &["-n", "3", "GET", "a"], None), "\n");
        assert!(cli(&server, &["INFO"], None).contains("redis_version"));
        assert!(cli(&server, &["COMMAND", "DOCS", "get"], None).contains("summary"));
        assert!(cli(&server, &["-3", "COMMAND", "DOCS"], None).len() > 10_000);
        assert!(
            cli(&server, &["COMMAND", "COUNT"], None)
                .trim()
                .parse::<u32>()
                .unwrap()
                > 100
        );
        let keys = cli(&server, &["COMMAND", "GETKEYS", "SET", "k", "v"], None);
        assert_eq!(keys, "k\n");
        assert_eq!(cli(&server, &["--scan"], None), "a\n");
        assert_eq!(
            cli(&server, &["-r", "100", "INCR", "n"], None)
                .lines()
                .count(),
            100
        );
        assert_eq!(cli(&server, &["GET", "n"], None), "100\n");
        let big = cli(&server, &["--bigkeys", "-i", "0"], None);
        assert!(
            big.contains("Biggest string") || big.contains("string"),
            "{big}"
        );
    });
}

#[test]
fn redis_cli_pipes_commands_in() {
    const COUNT: usize = 100_000;
    on_each(|server| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        for number in 0..COUNT {
            if number % 100 == 0 {
                writeln!(file, "SET inline:{number} \"in line\"\r").unwrap();
            } else {
                let bytes = command(&["SET", &format!("mass:{number}"), &number.to_string()]);
                file.write_all(&bytes).unwrap();
            }
        }
        drop(file);
        let said = cli(&server, &["--pipe"], Some(path));
        assert!(
            said.contains(&format!("errors: 0, replies: {COUNT}")),
            "{said}"
        );
        let mut wire = server.wire();
        assert_eq!(wire.run("DBSIZE"), integer(COUNT as i64));
        assert_eq!(wire.run("GET mass:99999").text(), "99999");
        assert_eq!(wire.run("GET inline:99900").text(), "in line");
    });
}

#[test]
fn redis_cli_sends_a_large_value() {
    on_each(|server| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        let value: Vec<u8> = (0..20_000_000u32)
            .map(|at| b'a' + (at % 23) as u8)
            .collect();
        std::fs::write(&path, &value).unwrap();
        assert_eq!(cli(&server, &["-x", "SET", "large"], Some(path)), "OK\n");
        let read = cli(&server, &["GET", "large"], None);
        assert!(read.trim_end().as_bytes() == value);
    });
}
