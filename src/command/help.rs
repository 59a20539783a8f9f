//! `HELP` of containers, from the table.

use std::sync::LazyLock;

use crate::resp::Reply;

use super::spec::Spec;
use super::table::public;

/// `HELP` of a container: its subcommands, each with what it does. Empty for what is none.
pub fn help(container: &str) -> Reply<'static> {
    static LINES: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
        public()
            .filter(|spec| !spec.subcommands.is_empty())
            .map(|spec| (spec.name, help_lines(spec)))
            .collect()
    });
    let lines = LINES.iter().find(|(name, _)| *name == container);
    let lines = lines.map_or(&[][..], |(_, lines)| lines.as_slice());
    Reply::Array(lines.iter().map(|line| Reply::Simple(line)).collect())
}

fn help_lines(container: &Spec) -> Vec<String> {
    let name = container.name.to_uppercase();
    let mut lines = vec![format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    )];
    for spec in container.subcommands {
        let short = spec.name.split_once('|').map_or(spec.name, |(_, sub)| sub);
        lines.push(short.to_uppercase());
        lines.push(format!("    {}", spec.summary));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_helps() {
        for spec in public().filter(|spec| !spec.subcommands.is_empty()) {
            let Reply::Array(lines) = help(spec.name) else {
                panic!("{} has no help", spec.name)
            };
            assert_eq!(lines.len(), 1 + 2 * spec.subcommands.len());
            let prefix = format!("{}|", spec.name);
            for sub in spec.subcommands {
                assert!(
                    sub.name.starts_with(&prefix) && !sub.summary.is_empty(),
                    "{}",
                    sub.name
                );
            }
        }
        assert_eq!(help("get"), Reply::Array(vec![]));
    }
}
