//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use crate::command::{EXEC, FIXED_REPLY, Route, Spec, VERSION, mutation, write_watched};
use crate::limits::{REPLIES_OUTSTANDING_MAX, TRANSACTION_BYTES_MAX};
use crate::resp::{Args, Error, Reply, Span};
use crate::session::{Transaction, Watched};
use crate::shard::Item;
use crate::slot::slot_of;

use super::client::Client;
use super::dispatch::Flow;
use super::engine::Engine;

impl Engine {
    /// A request of a connection between MULTI and EXEC.
    pub(super) fn in_transaction(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Flow {
        match spec.name {
            "exec" => return self.exec(client, id),
            "discard" => return self.discard(client),
            // These two are refused and spoil nothing, as in Redis.
            "multi" => {
                client.refuse(Error::fixed("ERR MULTI calls can not be nested"));
                return Flow::Continue;
            }
            "watch" => {
                client.refuse(Error::fixed("ERR WATCH inside MULTI is not allowed"));
                return Flow::Continue;
            }
            "reset" | "quit" => return self.session_command(client, id, spec, args),
            _ => {}
        }
        let mut queued = Vec::new();
        let db = client.session.db;
        if spec.route == Route::Session {
            if spec.flags.has(crate::command::Flags::NO_MULTI) {
                let text = "ERR Command not allowed inside a transaction";
                return self.refuse(client, Error::fixed(text));
            }
            // What a connection command answers is known now; EXEC gives it in its place.
            let mut scratch = Client::detached();
            std::mem::swap(&mut scratch.session, &mut client.session);
            let transaction = scratch.session.transaction.take();
            if spec.name == "unwatch" {
                // EXEC still looks at what is watched.
                scratch.reply(&Reply::Ok);
            } else {
                self.session_command(&mut scratch, id, spec, args);
            }
            std::mem::swap(&mut scratch.session, &mut client.session);
            client.session.transaction = transaction;
            if scratch.has_overreached() {
                let text = "ERR Command not allowed inside a transaction";
                return self.refuse(client, Error::fixed(text));
            }
            mutation::write_slices(&mut queued, FIXED_REPLY, 0, db, &[&scratch.out]);
        } else {
            mutation::write(&mut queued, spec.id, mutation::MANY, db, args);
        }
        let Some(transaction) = &mut client.session.transaction else {
            return Flow::Continue;
        };
        if transaction.bytes + queued.len() > TRANSACTION_BYTES_MAX {
            return self.refuse(client, too_large());
        }
        transaction.bytes += queued.len();
        transaction.writes |= matches!(spec.route, Route::Write | Route::WriteAll(_));
        transaction.queued.push(queued);
        client.reply(&Reply::Simple("QUEUED"));
        Flow::Continue
    }

    pub(super) fn multi(&mut self, client: &mut Client) -> Flow {
        client.session.transaction = Some(Transaction {
            db: client.session.db,
            ..Transaction::default()
        });
        client.reply(&Reply::Ok);
        Flow::Continue
    }

    fn discard(&mut self, client: &mut Client) -> Flow {
        if client.awaits_version() {
            return Flow::Wait;
        }
        if let Some(transaction) = client.session.transaction.take() {
            client.session.db = transaction.db;
        }
        client.session.unwatch();
        client.reply(&Reply::Ok);
        Flow::Continue
    }

    /// Sends the queued commands as one mutation, or as one read where none of them writes.
    fn exec(&mut self, client: &mut Client, id: u64) -> Flow {
        // What WATCH asked for must be here first.
        let held = client.awaits_version() || client.has_remote();
        if held || !self.has_room() {
            return Flow::Wait;
        }
        let Some(transaction) = client.session.transaction.take() else {
            return Flow::Continue;
        };
        let watched = client.session.unwatch();
        if transaction.broken {
            client.session.db = transaction.db;
            let text = "EXECABORT Transaction discarded because of previous errors.";
            client.refuse(Error::fixed(text));
            return Flow::Continue;
        }
        let mut buffer = write_watched(&watched);
        let mut spans = vec![
            Span { start: 0, end: 0 },
            Span {
                start: 0,
                end: buffer.len() as u32,
            },
        ];
        for queued in &transaction.queued {
            let start = buffer.len() as u32;
            buffer.extend_from_slice(queued);
            spans.push(Span {
                start,
                end: buffer.len() as u32,
            });
        }
        let args = Args::new(&buffer, &spans);
        if transaction.writes {
            let durability = client.session.durability;
            self.push_write(client, id, EXEC, mutation::MANY, args, durability);
        } else {
            self.push_read(client, id, EXEC, mutation::MANY, args);
        }
        Flow::Continue
    }

    /// WATCH: notes the keys' versions, behind the writes of this connection.
    pub(super) fn watch(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        let keys = args.len() - 1;
        let bytes: usize = args.iter_from(1).map(Watched::bytes_of).sum();
        if client.session.watched_bytes + bytes > TRANSACTION_BYTES_MAX
            || keys > REPLIES_OUTSTANDING_MAX
        {
            return self.refuse(client, too_large());
        }
        if !client.has_room_for(keys) || !self.has_room() || client.has_remote() {
            return Flow::Wait;
        }
        client.session.watched_bytes += bytes;
        let db = client.session.db;
        for at in 1..args.len() {
            let key = args.get(at);
            let watched = Watched {
                db,
                version: 0,
                key: key.to_vec(),
            };
            let behind = client.has_ordered() || !self.reads_now(client);
            let seq = client.await_version(watched, at + 1 == args.len());
            let batch = if behind {
                &mut self.batch
            } else {
                &mut self.at_once
            };
            let slot = slot_of(key);
            mutation::write_slices(&mut batch.local.reads, VERSION, slot, db, &[key]);
            batch.local.items.push(Item {
                client: id,
                seq,
                core: self.core as u8,
                read: true,
                ordered: true,
                protocol: client.session.protocol,
            });
        }
        Flow::Continue
    }
}

/// What is watched counts as well: it travels with the commands.
fn too_large() -> Error {
    Error::fixed("ERR the transaction is too large")
}
