//! A blocking connection whose failures are seen: nothing but requests out and replies in, so that
//! a test sees exactly what was answered before a node died.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::value::encode;
use super::{Value, command};

/// Bytes that were taken as replies and are kept no longer.
const USED_BYTES_MAX: usize = 1 << 20;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that were taken as replies.
    used: usize,
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

    pub fn stream(&self) -> &TcpStream {
        &self.stream
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

    /// Sends requests of words without blanks in one piece, and waits for all replies. What was
    /// answered before the connection broke is answered although it could not send all.
    ///
    /// # Errors
    /// When not all were answered.
    pub fn pipeline<L: AsRef<str>>(&mut self, lines: &[L]) -> io::Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for line in lines {
            encode(&line.as_ref().split(' ').collect::<Vec<_>>(), &mut bytes);
        }
        let sent = self.send(&bytes);
        let replies = lines.iter().map(|_| self.reply());
        let replies = replies.collect::<io::Result<Vec<Value>>>()?;
        sent.map(|()| replies)
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// When the connection breaks or ends, or brings what is no reply.
    pub fn reply(&mut self) -> io::Result<Value> {
        let value = self.value()?;
        if self.used == self.input.len() || self.used > USED_BYTES_MAX {
            self.input.drain(..self.used);
            self.used = 0;
        }
        Ok(value)
    }

    fn value(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let Some((kind, text)) = line.split_at_checked(1) else {
            return Err(odd(&line));
        };
        let number = || text.parse::<i64>().map_err(|_| odd(&line));
        let length = || text.parse::<usize>().map_err(|_| odd(&line));
        Ok(match kind {
            "+" => Value::Simple(text.into()),
            "-" => Value::Error(text.into()),
            ":" => Value::Int(number()?),
            "," => Value::Double(text.into()),
            "#" => Value::Bool(text == "t"),
            "_" => Value::Nil,
            "$" | "*" if text == "-1" => Value::Nil,
            "$" => Value::Bulk(self.bytes(length()?)?),
            "=" => Value::Verbatim(self.bytes(length()?)?),
            "*" => Value::Array(self.values(length()?)?),
            "%" => Value::Map(self.values(length()? * 2)?),
            "~" => Value::Set(self.values(length()?)?),
            _ => return Err(odd(&line)),
        })
    }

    fn values(&mut self, count: usize) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.value()).collect()
    }

    /// The next line.
    pub fn line(&mut self) -> io::Result<String> {
        let mut seen = 0;
        loop {
            let rest = &self.input[self.used..];
            if let Some(at) = memchr::memmem::find(&rest[seen..], b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..seen + at]).into_owned();
                self.used += seen + at + 2;
                return Ok(line);
            }
            seen = rest.len().saturating_sub(1);
            self.more()?;
        }
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() - self.used < length + 2 {
            self.more()?;
        }
        let (bytes, rest) = self.input[self.used..].split_at(length);
        if !rest.starts_with(b"\r\n") {
            return Err(odd("bytes without an end"));
        }
        let bytes = bytes.to_vec();
        self.used += length + 2;
        Ok(bytes)
    }

    fn more(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for more bytes, and answers how many came: none at the end of the connection.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                // A read with a deadline is not begun anew by the kernel: behind a stop of this
                // process it is nothing but that.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(came) => {
                    self.input.extend_from_slice(&buffer[..came]);
                    return Ok(came);
                }
            }
        }
    }

    /// Everything until the other side closes the connection.
    ///
    /// # Errors
    /// When it does not.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                // It closed without reading everything.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        let rest = self.input.split_off(self.used);
        self.input.clear();
        self.used = 0;
        Ok(rest)
    }

    /// Whether all that came until now was taken as replies, and the connection stays.
    pub fn is_quiet(&self) -> bool {
        let set = |nonblocking| self.stream.set_nonblocking(nonblocking).is_ok();
        let mut byte = [0];
        let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let nothing = set(true) && self.stream.peek(&mut byte).is_err_and(waits);
        set(false) && nothing && self.used == self.input.len()
    }
}

fn odd(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {line:?}"))
}

/// Without the loop in [`Connection::fill`] the first signal ends the reading.
#[test]
fn a_read_that_is_interrupted_goes_on() {
    use std::os::unix::thread::JoinHandleExt;

    extern "C" fn ignore(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing; without SA_RESTART it interrupts calls of the thread that
    // the signal goes to, which is the one below alone.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
            0
        );
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let reading = std::thread::spawn(move || {
        let mut connection = Connection::open(port, super::PATIENCE)?;
        connection.reply()
    });
    let (mut other_side, _) = listener.accept().unwrap();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        // SAFETY: the thread was not joined, so it is there.
        unsafe { libc::pthread_kill(reading.as_pthread_t(), libc::SIGUSR1) };
    }
    other_side.write_all(b"+OK\r\n").unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), super::ok());
}
