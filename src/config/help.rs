//! `--help` and `--version`, from the table.

use super::directive::{Directive, Effect};
use super::startup::VERSION;
use super::table::{DIRECTIVES, SECTIONS};

/// The answer to `--version`.
pub(super) fn version() -> String {
    format!("quorate {VERSION}\n")
}

/// The answer to `--help`: how it is called, then every directive with range and default.
pub(super) fn text() -> String {
    let mut out = format!(
        "quorate {VERSION}: a Redis-protocol server in which an acknowledged write is on a \
         quorum's disks\n\n\
         usage: quorate [/path/to/quorate.conf] [-] [--directive value ..] ..\n\
         \x20 -               read configuration from standard input\n\
         \x20 -h, --help      print this\n\
         \x20 -v, --version   print the version\n\n\
         The file has one `directive value ..` a line, as redis.conf. * marks what CONFIG SET \
         changes while running.\n"
    );
    for directive in DIRECTIVES {
        if let Some((heading, _)) = SECTIONS.iter().find(|(_, first)| *first == directive.id) {
            out.push_str(&format!("\n{heading}\n"));
        }
        out.push_str(&entry(directive));
    }
    out
}

fn entry(directive: &Directive) -> String {
    let Directive {
        name,
        default,
        help,
        ..
    } = directive;
    match directive.effect {
        Effect::Only(why) => format!("  --{name} {default}\n        {help} Only this: {why}.\n"),
        Effect::Ignored(why) => format!("  --{name}\n        {help} No effect: {why}.\n"),
        Effect::Live | Effect::Start => {
            let mark = match directive.effect {
                Effect::Live => "*",
                _ => " ",
            };
            let range = directive.range();
            format!("{mark} --{name} <{range}>\n        {help} Default: {default}\n")
        }
    }
}
