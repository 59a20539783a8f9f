//! Patterns of `KEYS`, `SCAN MATCH`, `PSUBSCRIBE` and `CONFIG GET`: `*`, `?`, `[a-z]`, `[^a]`, `\x`
//! as Redis' `stringmatchlen` takes them.

/// Whether `text` matches `pattern` as a whole. `fold_case` makes ASCII letters equal in both
/// cases. O(pattern * text) at worst: a `*` that fits nowhere is tried at every place, but the
/// stars before it are never tried again.
pub fn matches(pattern: &[u8], text: &[u8], fold_case: bool) -> bool {
    let (mut at, mut place) = (0, 0);
    // Behind the last star, and where the text that it does not cover begins.
    let mut retry = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, place));
            if at == pattern.len() {
                return true;
            }
            continue;
        }
        let Some(&byte) = text.get(place) else {
            return at == pattern.len();
        };
        if at < pattern.len()
            && let Some(length) = element(&pattern[at..], byte, fold_case)
        {
            at += length;
            place += 1;
            continue;
        }
        let Some((behind, covered)) = retry else {
            return false;
        };
        retry = Some((behind, covered + 1));
        (at, place) = (behind, covered + 1);
    }
}

/// The length of the element at the start of `pattern` (which is not empty and no star) when it
/// matches `byte`.
fn element(pattern: &[u8], byte: u8, fold_case: bool) -> Option<usize> {
    let fold = |byte: u8| match fold_case {
        true => byte.to_ascii_lowercase(),
        false => byte,
    };
    let is = |other: u8| fold(other) == fold(byte);
    let (fits, length) = match *pattern {
        [b'?', ..] => (true, 1),
        [b'\\', escaped, ..] => (is(escaped), 2),
        [b'[', ref class @ ..] => {
            let (fits, length) = class_fits(class, byte, fold);
            (fits, length + 1)
        }
        _ => (is(pattern[0]), 1),
    };
    fits.then_some(length)
}

/// Whether the class whose inside is at the start of `class` has `byte`, and its length with the
/// bracket that closes it. One that is never closed ends with the pattern.
fn class_fits(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let is_negated = class.first() == Some(&b'^');
    let mut at = is_negated as usize;
    let mut is_in = false;
    let byte = fold(byte);
    loop {
        match class[at.min(class.len())..] {
            [] => return (is_in != is_negated, class.len()),
            [b'\\', escaped, ..] => {
                is_in |= fold(escaped) == byte;
                at += 2;
            }
            [b']', ..] => return (is_in != is_negated, at + 1),
            [first, b'-', last, ..] => {
                let (low, high) = (fold(first.min(last)), fold(first.max(last)));
                is_in |= (low..=high).contains(&byte);
                at += 3;
            }
            [one, ..] => {
                is_in |= fold(one) == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_redis() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a**", "abc", true),
            ("*c", "abcbc", true),
            ("*c?", "abcbc", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("[a", "b", false),
            ("[", "a", false),
            ("[^", "a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[a-]", "^", true),
            ("A*", "abc", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                want,
                "{pattern} {text}"
            );
        }
        assert!(matches(b"MAX[M-n]*", b"maxmemory", true));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = b"a*".repeat(200);
        let text = [b'a'; 5000];
        assert!(matches(&pattern, &text, false));
        let pattern = [&pattern[..], b"b"].concat();
        assert!(!matches(&pattern, &text, false));
    }
}
