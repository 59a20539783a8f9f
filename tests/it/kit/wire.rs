//! A connection of a test that expects it to hold, and that looks at every byte.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{Connection, PATIENCE, Value, command, field};

/// A connection whose reads and writes give up after [`PATIENCE`].
pub struct Wire(Connection);

impl Wire {
    pub fn connect(port: u16) -> Wire {
        Wire(Connection::open(port, PATIENCE).expect("the server accepts"))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.send(bytes.as_ref()).expect("the server reads");
    }

    /// Sends what the server may no longer want to read.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.send(bytes.as_ref()).is_ok()
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
        let reply = self.0.reply();
        reply.unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// Reads this many replies.
    pub fn replies(&mut self, count: i64) -> Vec<Value> {
        (0..count).map(|_| self.reply()).collect()
    }

    /// How much memory the server takes.
    pub fn memory_bytes(&mut self) -> u64 {
        let info = self.run("INFO memory").text();
        let bytes = field(&info, "used_memory_rss");
        bytes.expect("used_memory_rss").parse().unwrap()
    }

    /// Reads one line; `None` when the server closes the connection instead.
    pub fn try_line(&mut self) -> Option<String> {
        self.0.line().ok()
    }

    /// Everything until the server closes the connection.
    ///
    /// # Panics
    /// When it does not.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.0.rest();
        rest.unwrap_or_else(|error| panic!("the connection stays: {error}"))
    }

    /// Waits until the server closes the connection; nothing more may come.
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// A second handle of the socket, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.0.stream().try_clone().unwrap()
    }

    /// Says that nothing more will be sent, unless the server closed already.
    pub fn shut_if_open(&self) -> bool {
        self.0.stream().shutdown(Shutdown::Write).is_ok()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.0.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Whether nothing comes for this long, and the connection stays.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        std::thread::sleep(time);
        self.0.is_quiet()
    }
}
