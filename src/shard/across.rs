//! Commands over several shards: keys are lent and come home, or every shard runs its part.

use crate::command::{Combine, Rng, Route, each_place, mutation};
use crate::keyspace::Keyspace;
use crate::resp::{Args, Protocol, Reply};
use crate::slot::{shard_of, slot_of};

use super::execute::{Command, Host, answer, run_on};
use super::loan::{Lent, Loan, LoanId, ShardMessage};
use super::whole::{combined, transaction_over};
use super::worker::{Shard, Step};

/// A key and its database.
type NamedKey = (u8, Vec<u8>);

impl Shard {
    /// A command without a slot of its own: finds out which shards take part.
    pub(super) fn step_over_shards(&mut self, command: &Command<'_>, host: &mut impl Host) -> Step {
        let mut spans = Vec::new();
        let Some(args) = mutation::args(command.bytes, command.head, &mut spans) else {
            self.fault = Some("the log holds a command whose arguments are cut".to_string());
            return Step::Stalled;
        };
        if let Route::ReadAll(combine) | Route::WriteAll(combine) = command.spec.route {
            return self.step_everywhere(command, args, combine, host);
        }
        let mut places: Vec<(usize, u8, Vec<u8>)> = Vec::new();
        let all = each_place(command.spec, command.head.db, args, &mut |db, key| {
            places.push((shard_of(slot_of(key), self.shards), db, key.to_vec()));
        });
        let coordinator = places.first().map_or(0, |place| place.0);
        let mut involved: Vec<usize> = if all {
            (0..self.shards).collect()
        } else {
            places
                .iter()
                .map(|place| place.0)
                .chain([coordinator])
                .collect()
        };
        involved.sort_unstable();
        involved.dedup();
        if !involved.contains(&self.id) {
            return Step::Done;
        }
        let own = places.iter().filter(|place| place.0 == self.id);
        if own
            .clone()
            .any(|(_, db, key)| self.lent.contains(&(*db, key.clone())))
            || (all && !self.lent.is_empty())
        {
            return Step::Stalled;
        }
        if self.id == coordinator {
            return self.coordinate(command, args, involved.len() - 1, all, host);
        }
        let loan = if all {
            self.held = Some(command.id);
            let empty = Keyspace::new(0);
            Loan::Whole(Box::new(std::mem::replace(&mut self.keyspace, empty)))
        } else {
            let mut lent: Vec<Lent> = Vec::new();
            for (_, db, key) in own {
                if self.lent.insert((*db, key.clone())) {
                    lent.push(Lent::take(&mut self.keyspace, *db, key));
                }
            }
            Loan::Keys(lent)
        };
        host.send(
            coordinator,
            ShardMessage::Lend {
                id: command.id,
                from: self.id,
                loan,
            },
        );
        Step::Done
    }

    /// Runs a command on the keys of several shards once all were lent.
    fn coordinate(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        lenders: usize,
        all: bool,
        host: &mut impl Host,
    ) -> Step {
        if self.loans.get(&command.id).map_or(0, Vec::len) < lenders {
            return Step::Stalled;
        }
        let loans = self.loans.remove(&command.id).unwrap_or_default();
        if all {
            self.coordinate_whole(command, args, loans, host);
            return Step::Done;
        }
        let mut borrowed: Vec<(usize, Vec<NamedKey>)> = Vec::new();
        for (from, loan) in loans {
            let Loan::Keys(lent) = loan else { continue };
            let mut names = Vec::with_capacity(lent.len());
            for one in lent {
                names.push((one.db, one.key.clone()));
                one.put(&mut self.keyspace);
            }
            borrowed.push((from, names));
        }
        self.execute(command, host);
        for (from, names) in borrowed {
            let lent = names
                .into_iter()
                .map(|(db, key)| Lent::take(&mut self.keyspace, db, &key))
                .collect();
            host.send(
                from,
                ShardMessage::Home {
                    id: command.id,
                    loan: Loan::Keys(lent),
                },
            );
        }
        Step::Done
    }

    /// Runs a transaction that looks at all keys: every keyspace is here.
    fn coordinate_whole(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        loans: Vec<(usize, Loan)>,
        host: &mut impl Host,
    ) {
        let mut keyspaces: Vec<Option<Keyspace>> = (0..self.shards).map(|_| None).collect();
        for (from, loan) in loans {
            if let Loan::Whole(keyspace) = loan {
                keyspaces[from] = Some(*keyspace);
            }
        }
        keyspaces[self.id] = Some(std::mem::replace(&mut self.keyspace, Keyspace::new(0)));
        let mut keyspaces: Vec<Keyspace> = keyspaces
            .into_iter()
            .map(|one| one.unwrap_or_else(|| Keyspace::new(0)))
            .collect();
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let timing = host.time(command.spec);
        let reply = transaction_over(&mut keyspaces, command, args, protocol);
        answer(command, args, timing, &reply, host);
        for (shard, keyspace) in keyspaces.into_iter().enumerate() {
            if shard == self.id {
                self.keyspace = keyspace;
            } else {
                let loan = Loan::Whole(Box::new(keyspace));
                host.send(
                    shard,
                    ShardMessage::Home {
                        id: command.id,
                        loan,
                    },
                );
            }
        }
    }

    pub(super) fn take_home(&mut self, id: LoanId, loan: Loan) {
        match loan {
            Loan::Keys(lent) => {
                for one in lent {
                    self.lent.remove(&(one.db, one.key.clone()));
                    one.put(&mut self.keyspace);
                }
            }
            Loan::Whole(keyspace) => {
                self.keyspace = *keyspace;
                if self.held == Some(id) {
                    self.held = None;
                }
            }
        }
    }

    /// A command that every shard runs at this position. The coordinator, shard 0 (or the one that
    /// a cursor names), combines the replies. Every shard holds all else from its own part until
    /// the last one's: a shard ahead of another would acknowledge writes that the command has not
    /// seen while it sees what the other has not shown to anybody.
    fn step_everywhere(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        combine: Combine,
        host: &mut impl Host,
    ) -> Step {
        let cursor_shard = |args: Args<'_>| {
            let cursor = args.at(1).and_then(crate::resp::parse_int).unwrap_or(0);
            crate::command::cursor_shard(cursor as u64, self.shards)
        };
        if combine == Combine::Cursor {
            if cursor_shard(args) == self.id {
                if !self.lent.is_empty() {
                    return Step::Stalled;
                }
                self.execute(command, host);
            }
            return Step::Done;
        }
        // A lent key would be missed, or would come home after a flush.
        if !self.lent.is_empty() {
            return Step::Stalled;
        }
        if self.id != 0 {
            let reply = self.own_share(command, args);
            host.send(
                0,
                ShardMessage::Share {
                    id: command.id,
                    reply,
                },
            );
            self.held = Some(command.id);
            return Step::Done;
        }
        if !self.cursor.ran {
            let reply = self.own_share(command, args);
            self.shares.entry(command.id).or_default().push(reply);
            self.cursor.ran = true;
        }
        if self.shares.get(&command.id).map_or(0, Vec::len) < self.shards {
            return Step::Stalled;
        }
        let shares = self.shares.remove(&command.id).unwrap_or_default();
        let timing = host.time(command.spec);
        let reply = combined(combine, shares, &mut Rng::new(command.seed));
        answer(command, args, timing, &reply, host);
        for shard in 1..self.shards {
            host.send(shard, ShardMessage::Release { id: command.id });
        }
        Step::Done
    }

    /// This shard's part of a command that every shard runs.
    fn own_share(&mut self, command: &Command<'_>, args: Args<'_>) -> Reply<'static> {
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let place = (self.id, self.shards);
        run_on(
            &mut self.keyspace,
            place,
            command,
            args,
            protocol,
            |reply| reply.into_owned(),
        )
    }
}
