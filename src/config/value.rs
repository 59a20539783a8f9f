//! What a directive's words are read as.

use super::cluster::read_addresses;
use super::directive::{Directive, Kind};
use super::level::{Consistency, Durability};
use super::output_limit::OutputLimits;
use super::words;

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number, or bytes.
    Int(i64),
    Flag(bool),
    /// One of the words that the directive knows.
    Word(&'static str),
    Text(String),
    List(Vec<String>),
    Durability(Durability),
    Consistency(Consistency),
    OutputLimits(OutputLimits),
}

impl Value {
    /// As `CONFIG GET` shows it.
    pub fn show(&self) -> String {
        match self {
            Value::Int(value) => value.to_string(),
            Value::Flag(value) => yes_no(*value).into(),
            Value::Word(word) => (*word).into(),
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(" "),
            Value::Durability(level) => level.to_string(),
            Value::Consistency(level) => level.to_string(),
            Value::OutputLimits(limits) => limits.to_string(),
        }
    }

    /// The arguments of the lines that set it in a file: mostly one line.
    pub fn lines(&self, kind: Kind) -> Vec<String> {
        match self {
            Value::Int(bytes) if matches!(kind, Kind::Memory { .. }) => {
                vec![format_memory(*bytes as u64)]
            }
            Value::Text(text) => vec![words::quote(text)],
            Value::List(items) if items.is_empty() => vec!["\"\"".into()],
            Value::List(items) => {
                let quoted: Vec<String> = items.iter().map(|item| words::quote(item)).collect();
                vec![quoted.join(" ")]
            }
            Value::OutputLimits(limits) => limits.lines(),
            other => vec![other.show()],
        }
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

impl Directive {
    /// Reads the words behind the directive's name; `current` is the value that it has.
    ///
    /// # Errors
    /// What is wrong, in Redis' words where it has any.
    pub(super) fn read(&self, words: &[String], current: &Value) -> Result<Value, String> {
        match (self.kind, words) {
            (Kind::List, words) => Ok(Value::List(
                words
                    .iter()
                    .filter(|word| !word.is_empty())
                    .cloned()
                    .collect(),
            )),
            (Kind::Addresses(count_max), words) => {
                let addresses = read_addresses(words)?;
                match addresses.len() <= count_max {
                    true => Ok(Value::List(addresses)),
                    false if count_max == 1 => Err("one address is enough".into()),
                    false => Err(format!("more than {count_max} addresses")),
                }
            }
            (Kind::SavePoints, words) => read_save_points(words),
            (Kind::OutputLimits, words) => match current {
                Value::OutputLimits(limits) => limits.with(words).map(Value::OutputLimits),
                other => Ok(other.clone()),
            },
            (Kind::Consistency, words) => Consistency::parse(words)
                .map(Value::Consistency)
                .ok_or_else(|| one_of(&Consistency::NAMES)),
            (kind, [word]) => read_word(kind, word),
            _ => Err("wrong number of arguments".into()),
        }
    }
}

fn read_word(kind: Kind, word: &str) -> Result<Value, String> {
    match kind {
        Kind::Int { min, max } => {
            let value = word
                .parse()
                .map_err(|_| "argument couldn't be parsed into an integer")?;
            within(value, min, max)
        }
        Kind::Memory { min, max } => {
            let bytes = parse_memory(word)
                .and_then(|bytes| i64::try_from(bytes).ok())
                .ok_or("argument must be a memory value")?;
            within(bytes, min, max)
        }
        Kind::Flag => match word.to_ascii_lowercase().as_str() {
            "yes" => Ok(Value::Flag(true)),
            "no" => Ok(Value::Flag(false)),
            _ => Err("argument must be 'yes' or 'no'".into()),
        },
        Kind::Word(choices) => choices
            .iter()
            .find(|choice| choice.eq_ignore_ascii_case(word))
            .map(|choice| Value::Word(choice))
            .ok_or_else(|| one_of(choices)),
        Kind::Durability => Durability::parse(word)
            .map(Value::Durability)
            .ok_or_else(|| one_of(&Durability::NAMES)),
        Kind::CoreList => match parse_core_list(word) {
            Some(_) => Ok(Value::Text(word.into())),
            None => Err("argument must be a list of CPUs, such as 0-3,8".into()),
        },
        _ => Ok(Value::Text(word.into())),
    }
}

fn within(value: i64, min: i64, max: i64) -> Result<Value, String> {
    if (min..=max).contains(&value) {
        Ok(Value::Int(value))
    } else {
        Err(format!(
            "argument must be between {min} and {max} inclusive"
        ))
    }
}

fn one_of(choices: &[&str]) -> String {
    format!(
        "argument(s) must be one of the following: {}",
        choices.join(", ")
    )
}

/// Pairs of seconds and changes, checked and let go: there is nothing that they would trigger.
fn read_save_points(words: &[String]) -> Result<Value, String> {
    let words: Vec<&String> = words.iter().filter(|word| !word.is_empty()).collect();
    let valid = words
        .chunks(2)
        .all(|pair| pair.len() == 2 && pair.iter().all(|word| word.parse::<u32>().is_ok()));
    if valid {
        Ok(Value::Text(String::new()))
    } else {
        Err("Invalid save parameters".into())
    }
}

/// Bytes from a number with a unit, in any case: none or `b`, `k` `m` `g` (decimal), `kb` `mb`
/// `gb` (binary). `None` when it is none, or too large.
pub(super) fn parse_memory(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes in the largest binary unit that divides them.
pub(super) fn format_memory(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// CPU numbers from `0-3,8`, in the order given. `None` when it is not such a list, names a CPU
/// twice, or goes beyond 1023 (the kernel's affinity mask).
pub(super) fn parse_core_list(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        if low > high || high > 1023usize {
            return None;
        }
        for core in low..=high {
            if cores.contains(&core) {
                return None;
            }
            cores.push(core);
        }
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("100b", Some(100)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("64mb", Some(64 << 20)),
            ("1G", Some(1_000_000_000)),
            ("2gb", Some(2 << 30)),
            ("-1", None),
            ("1x", None),
            ("mb", None),
            ("", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(parse_memory(text), bytes, "{text}");
        }
        for bytes in [0, 1, 1000, 1024, 1536, 64 << 20, 3 << 30] {
            assert_eq!(parse_memory(&format_memory(bytes)), Some(bytes));
        }
    }

    #[test]
    fn core_lists() {
        assert_eq!(parse_core_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_core_list("5,1"), Some(vec![5, 1]));
        assert_eq!(parse_core_list(""), Some(vec![]));
        for bad in ["a", "3-1", "1,1", "0-2,2", "1024", "1-"] {
            assert_eq!(parse_core_list(bad), None, "{bad}");
        }
    }
}
