//! Strings of the model.

use super::{
    Bytes, Content, Deadline, Entry, Expected, Model, Outcome, WrongType, is_fleeting, number,
};
use crate::kit::{Value, ok};

impl Model {
    pub(super) fn string_command(&mut self, name: &str, args: &[&[u8]]) -> Outcome {
        Ok(match (name, args) {
            ("GET", [key]) if is_fleeting(key) => Expected::Anything,
            ("GET", [key]) => self.text(key)?.into(),
            ("SET", [key, value, options @ ..]) => self.set(key, value, options),
            ("APPEND", [key, tail]) => {
                let mut text = self.text(key)?.unwrap_or_default();
                text.extend_from_slice(tail);
                self.put_text(key, text).into()
            }
            ("SETRANGE", [key, offset, patch]) => {
                let mut text = self.text(key)?.unwrap_or_default();
                let offset = number(offset) as usize;
                if patch.is_empty() {
                    return Ok(text.len().into());
                }
                text.resize(text.len().max(offset + patch.len()), 0);
                text[offset..offset + patch.len()].copy_from_slice(patch);
                self.put_text(key, text).into()
            }
            ("GETSET", [key, value]) => {
                let old = self.text(key)?;
                self.put(key, Content::Text(value.to_vec()));
                old.into()
            }
            ("GETDEL", [key]) => {
                let old = self.text(key)?;
                self.keys.remove(*key);
                old.into()
            }
            ("MSET", pairs) => {
                self.set_all(pairs);
                Expected::Value(ok())
            }
            ("MSETNX", pairs) => {
                let free = !pairs.chunks(2).any(|pair| self.keys.contains_key(pair[0]));
                if free {
                    self.set_all(pairs);
                }
                free.into()
            }
            ("MGET", keys) => {
                let one = |key: &&[u8]| match self.text(key) {
                    Ok(Some(text)) => Value::Bulk(text),
                    Ok(None) | Err(WrongType) => Value::Nil,
                };
                Expected::Value(Value::Array(keys.iter().map(one).collect()))
            }
            // Other connections count on it too.
            ("INCRBY", [b"shared:ticks", _]) => Expected::Anything,
            ("INCRBY", [key, by]) => {
                let old = self.text(key)?.map_or(0, |text| number(&text));
                let new = old + number(by);
                self.put_text(key, new.to_string().into_bytes());
                new.into()
            }
            _ => unreachable!("{name} with {} arguments", args.len()),
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8], options: &[&[u8]]) -> Expected {
        let content = Content::Text(value.to_vec());
        let there = self.keys.contains_key(key);
        match options {
            [] => self.put(key, content),
            [b"NX"] if there => return Expected::Value(Value::Nil),
            [b"XX"] if !there => return Expected::Value(Value::Nil),
            [b"NX"] | [b"XX"] => self.put(key, content),
            [b"KEEPTTL"] => match self.keys.get_mut(key) {
                Some(entry) => entry.content = content,
                None => self.put(key, content),
            },
            [b"PXAT", at_ms] => {
                let deadline = Deadline::At(number(at_ms) as u64);
                self.keys.insert(key.to_vec(), Entry { content, deadline });
            }
            _ => unreachable!("options of SET"),
        }
        Expected::Value(ok())
    }

    fn set_all(&mut self, pairs: &[&[u8]]) {
        for pair in pairs.chunks(2) {
            self.put(pair[0], Content::Text(pair[1].to_vec()));
        }
    }

    fn text(&self, key: &[u8]) -> Result<Option<Bytes>, WrongType> {
        match self.keys.get(key).map(|entry| &entry.content) {
            None => Ok(None),
            Some(Content::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(WrongType),
        }
    }

    /// Changes a string in place: its deadline stays. Answers its length.
    fn put_text(&mut self, key: &[u8], text: Bytes) -> usize {
        let length = text.len();
        match self.keys.get_mut(key) {
            Some(entry) => entry.content = Content::Text(text),
            None => self.put(key, Content::Text(text)),
        }
        length
    }
}
