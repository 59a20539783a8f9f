//! Lists, sets, hashes and sorted sets of the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Bytes, Content, Deadline, Entry, Expected, Model, Outcome, WrongType, number};
use crate::kit::{Value, bulk, ok};

/// Makes the accessor of one type: the collection at a key, an empty one where there is none.
macro_rules! accessor {
    ($name:ident, $variant:ident, $type:ty) => {
        fn $name(&mut self, key: &[u8]) -> Result<&mut $type, WrongType> {
            let empty = || Entry {
                content: Content::$variant(Default::default()),
                deadline: Deadline::Never,
            };
            match &mut self.keys.entry(key.to_vec()).or_insert_with(empty).content {
                Content::$variant(collection) => Ok(collection),
                _ => Err(WrongType),
            }
        }
    };
}

impl Model {
    accessor!(list, List, VecDeque<Bytes>);
    accessor!(set_of, Set, BTreeSet<Bytes>);
    accessor!(hash, Hash, BTreeMap<Bytes, Bytes>);
    accessor!(scored, Scored, BTreeMap<Bytes, i64>);

    pub(super) fn collection_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        let outcome = match name.as_bytes()[0] {
            b'H' => self.hash_command(name, args),
            b'Z' => self.scored_command(name, args),
            b'S' => self.set_command(name, args),
            _ => self.list_command(name, args),
        };
        // What an accessor made, or a removal left empty, is no key.
        args.iter().for_each(|arg| self.drop_empty(arg));
        outcome
    }

    fn list_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        Ok(match (name, args) {
            ("RPUSH", [key, items @ ..]) => {
                let list = self.list(key)?;
                list.extend(items.iter().map(|item| item.to_vec()));
                list.len().into()
            }
            ("LPUSH", [key, items @ ..]) => {
                let list = self.list(key)?;
                items.iter().for_each(|item| list.push_front(item.to_vec()));
                list.len().into()
            }
            ("LPOP", [key]) => self.list(key)?.pop_front().into(),
            ("RPOP", [key]) => self.list(key)?.pop_back().into(),
            ("LTRIM", [key, b"0", last]) => {
                let keep = number(last) as usize + 1;
                self.list(key)?.truncate(keep);
                Expected::Value(ok())
            }
            ("LREM", [key, b"0", item]) => {
                let list = self.list(key)?;
                let before = list.len();
                list.retain(|one| one != item);
                (before - list.len()).into()
            }
            ("LINSERT", [key, b"BEFORE", pivot, item]) => {
                let list = self.list(key)?;
                match list.iter().position(|one| one == pivot) {
                    _ if list.is_empty() => 0i64.into(),
                    None => (-1i64).into(),
                    Some(at) => {
                        list.insert(at, item.to_vec());
                        list.len().into()
                    }
                }
            }
            ("LMOVE", [from, to, b"LEFT", b"RIGHT"]) => {
                let item = self.list(from)?.pop_front();
                if let Some(item) = &item {
                    self.list(to)?.push_back(item.clone());
                }
                item.into()
            }
            ("LRANGE", [key, b"0", b"-1"]) => {
                let items = self.list(key)?.iter().map(bulk).collect();
                Expected::Value(Value::Array(items))
            }
            _ => unreachable!("{name} with {} arguments", args.len()),
        })
    }

    fn set_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        Ok(match (name, args) {
            ("SADD", [key, members @ ..]) => {
                let set = self.set_of(key)?;
                let new = members.iter().filter(|member| set.insert(member.to_vec()));
                new.count().into()
            }
            ("SREM", [key, members @ ..]) => {
                let set = self.set_of(key)?;
                let gone = members.iter().filter(|member| set.remove(**member));
                gone.count().into()
            }
            ("SPOP", [key]) => {
                self.set_of(key)?;
                Expected::MemberOf(key.to_vec())
            }
            ("SMOVE", [from, to, member]) => {
                let moved = self.set_of(from)?.remove(*member);
                if moved {
                    self.set_of(to)?.insert(member.to_vec());
                }
                moved.into()
            }
            ("SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE", [to, one, other]) => {
                let (one, other) = (self.set_of(one)?.clone(), self.set_of(other)?.clone());
                let result = match name {
                    "SUNIONSTORE" => &one | &other,
                    "SINTERSTORE" => &one & &other,
                    _ => &one - &other,
                };
                let count = result.len();
                self.put(to, Content::Set(result));
                count.into()
            }
            _ => unreachable!("{name} with {} arguments", args.len()),
        })
    }

    fn hash_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        Ok(match (name, args) {
            ("HSET", [key, pairs @ ..]) => {
                let hash = self.hash(key)?;
                let new = pairs
                    .chunks(2)
                    .filter(|pair| hash.insert(pair[0].to_vec(), pair[1].to_vec()).is_none());
                new.count().into()
            }
            ("HSETNX", [key, field, value]) => {
                let hash = self.hash(key)?;
                let new = !hash.contains_key(*field);
                if new {
                    hash.insert(field.to_vec(), value.to_vec());
                }
                new.into()
            }
            ("HDEL", [key, fields @ ..]) => {
                let hash = self.hash(key)?;
                let gone = fields.iter().filter(|field| hash.remove(**field).is_some());
                gone.count().into()
            }
            ("HINCRBY", [key, field, by]) => {
                let hash = self.hash(key)?;
                let old = hash.get(*field).map_or(0, |text| number(text));
                let new = old + number(by);
                hash.insert(field.to_vec(), new.to_string().into_bytes());
                new.into()
            }
            ("HGET", [key, field]) => self.hash(key)?.get(*field).cloned().into(),
            _ => unreachable!("{name} with {} arguments", args.len()),
        })
    }

    fn scored_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        Ok(match (name, args) {
            ("ZADD", [key, pairs @ ..]) => {
                let members = self.scored(key)?;
                let new = pairs
                    .chunks(2)
                    .filter(|pair| members.insert(pair[1].to_vec(), number(pair[0])).is_none());
                new.count().into()
            }
            ("ZINCRBY", [key, by, member]) => {
                let score = self.scored(key)?.entry(member.to_vec()).or_default();
                *score += number(by);
                Some(score.to_string().into_bytes()).into()
            }
            ("ZREM", [key, gone @ ..]) => {
                let members = self.scored(key)?;
                let gone = gone
                    .iter()
                    .filter(|member| members.remove(**member).is_some());
                gone.count().into()
            }
            ("ZPOPMIN", [key]) => {
                let members = self.scored(key)?;
                // Equal scores come in the order of members, as the map has them.
                let least = members.iter().min_by_key(|(_, score)| **score);
                let mut reply = Vec::new();
                if let Some((member, score)) = least.map(|(member, score)| (member.clone(), *score))
                {
                    members.remove(&member);
                    reply = vec![Value::Bulk(member), bulk(score.to_string())];
                }
                Expected::Value(Value::Array(reply))
            }
            ("ZUNIONSTORE", [to, b"2", one, other]) => {
                let mut sum = self.scored(one)?.clone();
                for (member, score) in self.scored(other)?.clone() {
                    *sum.entry(member).or_default() += score;
                }
                let count = sum.len();
                self.put(to, Content::Scored(sum));
                count.into()
            }
            _ => unreachable!("{name} with {} arguments", args.len()),
        })
    }
}
