//! Commands that look at all keys, with every shard's keyspace or reply at hand.

use crate::command::{
    Combine, Context, Rng, Route, Spec, cursor_shard, each_place, run_transaction,
};
use crate::keyspace::Keyspace;
use crate::resp::{Args, Error, Protocol, Reply, parse_int};
use crate::slot::{shard_of, slot_of};
use crate::value::{DIGEST_BYTES, Digest};

use super::execute::Command;
use super::loan::Lent;

/// Makes one reply of the shards' replies. An error of any shard is the reply.
pub fn combined(
    combine: Combine,
    mut shares: Vec<Reply<'static>>,
    rng: &mut Rng,
) -> Reply<'static> {
    if let Some(error) = shares
        .iter()
        .position(|share| matches!(share, Reply::Error(_)))
    {
        return shares.swap_remove(error);
    }
    match combine {
        Combine::Sum => Reply::Int(
            shares
                .iter()
                .map(|share| {
                    if let Reply::Int(value) = share {
                        *value
                    } else {
                        0
                    }
                })
                .sum(),
        ),
        Combine::Concat => Reply::Array(
            shares
                .into_iter()
                .flat_map(|share| match share {
                    Reply::Array(items) | Reply::Set(items) => items,
                    _ => Vec::new(),
                })
                .collect(),
        ),
        Combine::First | Combine::Cursor => shares.into_iter().next().unwrap_or(Reply::Null),
        Combine::Digest => {
            let mut sum = Digest::default();
            for share in &shares {
                if let Reply::Bulk(bytes) = share
                    && let Ok(bytes) = <&[u8; DIGEST_BYTES]>::try_from(&bytes[..])
                {
                    sum += Digest::from_bytes(bytes);
                }
            }
            Reply::Raw(format!("+{sum}\r\n").into_bytes().into())
        }
        Combine::Pick => {
            shares.retain(|share| *share != Reply::Null);
            if shares.is_empty() {
                return Reply::Null;
            }
            let drawn = rng.below(shares.len());
            shares.swap_remove(drawn)
        }
    }
}

/// Runs a transaction with every shard's keyspace at hand, indexed by shard.
pub fn transaction_over(
    keyspaces: &mut [Keyspace],
    command: &Command<'_>,
    args: Args<'_>,
    protocol: Protocol,
) -> Reply<'static> {
    let shards = keyspaces.len();
    let mut rng = Rng::new(command.seed);
    run_transaction(
        args,
        keyspaces,
        |keyspaces, db, key, version| {
            let database = keyspaces[shard_of(slot_of(key), shards)].db(db as usize);
            database.version_of(key, command.now_ms) == version
        },
        |keyspaces, spec, db, args| {
            let mut places = Vec::new();
            let all = each_place(spec, db, args, &mut |db, key| {
                places.push((shard_of(slot_of(key), shards), db, key.to_vec()));
            });
            // One draw for each command, however many shards it runs on.
            let seed = rng.number();
            let run = |keyspaces: &mut [Keyspace], shard: usize| {
                let mut context = Context {
                    keyspace: &mut keyspaces[shard],
                    db: db as usize,
                    now_ms: command.now_ms,
                    version: command.version,
                    rng: Rng::new(seed),
                    shard,
                    shards,
                    resp3: protocol == Protocol::Resp3,
                };
                call(spec, &mut context, args)
            };
            if all {
                return match spec.route {
                    Route::ReadAll(Combine::Cursor) => {
                        let cursor = args.at(1).and_then(parse_int).unwrap_or(0);
                        run(keyspaces, cursor_shard(cursor as u64, shards))
                    }
                    Route::ReadAll(combine) | Route::WriteAll(combine) => {
                        let shares = (0..shards).map(|shard| run(keyspaces, shard)).collect();
                        combined(combine, shares, &mut Rng::new(seed))
                    }
                    _ => Reply::Error(Error::fixed("ERR transactions cannot be nested")),
                };
            }
            let coordinator = places.first().map_or(0, |place| place.0);
            move_keys(keyspaces, &places, |place| (place, coordinator));
            let reply = run(keyspaces, coordinator);
            move_keys(keyspaces, &places, |place| (coordinator, place));
            reply
        },
    )
}

/// Moves each key between two of the keyspaces that `way` names for its own shard: (from, to).
fn move_keys(
    keyspaces: &mut [Keyspace],
    places: &[(usize, u8, Vec<u8>)],
    way: impl Fn(usize) -> (usize, usize),
) {
    for (own, db, key) in places {
        let (from, to) = way(*own);
        if from != to {
            Lent::take(&mut keyspaces[from], *db, key).put(&mut keyspaces[to]);
        }
    }
}

fn call(spec: &Spec, context: &mut Context<'_>, args: Args<'_>) -> Reply<'static> {
    match spec.handler {
        Some(handler) => handler(context, args)
            .unwrap_or_else(Reply::Error)
            .into_owned(),
        None => Reply::Error(Error::fixed("ERR command not allowed in a transaction")),
    }
}
