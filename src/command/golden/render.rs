//! Replies as one line of text each, told apart by type.

/// The reply at the start of `bytes`, which must be all of them: `+OK`, `-ERR ..`, `:1`, `"bulk"`,
/// `nil`, `nil-array`, `[..]`, `~[..]` (set), `{..}` (map, keys and values alternating), `,1.5`.
pub fn reply(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let text = take(&mut rest);
    assert!(rest.is_empty(), "{} bytes behind a reply", rest.len());
    text
}

fn take(rest: &mut &[u8]) -> String {
    let end = memchr::memmem::find(rest, b"\r\n").expect("a line ends");
    let (kind, line) = (rest[0], String::from_utf8_lossy(&rest[1..end]).into_owned());
    *rest = &rest[end + 2..];
    let count = line.parse::<i64>();
    match kind {
        b'+' | b'-' | b':' | b',' | b'#' => format!("{}{line}", kind as char),
        b'_' => "nil".into(),
        b'$' | b'=' => match usize::try_from(count.expect("a length")) {
            Err(_) => "nil".into(),
            Ok(length) => {
                let text = rest[..length].escape_ascii().to_string();
                *rest = &rest[length + 2..];
                format!("\"{}\"", text.replace("\\'", "'"))
            }
        },
        b'*' | b'~' | b'>' | b'%' => {
            let count = count.expect("a count");
            if count < 0 {
                return "nil-array".into();
            }
            let per_item = if kind == b'%' { 2 } else { 1 };
            let items: Vec<String> = (0..count * per_item).map(|_| take(rest)).collect();
            let items = items.join(", ");
            match kind {
                b'%' => format!("{{{items}}}"),
                b'~' => format!("~[{items}]"),
                b'>' => format!(">[{items}]"),
                _ => format!("[{items}]"),
            }
        }
        other => panic!("a reply of type {}", other.escape_ascii()),
    }
}
