//! A connection that shows every byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

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
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A connection whose reads and writes give up after [`PATIENCE`].
pub struct Wire {
    stream: TcpStream,
    /// What came and was not read; `at` is where to go on.
    came: Vec<u8>,
    at: usize,
}

impl Wire {
    pub fn connect(port: u16) -> Wire {
        Wire::try_connect(port).expect("the server accepts")
    }

    pub fn try_connect(port: u16) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire {
            stream,
            came: Vec::new(),
            at: 0,
        })
    }

    /// Whether a PING is answered, now or once the dataset is loaded.
    pub fn try_ping(&mut self) -> bool {
        let sent = self.stream.write_all(b"PING\r\nQUIT\r\n").is_ok();
        // Read to its end: the server has let go of the connection then.
        sent && self.rest() == b"+PONG\r\n+OK\r\n"
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server reads");
    }

    /// Sends what the server may no longer want to read.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends one command and reads its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(command(args));
        self.reply()
    }

    /// Sends one command given as words with blanks between, and reads its reply.
    pub fn run(&mut self, words: &str) -> Value {
        self.call(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Reads one reply.
    ///
    /// # Panics
    /// When the server closes the connection or is silent for too long.
    pub fn reply(&mut self) -> Value {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let length = || rest.parse::<i64>().unwrap_or_else(|_| panic!("{line:?}"));
        match kind {
            "+" => Value::Simple(rest.into()),
            "-" => Value::Error(rest.into()),
            ":" => Value::Int(length()),
            "," => Value::Double(rest.into()),
            "#" => Value::Bool(rest == "t"),
            "_" => Value::Nil,
            "$" | "*" if rest == "-1" => Value::Nil,
            "$" => Value::Bulk(self.bytes(length() as usize)),
            "=" => Value::Verbatim(self.bytes(length() as usize)),
            "*" => Value::Array(self.replies(length())),
            "%" => Value::Map(self.replies(length() * 2)),
            "~" => Value::Set(self.replies(length())),
            _ => panic!("no reply: {line:?}"),
        }
    }

    /// Reads one line; `None` when the server closes the connection instead.
    pub fn try_line(&mut self) -> Option<String> {
        while !self.came[self.at..].contains(&b'\n') {
            if !self.fill().is_ok_and(|came| came > 0) {
                return None;
            }
        }
        Some(self.line())
    }

    /// Reads this many replies.
    pub fn replies(&mut self, count: i64) -> Vec<Value> {
        (0..count).map(|_| self.reply()).collect()
    }

    fn line(&mut self) -> String {
        loop {
            let rest = &self.came[self.at..];
            if let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.at += end + 2;
                return line;
            }
            self.more();
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.came.len() - self.at < length + 2 {
            self.more();
        }
        let bytes = self.came[self.at..self.at + length].to_vec();
        assert_eq!(&self.came[self.at + length..][..2], b"\r\n");
        self.at += length + 2;
        bytes
    }

    fn more(&mut self) {
        let came = self.fill().expect("the server answers in time");
        assert!(came > 0, "the server closed the connection");
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        self.came.drain(..self.at);
        self.at = 0;
        let mut buffer = [0; 64 * 1024];
        let came = self.stream.read(&mut buffer)?;
        self.came.extend_from_slice(&buffer[..came]);
        Ok(came)
    }

    /// Everything until the server closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while matches!(self.fill(), Ok(came) if came > 0) {}
        std::mem::take(&mut self.came)
    }

    /// Waits until the server closes the connection; nothing more may come.
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// A second handle of the socket, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Says that nothing more will be sent, unless the server closed already.
    pub fn shut_if_open(&self) -> bool {
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether nothing comes for this long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let silent = self.at == self.came.len() && self.fill().is_err();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}
