//! The command line.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Fatal;

use super::help;
use super::settings::Config;
use super::table::Name;
use super::words;

/// The product's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Startup {
    /// Start a node.
    Run(Config),
    /// Print this and leave (`--help`, `--version`).
    Print(String),
}

/// The command line, read.
#[derive(Debug, Default, PartialEq)]
struct CommandLine {
    file: Option<PathBuf>,
    stdin: bool,
    /// Name and values, in order.
    options: Vec<(String, Vec<String>)>,
    print: Option<String>,
}

impl Config {
    /// Reads the command line (the program's name left out), the file that it names and, for `-`,
    /// standard input.
    ///
    /// `[file] [-] [--name value ..] ..` by Redis' rules: an argument behind `--name` is a value
    /// even where it looks like an option, further values follow up to the next `--`, and `-`
    /// counts where it is the first or the last.
    ///
    /// # Errors
    /// [`Fatal`] with the place (file and line, or the command line) and what is wrong there.
    pub fn from_args(args: &[String]) -> Result<Startup, Fatal> {
        Self::from_args_and(args, || {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map(|_| text)
                .map_err(|error| Fatal::io("reading the configuration from", "stdin", error))
        })
    }

    /// The settings of a node inside an application: directives with their values, each value as
    /// `CONFIG SET` takes it. The last one of a name counts.
    ///
    /// # Errors
    /// [`Fatal::Setup`] with what is wrong.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Config, Fatal> {
        const PLACE: &str = "settings";
        let mut config = Config::default();
        for (name, text) in pairs {
            let takes_many = Name::find(name).is_some_and(|found| found.directive().takes_many());
            let words = if takes_many {
                let unclosed = || Fatal::Setup(format!("{PLACE}: '{name}': unbalanced quotes"));
                words::split(text).ok_or_else(unclosed)?
            } else {
                vec![text.clone()]
            };
            config.apply(name, &words, PLACE)?;
        }
        config.check_cluster().map_err(Fatal::Setup)?;
        Ok(config)
    }

    fn from_args_and(
        args: &[String],
        stdin: impl FnOnce() -> Result<String, Fatal>,
    ) -> Result<Startup, Fatal> {
        let line = CommandLine::read(args)?;
        if let Some(text) = line.print {
            return Ok(Startup::Print(text));
        }
        let mut config = Config::default();
        if let Some(file) = &line.file {
            let path = absolute(file)?;
            config.read_file(&path, 0)?;
            config.set_file(path);
        }
        if line.stdin {
            config.read_text(&stdin()?, "stdin", 0)?;
        }
        for (name, values) in &line.options {
            config.apply(name, values, "command line")?;
        }
        config.check_cluster().map_err(Fatal::Setup)?;
        Ok(Startup::Run(config))
    }
}

impl CommandLine {
    fn read(args: &[String]) -> Result<CommandLine, Fatal> {
        let mut line = CommandLine::default();
        let mut at = 0;
        if let Some(first) = args.first().filter(|arg| !arg.starts_with('-')) {
            line.file = Some(PathBuf::from(first));
            at = 1;
        }
        // Whether the last option still lacks its first value.
        let mut pending = false;
        while let Some(arg) = args.get(at) {
            let last = at + 1 == args.len();
            match arg.as_str() {
                "-" if at == 0 || last => line.stdin = true,
                "-h" | "--help" if !pending => line.print = Some(help::text()),
                "-v" | "--version" if !pending => line.print = Some(help::version()),
                option if option.starts_with("--") && !pending => {
                    pending = line.option(&option[2..])?;
                    let bare_save = pending && option.eq_ignore_ascii_case("--save");
                    // As in Redis: `--save` alone means no snapshots.
                    if bare_save && args.get(at + 1).is_none_or(|next| next.starts_with("--")) {
                        line.value("");
                        pending = false;
                    }
                }
                value if line.options.is_empty() => {
                    return Err(Fatal::Setup(format!(
                        "command line: '{value}' stands before any --option; the configuration \
                         file comes first"
                    )));
                }
                value => {
                    line.value(value);
                    pending = false;
                }
            }
            at += 1;
        }
        Ok(line)
    }

    /// Takes `name` or `name value ..`. Answers whether a value is still to come.
    fn option(&mut self, text: &str) -> Result<bool, Fatal> {
        let words = words::split(text).filter(|words| !words.is_empty());
        let Some(words) = words else {
            let why = format!("command line: '--{text}' names no directive");
            return Err(Fatal::Setup(why));
        };
        self.options.push((words[0].clone(), words[1..].to_vec()));
        Ok(words.len() == 1)
    }

    fn value(&mut self, word: &str) {
        if let Some((_, values)) = self.options.last_mut() {
            values.push(word.into());
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Fatal> {
    std::path::absolute(path)
        .map_err(|error| Fatal::io("finding the configuration file", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Durability;

    fn args(line: &str) -> Vec<String> {
        words::split(line).unwrap()
    }

    fn run(line: &str) -> Result<Config, String> {
        let stdin = || Ok("timeout 3\nport 4\n".to_string());
        match Config::from_args_and(&args(line), stdin) {
            Ok(Startup::Run(config)) => Ok(config),
            Ok(Startup::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn options_are_read_as_redis_reads_them() {
        let read = |line: &str| CommandLine::read(&args(line)).unwrap();
        let option = |name: &str, values: &[&str]| {
            (
                name.to_string(),
                values.iter().map(|v| v.to_string()).collect::<Vec<_>>(),
            )
        };
        for (line, file, stdin, options) in [
            ("", None, false, vec![]),
            ("--port 7000", None, false, vec![option("port", &["7000"])]),
            (
                "a.conf --port 7000",
                Some("a.conf"),
                false,
                vec![option("port", &["7000"])],
            ),
            (
                "'--port 7000' --hz 5",
                None,
                false,
                vec![option("port", &["7000"]), option("hz", &["5"])],
            ),
            (
                "--bind a b c --port 1",
                None,
                false,
                vec![option("bind", &["a", "b", "c"]), option("port", &["1"])],
            ),
            (
                "--dir --odd --port 1",
                None,
                false,
                vec![option("dir", &["--odd"]), option("port", &["1"])],
            ),
            (
                "--save --port 1",
                None,
                false,
                vec![option("save", &[""]), option("port", &["1"])],
            ),
            ("--save", None, false, vec![option("save", &[""])]),
            (
                "--save 900 1",
                None,
                false,
                vec![option("save", &["900", "1"])],
            ),
            ("- --port 1", None, true, vec![option("port", &["1"])]),
            ("--port 1 -", None, true, vec![option("port", &["1"])]),
        ] {
            let expected = CommandLine {
                file: file.map(PathBuf::from),
                stdin,
                options,
                print: None,
            };
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn the_last_source_counts() {
        let config = run("- --port 5 --durability low").unwrap();
        assert_eq!((config.port(), config.durability()), (5, Durability::Low));
        assert_eq!(config.timeout().unwrap().as_secs(), 3);
        assert_eq!(run("--port 9 -").unwrap().port(), 9);
        assert_eq!(run("").unwrap(), Config::default());
    }

    #[test]
    fn pairs_are_read_as_config_set_reads_them() {
        let read = |pairs: &[(&str, &str)]| {
            let own = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
            let pairs: Vec<(String, String)> = pairs.iter().map(own).collect();
            Config::from_pairs(&pairs).map_err(|error| error.to_string())
        };
        let config = read(&[
            ("dir", "/a b"),
            ("cores", "2"),
            ("cores", "3"),
            ("consistency", "bounded 10"),
            ("cluster-peers", "a:1 b:2"),
        ])
        .unwrap();
        assert_eq!(config.dir(), Path::new("/a b"));
        assert_eq!((config.cores(), config.cluster_peers().len()), (Some(3), 2));
        assert_eq!(
            config.consistency(),
            crate::config::Consistency::Bounded(10)
        );
        for (pairs, expected) in [
            (
                ("prot", "1"),
                "settings: unknown directive 'prot'; did you mean 'port'?",
            ),
            (("bind", "'a"), "settings: 'bind': unbalanced quotes"),
            (
                ("expect", "3"),
                "expect counts the nodes of cluster-peers, and none is named",
            ),
        ] {
            assert_eq!(read(&[pairs]).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, expected) in [
            (
                "--prot 1",
                "command line: unknown directive 'prot'; did you mean 'port'?",
            ),
            ("--port", "command line: 'port': wrong number of arguments"),
            ("--", "command line: '--' names no directive"),
            (
                "-x",
                "command line: '-x' stands before any --option; the configuration file comes first",
            ),
            (
                "/no/such/file.conf",
                "reading the configuration file /no/such/file.conf: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(run(line).unwrap_err(), expected, "{line}");
        }
        assert!(run("--help").unwrap_err().contains("--durability"));
        assert!(run("-v").unwrap_err().contains(VERSION));
    }
}
