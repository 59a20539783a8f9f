//! Are these the replies that were asked for?
//!
//! A load that counts bytes would count errors too. So each connection's first batch is compared
//! byte by byte where the reply can be known, and every later batch must begin with the right
//! type byte, amount to exactly its expected size, and end in a line feed. A server that answers
//! otherwise ends the run with what it said.

use crate::workload::Workload;

/// One connection's batch in flight.
#[derive(Default)]
pub struct Batch {
    from: usize,
    to: usize,
    outstanding: u64,
    begun: bool,
    verified: bool,
    /// Received bytes of a first batch, until it is complete.
    first: Vec<u8>,
}

impl Batch {
    /// Requests `from..to` were sent.
    pub fn begin(&mut self, workload: &Workload, from: usize, to: usize) {
        self.from = from;
        self.to = to;
        self.outstanding = workload.units(from, to);
        self.begun = false;
    }

    /// Takes a received chunk; true when the batch is complete.
    ///
    /// # Errors
    /// What came instead of the expected replies.
    pub fn receive(&mut self, workload: &Workload, chunk: &[u8]) -> Result<bool, String> {
        if !self.begun {
            self.begun = true;
            if chunk[0] != workload.first_byte(self.from) {
                return Err(surprise("a reply of another kind", chunk));
            }
        }
        if !self.verified {
            self.first.extend_from_slice(chunk);
        }
        let units = workload.count(chunk);
        self.outstanding = self
            .outstanding
            .checked_sub(units)
            .ok_or_else(|| surprise("more than the replies asked for", chunk))?;
        if self.outstanding > 0 {
            return Ok(false);
        }
        if chunk[chunk.len() - 1] != b'\n' {
            return Err(surprise("replies cut off", chunk));
        }
        if !self.verified {
            self.verify(workload)?;
        }
        Ok(true)
    }

    /// Requests in this batch.
    pub fn requests(&self) -> usize {
        self.to - self.from
    }

    /// What has come so far, while the first batch is incomplete; empty later.
    pub fn received_of_first(&self) -> &[u8] {
        &self.first
    }

    /// Something was sent and not all of its replies came.
    pub fn waits(&self) -> bool {
        self.outstanding > 0
    }

    fn verify(&mut self, workload: &Workload) -> Result<(), String> {
        if let Some(expected) = workload.replies(self.from, self.to)
            && expected != self.first
        {
            let at = expected
                .iter()
                .zip(&self.first)
                .take_while(|(one, two)| one == two)
                .count();
            return Err(surprise("other replies than expected", &self.first[at..]));
        }
        self.verified = true;
        self.first = Vec::new();
        Ok(())
    }
}

/// "what: the bytes", cut to a line.
pub fn surprise(what: &str, bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(120)];
    format!("the server sent {what}: {}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::workload::Shape;

    fn sets() -> Workload {
        let shape = Shape {
            command: Command::Set,
            keys: 10,
            value_bytes: 8,
            requests: 8,
            seed: 3,
        };
        Workload::random(&shape)
    }

    #[test]
    fn a_batch_is_complete_when_all_its_bytes_are_there() {
        let workload = sets();
        let mut batch = Batch::default();
        batch.begin(&workload, 0, 2);
        assert_eq!(batch.receive(&workload, b"+OK\r\n+O"), Ok(false));
        assert!(batch.waits());
        assert_eq!(batch.receive(&workload, b"K\r\n"), Ok(true));
    }

    #[test]
    fn errors_are_not_counted_as_successes() {
        let workload = sets();
        let mut batch = Batch::default();
        batch.begin(&workload, 0, 2);
        assert!(
            batch
                .receive(&workload, b"-ERR no\r\n")
                .unwrap_err()
                .contains("-ERR no")
        );
        batch.begin(&workload, 0, 2);
        assert!(
            batch.receive(&workload, b"+OK\r\n-ERR\r\n").is_err(),
            "more bytes than asked for"
        );
        batch.begin(&workload, 0, 2);
        assert!(
            batch.receive(&workload, b"+OK\r\n-NO\r\n").is_err(),
            "first batch is compared"
        );
    }
}
