//! Redis' glob patterns (`KEYS`, `SCAN MATCH`, `CONFIG GET`): `*`, `?`, `[abc]`, `[^a-z]`, `\x`.

/// Whether `text` matches `pattern`, byte by byte; `fold_case` ignores ASCII case.
///
/// O(pattern x text) at worst and without recursion: on a mismatch only the last `*` is tried
/// again, which is enough because an earlier one could only repeat what the later one tries.
pub fn matches(pattern: &[u8], text: &[u8], fold_case: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star: the pattern behind it, the text it would swallow next.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        let step = (p < pattern.len())
            .then(|| one(&pattern[p..], text[t], fold_case))
            .flatten();
        match (step, retry) {
            (Some(used), _) => {
                p += used;
                t += 1;
            }
            (None, Some((behind, swallowed))) => {
                p = behind;
                t = swallowed + 1;
                retry = Some((behind, t));
            }
            (None, None) => return false,
        }
    }
}

/// Matches one byte against the element that `pattern` starts with: the element's length.
fn one(pattern: &[u8], byte: u8, fold_case: bool) -> Option<usize> {
    let fold = |byte: u8| {
        if fold_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (hit, used) = class(rest, byte, fold);
            hit.then_some(used + 1)
        }
        [b'\\', escaped, ..] => (fold(*escaped) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
        [] => None,
    }
}

/// Matches one byte against a class, `pattern` standing behind its `[`: whether it is in, and the
/// class' length with its `]`. An unclosed class ends with the pattern, as Redis has it.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = negated as usize;
    let mut hit = false;
    let byte = fold(byte);
    while at < pattern.len() && pattern[at] != b']' {
        match &pattern[at..] {
            [b'\\', escaped, ..] => {
                hit |= fold(*escaped) == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low.min(high)), fold(*low.max(high)));
                hit |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                hit |= fold(*literal) == byte;
                at += 1;
            }
            [] => break,
        }
    }
    (hit != negated, (at + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[\\]]", "]", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("[ab", "a", true),
            ("[", "a", false),
            ("a**", "a", true),
            ("GET", "get", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches(b"CLIENT-[O]*", b"client-output", true));
    }
}
