//! One connection that writes until the node is gone, and knows what was acknowledged.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::commands::{Source, Step};
use super::model::{Bytes, Model, Moment};
use crate::kit::{Connection, Value, encode};

/// A connection of the test, over the node's lives.
pub struct Writer {
    pub name: String,
    pub database: usize,
    pub model: Model,
    pub source: Source,
    /// Sent to a node that died, and not answered: a prefix of it may have happened.
    pub unanswered: Vec<Step>,
    /// When the unanswered steps were sent.
    pub sent_ms: u64,
    /// Steps that were answered, over all lives.
    pub acknowledged: u64,
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

impl Step {
    fn encode(&self, out: &mut Vec<u8>) {
        if !self.transaction {
            let with = self.with.map(|level| ["WITH", "DURABILITY", level]);
            let with = with.iter().flatten().map(|word| word.as_bytes().to_vec());
            let args: Vec<Bytes> = with.chain(self.commands[0].iter().cloned()).collect();
            return encode(&args, out);
        }
        encode(&["MULTI"], out);
        self.commands
            .iter()
            .for_each(|command| encode(command, out));
        encode(&["EXEC"], out);
    }

    /// Waits for the replies to each command, once all of the step was answered.
    fn replies(&self, connection: &mut Connection) -> io::Result<Vec<Value>> {
        if !self.transaction {
            return Ok(vec![connection.reply()?]);
        }
        for _ in 0..=self.commands.len() {
            connection.reply()?;
        }
        match connection.reply()? {
            Value::Array(replies) => Ok(replies),
            other => Ok(vec![other; self.commands.len()]),
        }
    }
}

/// Whether a stopping node refused, so that nobody knows what happened.
fn is_refusal(reply: &Value) -> bool {
    matches!(reply, Value::Error(text)
        if text.starts_with("SHUTDOWN") || text.starts_with("UNCERTAIN"))
}

impl Writer {
    /// Writes until the connection breaks, which must not be before `ending` is set.
    ///
    /// # Errors
    /// A reply that is not what the commands before it make it, or an end too early.
    pub fn run(&mut self, port: u16, ending: &AtomicBool) -> Result<(), String> {
        let name = self.name.clone();
        let broken = |error: io::Error| format!("{name}: {error}");
        let mut connection = Connection::open(port, Duration::from_secs(30)).map_err(broken)?;
        let select = connection.call(&["SELECT", &self.database.to_string()]);
        match select {
            Ok(_) => {}
            Err(_) if ending.load(Ordering::SeqCst) => return Ok(()),
            Err(error) => return Err(broken(error)),
        }
        loop {
            self.sent_ms = now_ms();
            self.unanswered = self.source.pipeline(self.sent_ms);
            self.unanswered.reverse();
            let mut request = Vec::new();
            let steps = self.unanswered.iter().rev();
            steps.for_each(|step| step.encode(&mut request));
            if let Err(error) = self.pipeline(&mut connection, &request)? {
                self.unanswered.reverse();
                if ending.load(Ordering::SeqCst) {
                    return Ok(());
                }
                return Err(broken(error));
            }
        }
    }

    /// Sends one pipeline and checks its replies. What was not answered stays in `unanswered`,
    /// the first step last.
    fn pipeline(
        &mut self,
        connection: &mut Connection,
        request: &[u8],
    ) -> Result<io::Result<()>, String> {
        let sent = connection.send(request);
        while let Some(step) = self.unanswered.last() {
            let replies = match step.replies(connection) {
                Ok(replies) => replies,
                Err(error) => return Ok(Err(error)),
            };
            if replies.iter().any(is_refusal) {
                return Ok(Err(io::ErrorKind::Interrupted.into()));
            }
            let moment = Moment {
                from_ms: self.sent_ms,
                to_ms: now_ms(),
            };
            for (at, command) in step.commands.iter().enumerate() {
                let nothing = Value::Nil;
                let reply = replies.get(at).unwrap_or(&nothing);
                let mut outcome = self.model.run(command, reply, moment);
                if replies.len() != step.commands.len() {
                    outcome = Err(format!("{} replies", replies.len()));
                }
                outcome.map_err(|why| self.wrong(step, command, &why))?;
            }
            self.unanswered.pop();
            self.acknowledged += 1;
        }
        Ok(sent)
    }

    fn wrong(&self, step: &Step, command: &[Bytes], why: &str) -> String {
        let words: Vec<String> = command.iter().map(|word| shown(word)).collect();
        format!(
            "{}, step {} ({} commands): {}: {why}",
            self.name,
            self.acknowledged,
            step.commands.len(),
            words.join(" ")
        )
    }
}

/// Bytes for a person, the beginning of long ones.
pub fn shown(bytes: &[u8]) -> String {
    let start = bytes[..bytes.len().min(40)].escape_ascii();
    match bytes.len() {
        0..=40 => format!("\"{start}\""),
        length => format!("\"{start}..\" ({length} bytes)"),
    }
}
