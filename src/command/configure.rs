//! Replies of `CONFIG GET` and `CONFIG SET`; what a change does is the node's.

use crate::config::{Changes, Config};
use crate::resp::{Args, Error, Reply};

/// Answers `CONFIG GET pattern ..`.
pub fn get(args: Args<'_>, config: &Config) -> Reply<'static> {
    let patterns: Vec<String> = args
        .iter_from(2)
        .map(|pattern| String::from_utf8_lossy(pattern).into_owned())
        .collect();
    Reply::Map(
        config
            .get_any(patterns.iter().map(String::as_str))
            .into_iter()
            .flat_map(|(name, value)| [Reply::bulk_owned(name), Reply::bulk_owned(value)])
            .collect(),
    )
}

/// Carries out `CONFIG SET name value ..` on `config`: all of it, or none. What changed is to be
/// spread to the other cores.
///
/// # Errors
/// Redis' texts; nothing is changed then.
pub fn set(args: Args<'_>, config: &mut Config) -> Result<Changes, Error> {
    if args.len() % 2 == 1 {
        return Err(Error::SYNTAX);
    }
    let words: Vec<String> = args
        .iter_from(2)
        .map(|word| String::from_utf8(word.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::fixed("ERR CONFIG SET takes UTF-8 only"))?;
    let pairs: Vec<(&str, &str)> = words
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    config
        .set(&pairs)
        .map_err(|error| Error::new(format!("ERR {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve::tests::request;
    use crate::config::Name;

    #[test]
    fn settings_are_shown_and_changed() {
        let mut config = Config::default();
        let reply = request("config get save APPEND*", |args| get(args, &config));
        let expected = ["save", "", "appendonly", "yes", "appendfsync", "always"];
        let expected = expected.map(Reply::bulk_owned).to_vec();
        assert_eq!(reply, Reply::Map(expected));
        let mut change = |line: &str| {
            request(line, |args| set(args, &mut config)).map_err(|error| error.0.into_owned())
        };
        assert_eq!(
            change("config set timeout 5 durability low"),
            Ok(Changes(vec![
                Name::Timeout,
                Name::Durability,
                Name::Appendfsync
            ]))
        );
        assert_eq!(
            change("config set timeout 5 hz"),
            Err("ERR syntax error".into())
        );
        assert_eq!(
            change("config set port 1"),
            Err(
                "ERR CONFIG SET failed (possibly related to argument 'port') - can't set \
                 immutable config"
                    .into()
            )
        );
        assert_eq!(
            change("config set foo bar"),
            Err("ERR Unknown option or number of arguments for CONFIG SET - 'foo'".into())
        );
    }
}
