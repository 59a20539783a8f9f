//! Requests and replies as they are on the wire, and how tests read them.

/// A reply as it came over the wire, RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Value>),
    Map(Vec<Value>),
    Set(Vec<Value>),
    Double(String),
    Bool(bool),
    Verbatim(Vec<u8>),
}

impl Value {
    /// The text of a bulk, simple or verbatim string.
    pub fn text(&self) -> String {
        match self {
            Value::Bulk(bytes) | Value::Verbatim(bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Value::Simple(text) | Value::Error(text) | Value::Double(text) => text.clone(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The bytes of a bulk string; none of anything else.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Bulk(bytes) => bytes,
            _ => &[],
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Value::Int(value) => *value,
            other => panic!("no integer: {other:?}"),
        }
    }

    /// Whether it is an error whose text begins so.
    pub fn is_error(&self, begin: &str) -> bool {
        matches!(self, Value::Error(text) if text.starts_with(begin))
    }

    /// The elements of an array, a set or a map (keys and values in turn).
    pub fn elements(&self) -> &[Value] {
        match self {
            Value::Array(elements) | Value::Map(elements) | Value::Set(elements) => elements,
            other => panic!("no elements: {other:?}"),
        }
    }
}

pub fn bulk(text: impl AsRef<[u8]>) -> Value {
    Value::Bulk(text.as_ref().to_vec())
}

pub fn ok() -> Value {
    Value::Simple("OK".into())
}

pub fn integer(value: i64) -> Value {
    Value::Int(value)
}

pub fn error(text: &str) -> Value {
    Value::Error(text.into())
}

/// A request in RESP.
pub fn command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(args, &mut bytes);
    bytes
}

/// Appends a request.
pub fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// The value of a `name:value` line, as in the texts of INFO.
pub fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(found, _)| *found == name);
    found.map(|(_, value)| value.trim())
}
