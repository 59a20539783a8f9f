//! A blocking RESP2 connection whose failures are seen: nothing but requests out and replies in, so that a test sees
//! exactly what was answered before a node died.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Value, command};

/// One connection.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that were taken as replies.
    used: usize,
}

/// Appends one request.
pub fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    out.extend_from_slice(&command(args));
}

impl Connection {
    /// Connects to a node of this machine. No reply may take longer than `patience`.
    pub fn open(port: u16, patience: Duration) -> io::Result<Connection> {
        Connection::over(TcpStream::connect(("127.0.0.1", port))?, patience)
    }

    /// Takes a stream for a connection.
    pub fn over(stream: TcpStream, patience: Duration) -> io::Result<Connection> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            used: 0,
        })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one request and waits for its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(&command(args))?;
        self.reply()
    }

    /// As [`Connection::call`], of words without blanks.
    ///
    /// # Panics
    /// When the connection fails.
    pub fn ask(&mut self, line: &str) -> Value {
        let args: Vec<&str> = line.split(' ').collect();
        self.call(&args)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits for the next reply.
    pub fn reply(&mut self) -> io::Result<Value> {
        let value = self.value()?;
        if self.used == self.input.len() || self.used > 1 << 20 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        Ok(value)
    }

    fn value(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, text) = line.split_at(1);
        let number = || -> io::Result<i64> { text.parse().map_err(|_| odd(&line)) };
        Ok(match kind {
            "+" => Value::Simple(text.into()),
            "-" => Value::Error(text.into()),
            ":" => Value::Int(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let bytes = self.take(length + 2)?;
                    Value::Bulk(bytes[..length].to_vec())
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Value::Nil,
                Ok(count) => Value::Array(
                    (0..count)
                        .map(|_| self.value())
                        .collect::<io::Result<_>>()?,
                ),
            },
            _ => return Err(odd(&line)),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut seen = 0;
        loop {
            let rest = &self.input[self.used..];
            if let Some(at) = memchr::memmem::find(&rest[seen..], b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..seen + at]).into_owned();
                self.used += seen + at + 2;
                return match line.is_empty() {
                    true => Err(odd("an empty line")),
                    false => Ok(line),
                };
            }
            seen = rest.len().saturating_sub(1);
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.input.len() - self.used < length {
            self.fill()?;
        }
        self.used += length;
        Ok(&self.input[self.used - length..self.used])
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.input.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}

fn odd(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {line:?}"))
}
