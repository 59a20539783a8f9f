//! What a command answers.

use std::borrow::Cow;

/// One reply. It may borrow from the keyspace (`'a`), so that a value goes from the table to the
/// connection's buffer in one copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply<'a> {
    /// `+OK`
    Ok,
    /// A status line.
    Simple(&'static str),
    Int(i64),
    /// A bulk string.
    Bulk(Cow<'a, [u8]>),
    /// A bulk string that is the decimal form of a number.
    BulkInt(i64),
    /// A score: a RESP3 double, a bulk string in RESP2.
    Double(f64),
    /// RESP3 boolean; `1` or `0` in RESP2.
    Bool(bool),
    /// The null bulk string (RESP3: null).
    Null,
    /// The null array (RESP3: null).
    NullArray,
    Array(Vec<Reply<'a>>),
    /// RESP3 set; an array in RESP2.
    Set(Vec<Reply<'a>>),
    /// RESP3 map; a flat array in RESP2. Keys and values alternate: an even count.
    Map(Vec<Reply<'a>>),
    /// Text for people (`INFO`, `CLIENT LIST`): RESP3 verbatim string `txt:`, bulk in RESP2.
    Verbatim(String),
    /// An out-of-band message: RESP3 push, an array in RESP2.
    Push(Vec<Reply<'a>>),
    Error(Error),
    /// A reply that was encoded before.
    Raw(Cow<'a, [u8]>),
}

/// A command's own error: the code word and its text, without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub Cow<'static, str>);

impl Error {
    pub const SYNTAX: Error = Error(Cow::Borrowed("ERR syntax error"));
    pub const WRONG_TYPE: Error = Error(Cow::Borrowed(
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ));
    pub const NOT_INTEGER: Error =
        Error(Cow::Borrowed("ERR value is not an integer or out of range"));
    pub const NOT_FLOAT: Error = Error(Cow::Borrowed("ERR value is not a valid float"));
    pub const NO_SUCH_KEY: Error = Error(Cow::Borrowed("ERR no such key"));
    pub const OUT_OF_RANGE: Error = Error(Cow::Borrowed("ERR index out of range"));
    pub const OVERFLOW: Error = Error(Cow::Borrowed("ERR increment or decrement would overflow"));

    /// An error with a fixed text, code word included.
    pub const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text))
    }

    /// An error with a text made for the occasion, code word included.
    pub fn new(text: impl Into<String>) -> Error {
        Error(Cow::Owned(text.into()))
    }

    /// Redis' text for a wrong number of arguments; `name` in lower case, `config|get` for
    /// subcommands.
    pub fn arity(name: &str) -> Error {
        Error::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }
}

impl<'a> Reply<'a> {
    /// A bulk string that borrows.
    #[inline]
    pub fn bulk(bytes: &'a [u8]) -> Reply<'a> {
        Reply::Bulk(Cow::Borrowed(bytes))
    }

    /// A bulk string that owns.
    pub fn bulk_owned(bytes: impl Into<Vec<u8>>) -> Reply<'static> {
        Reply::Bulk(Cow::Owned(bytes.into()))
    }

    /// An array of bulk strings that own.
    pub fn bulks<I, B>(items: I) -> Reply<'static>
    where
        I: IntoIterator<Item = B>,
        B: Into<Vec<u8>>,
    {
        Reply::Array(items.into_iter().map(Reply::bulk_owned).collect())
    }

    /// `1` or `0`.
    #[inline]
    pub fn flag(yes: bool) -> Reply<'static> {
        Reply::Int(yes as i64)
    }

    /// A count.
    #[inline]
    pub fn count(count: usize) -> Reply<'static> {
        Reply::Int(count as i64)
    }

    /// The same reply, borrowing nothing.
    pub fn into_owned(self) -> Reply<'static> {
        let all = |items: Vec<Reply<'a>>| items.into_iter().map(Reply::into_owned).collect();
        match self {
            Reply::Ok => Reply::Ok,
            Reply::Simple(text) => Reply::Simple(text),
            Reply::Int(value) => Reply::Int(value),
            Reply::Bulk(bytes) => Reply::Bulk(Cow::Owned(bytes.into_owned())),
            Reply::BulkInt(value) => Reply::BulkInt(value),
            Reply::Double(value) => Reply::Double(value),
            Reply::Bool(value) => Reply::Bool(value),
            Reply::Null => Reply::Null,
            Reply::NullArray => Reply::NullArray,
            Reply::Array(items) => Reply::Array(all(items)),
            Reply::Set(items) => Reply::Set(all(items)),
            Reply::Map(items) => Reply::Map(all(items)),
            Reply::Verbatim(text) => Reply::Verbatim(text),
            Reply::Push(items) => Reply::Push(all(items)),
            Reply::Error(error) => Reply::Error(error),
            Reply::Raw(bytes) => Reply::Raw(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl From<Error> for Reply<'_> {
    fn from(error: Error) -> Self {
        Reply::Error(error)
    }
}
