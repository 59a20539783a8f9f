//! What a call is answered with.

/// A command's reply, owning all of it. Shapes are those of RESP3: what is a map or a set there is
/// one here.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// There is nothing: no such key, or `EXEC` found a watched key changed.
    Nil,
    /// A status: `OK`, `QUEUED`, `PONG`.
    Status(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// A value, or text for people.
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    /// Keys with their values, in the order of the reply.
    Map(Vec<(Reply, Reply)>),
    /// An error among other replies: of one command of a transaction. By itself, an error is an
    /// [`Error`](super::Error).
    Error(String),
}

impl Reply {
    /// Whether it is the status `OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Status(text) if text == "OK")
    }

    pub fn is_nil(&self) -> bool {
        *self == Reply::Nil
    }

    /// The bytes of a value or of a status.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            Reply::Status(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// As [`Reply::as_bytes`], where that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// A number: as such, as a truth value (1 or 0), or as the decimal digits of a value.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Reply::Int(value) => Some(*value),
            Reply::Bool(value) => Some((*value).into()),
            Reply::Bytes(bytes) => crate::resp::parse_int(bytes),
            _ => None,
        }
    }

    /// The elements of an array or a set; none of anything else.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) => items,
            _ => &[],
        }
    }
}
