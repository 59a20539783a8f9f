//! A request as it goes from an application to a core.

use crate::command::{Spec, resolve, split_with};
use crate::config::{Consistency, Durability};
use crate::limits::{ARGS_MAX, BULK_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::resp::{Args, Span};

use super::error::Error;

/// Commands that mean a connection, with what an application does instead.
const OF_CONNECTIONS: &[(&str, &str)] = &[
    ("quit", "there is no connection to close: drop the session"),
    ("shutdown", "the application stops its node: Node::stop"),
    ("client|reply", "each call is answered by its future"),
];

/// Commands that change a session, so that they mean nothing without one.
const OF_SESSIONS: &[&str] = &[
    "multi",
    "exec",
    "discard",
    "watch",
    "unwatch",
    "select",
    "hello",
    "reset",
    "readonly",
    "readwrite",
    "client|consistency",
    "client|durability",
    "client|setname",
    "client|setinfo",
];

/// A request, with levels of its own where it has any.
pub(super) struct Request {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pub consistency: Option<Consistency>,
    pub durability: Option<Durability>,
}

impl Request {
    /// Copies the arguments of a command, its name first.
    ///
    /// # Errors
    /// None, too many or too large ones, as a server would say.
    pub fn new<I>(args: I) -> Result<Request, Error>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let refused = |why: &str| Err(Error::Command(format!("ERR {why}")));
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for arg in args {
            let arg = arg.as_ref();
            if arg.len() > BULK_BYTES_MAX || bytes.len() + arg.len() > REQUEST_BYTES_MAX {
                return refused("an argument, or all of them together, are too large");
            }
            if spans.len() == ARGS_MAX {
                return refused("too many arguments");
            }
            let start = bytes.len() as u32;
            bytes.extend_from_slice(arg);
            spans.push(Span {
                start,
                end: bytes.len() as u32,
            });
        }
        if spans.is_empty() {
            return refused("a command has a name at least");
        }
        Ok(Request {
            bytes,
            spans,
            consistency: None,
            durability: None,
        })
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Its command, where there is one: what is wrong with it is said by the engine.
    ///
    /// # Errors
    /// A command that has no meaning here, or none without a session.
    pub fn check(&self, in_session: bool) -> Result<Option<&'static Spec>, Error> {
        let args = self.args();
        let spec = resolve(args).ok();
        check(spec, in_session)?;
        if spec.is_some_and(|spec| spec.name == "with")
            && let Ok((_, at)) = split_with(args)
        {
            check(resolve(args.skip(at)).ok(), in_session)?;
        }
        Ok(spec)
    }
}

fn check(spec: Option<&Spec>, in_session: bool) -> Result<(), Error> {
    let Some(name) = spec.map(|spec| spec.name) else {
        return Ok(());
    };
    if let Some((_, why)) = OF_CONNECTIONS.iter().find(|(other, _)| *other == name) {
        return Err(Error::Command(format!("ERR {name}: {why}")));
    }
    if !in_session && OF_SESSIONS.contains(&name) {
        let text = format!("ERR {name} changes a session: call it on one (Node::session)");
        return Err(Error::Command(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, in_session: bool) -> Result<Option<&'static str>, String> {
        let request = Request::new(words.split(' ')).unwrap();
        let found = request.check(in_session);
        let name = found.map(|spec| spec.map(|spec| spec.name));
        name.map_err(|error| error.to_string())
    }

    #[test]
    fn every_name_in_the_lists_is_a_command() {
        let names = OF_CONNECTIONS
            .iter()
            .map(|(name, _)| name)
            .chain(OF_SESSIONS);
        for name in names {
            let words = name.replace('|', " ") + " a b c d";
            // As many arguments as the command takes.
            let found = (1..7).any(|count| {
                let request = Request::new(words.split(' ').take(count)).unwrap();
                resolve(request.args()).is_ok_and(|spec| spec.name == *name)
            });
            assert!(found, "{name}");
        }
    }

    #[test]
    fn what_means_a_connection_is_refused() {
        assert_eq!(check("get a", false), Ok(Some("get")));
        assert_eq!(check("nonsense", false), Ok(None));
        assert_eq!(check("MULTI", true), Ok(Some("multi")));
        assert!(check("multi", false).unwrap_err().contains("Node::session"));
        for words in ["QUIT", "client reply off", "with durability low shutdown"] {
            assert!(
                check(words, true).unwrap_err().starts_with("ERR "),
                "{words}"
            );
        }
        assert!(check("with consistency stale SELECT 1", false).is_err());
        assert!(Request::new(Vec::<Vec<u8>>::new()).is_err());
    }
}
