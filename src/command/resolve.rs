//! A request to its command: the name, the subcommand, the number of arguments.

use crate::resp::{Args, Error};

use super::spec::Spec;
use super::table::by_name;

/// Bytes of a name, and of the arguments, that an error repeats, as Redis.
const ECHO_BYTES: usize = 128;

/// The command that a request names, its subcommand where it is a container.
///
/// # Errors
/// Redis' texts for an unknown command or subcommand, and for a wrong number of arguments.
#[inline]
pub fn resolve(args: Args<'_>) -> Result<&'static Spec, Error> {
    let spec = by_name(args.at(0).unwrap_or_default()).ok_or_else(|| unknown(args))?;
    let spec = if spec.subcommands.is_empty() {
        spec
    } else {
        subcommand(spec, args)?
    };
    if spec.accepts(args.len()) {
        Ok(spec)
    } else {
        Err(Error::arity(spec.name))
    }
}

/// The subcommand that argument 1 names; the container itself when there is no argument 1.
#[cold]
fn subcommand(container: &'static Spec, args: Args<'_>) -> Result<&'static Spec, Error> {
    let Some(word) = args.at(1) else {
        return Ok(container);
    };
    find_subcommand(container, word).ok_or_else(|| {
        Error::new(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            echo(word, ECHO_BYTES),
            container.name.to_uppercase()
        ))
    })
}

fn find_subcommand(container: &'static Spec, word: &[u8]) -> Option<&'static Spec> {
    container
        .subcommands
        .iter()
        .find(|spec| short_name(spec).as_bytes().eq_ignore_ascii_case(word))
}

/// The command of a name as `COMMAND INFO` takes it: `get`, `config|get`, in any case.
pub(super) fn by_full_name(name: &[u8]) -> Option<&'static Spec> {
    match memchr::memchr(b'|', name) {
        None => by_name(name),
        Some(bar) => find_subcommand(by_name(&name[..bar])?, &name[bar + 1..]),
    }
}

/// A subcommand's name without its container's.
fn short_name(spec: &Spec) -> &'static str {
    spec.name.split_once('|').map_or(spec.name, |(_, sub)| sub)
}

#[cold]
fn unknown(args: Args<'_>) -> Error {
    let name = echo(args.at(0).unwrap_or_default(), ECHO_BYTES);
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    let begin = text.len();
    for arg in args.iter_from(1) {
        let room = ECHO_BYTES.saturating_sub(text.len() - begin);
        if room == 0 {
            break;
        }
        text.push_str(&format!("'{}' ", echo(arg, room)));
    }
    Error::new(text)
}

/// What a client sent, for an error: cut, and readable.
fn echo(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::golden::grammar::with_args;
    use super::*;

    /// Calls `with` with the words of a line as a request.
    pub fn request<T>(line: &str, with: impl FnOnce(Args<'_>) -> T) -> T {
        with_args(&line.split(' ').collect::<Vec<_>>(), with)
    }

    fn resolved(line: &str) -> Result<&'static str, String> {
        request(line, |args| {
            resolve(args)
                .map(|spec| spec.name)
                .map_err(|error| error.0.into_owned())
        })
    }

    #[test]
    fn commands_and_subcommands() {
        for (line, expected) in [
            ("GET k", Ok("get")),
            ("config GET port", Ok("config|get")),
            ("command", Ok("command")),
            ("COMMAND count", Ok("command|count")),
            ("client no-evict on", Ok("client|no-evict")),
            (
                "get",
                Err("ERR wrong number of arguments for 'get' command"),
            ),
            (
                "config",
                Err("ERR wrong number of arguments for 'config' command"),
            ),
            (
                "config get",
                Err("ERR wrong number of arguments for 'config|get' command"),
            ),
            (
                "config Foo",
                Err("ERR unknown subcommand 'Foo'. Try CONFIG HELP."),
            ),
            (
                "Foo",
                Err("ERR unknown command 'Foo', with args beginning with: "),
            ),
            (
                "foo a b",
                Err("ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
            ),
            (
                "config|get x",
                Err("ERR unknown command 'config|get', with args beginning with: 'x' "),
            ),
        ] {
            assert_eq!(resolved(line), expected.map_err(String::from), "{line}");
        }
        let long = resolved(&format!("foo {}", "x".repeat(500))).unwrap_err();
        assert!(long.len() < 220, "{}", long.len());
    }

    #[test]
    fn full_names() {
        assert_eq!(by_full_name(b"Config|GET").unwrap().name, "config|get");
        assert_eq!(by_full_name(b"get").unwrap().name, "get");
        assert!(by_full_name(b"get|x").is_none() && by_full_name(b"x|y").is_none());
    }
}
