//! Lines of a configuration file to words and back, by Redis' rules of quoting.

/// Splits a line at blanks. Double quotes know `\n \r \t \b \a \" \\ \xHH`; single quotes know
/// `\'`. `None` when a quote is not closed or something other than a blank follows it.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(&first) = chars.peek() else {
            return Some(words);
        };
        let mut word = String::new();
        if first == '"' || first == '\'' {
            chars.next();
            quoted(&mut chars, first, &mut word)?;
            if chars.peek().is_some_and(|c| !c.is_whitespace()) {
                return None;
            }
        } else {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                match c {
                    // A quote may open in the middle of a word (`a"b c"`), as in Redis.
                    '"' | '\'' => {
                        quoted(&mut chars, c, &mut word)?;
                        if chars.peek().is_some_and(|c| !c.is_whitespace()) {
                            return None;
                        }
                    }
                    c => word.push(c),
                }
            }
        }
        words.push(word);
    }
}

/// Reads up to the closing `quote`.
fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    quote: char,
    word: &mut String,
) -> Option<()> {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => match chars.next()? {
                'n' => word.push('\n'),
                'r' => word.push('\r'),
                't' => word.push('\t'),
                'b' => word.push('\u{8}'),
                'a' => word.push('\u{7}'),
                'x' => {
                    let mut ahead = chars.clone();
                    let digits = (ahead.next(), ahead.next());
                    let byte = match digits {
                        (Some(high), Some(low)) => high.to_digit(16).zip(low.to_digit(16)),
                        _ => None,
                    };
                    match byte.and_then(|(high, low)| char::from_u32(high * 16 + low)) {
                        Some(byte) => {
                            word.push(byte);
                            *chars = ahead;
                        }
                        None => word.push('x'),
                    }
                }
                other => word.push(other),
            },
            '\\' if chars.peek() == Some(&'\'') => word.extend(chars.next()),
            c => word.push(c),
        }
    }
    None
}

/// The word as [`split`] reads it back: in double quotes where it must be.
pub fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        return word.to_string();
    }
    let mut out = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_in_redis() {
        for (line, expected) in [
            ("port 7000", Some(vec!["port", "7000"])),
            (
                "  bind  127.0.0.1\t::1 ",
                Some(vec!["bind", "127.0.0.1", "::1"]),
            ),
            ("save \"\"", Some(vec!["save", ""])),
            (
                "dir \"/a b/\\\"c\\\"\\n\"",
                Some(vec!["dir", "/a b/\"c\"\n"]),
            ),
            ("dir '/a \\'b'", Some(vec!["dir", "/a 'b"])),
            ("x \"\\x41\\xzz\"", Some(vec!["x", "Axzz"])),
            ("dir \"open", None),
            ("dir \"a\"b", None),
            ("dir 'open", None),
            ("", Some(vec![])),
        ] {
            let words = split(line);
            let expected = expected.map(|words| words.into_iter().map(String::from).collect());
            assert_eq!(words, expected, "{line}");
        }
    }

    #[test]
    fn quoted_words_read_back() {
        for word in [
            "plain",
            "",
            "two words",
            "q\"uo'te\\",
            "#hash",
            "tab\tnl\n\u{1}",
            "é ü",
        ] {
            assert_eq!(split(&quote(word)), Some(vec![word.to_string()]), "{word}");
        }
        assert_eq!(quote("/var/lib"), "/var/lib");
    }
}
