//! Replies as clients read them (RESP2).

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Text(String),
    Error(String),
    Int(i64),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// The first reply in `bytes`, and how many bytes it takes; `None` while it is cut.
    pub fn read(bytes: &[u8]) -> Option<(Reply, usize)> {
        if bytes.is_empty() {
            return None;
        }
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
        let mut taken = end + 2;
        let reply = match bytes[0] {
            b'+' => Reply::Text(line),
            b'-' => Reply::Error(line),
            b':' => Reply::Int(line.parse().expect("a number")),
            b'$' | b'*' if line == "-1" => Reply::Nil,
            b'$' => {
                let length: usize = line.parse().expect("a length");
                let text = bytes.get(taken..taken + length)?;
                bytes.get(taken + length + 1)?;
                taken += length + 2;
                Reply::Text(String::from_utf8_lossy(text).into_owned())
            }
            b'*' => {
                let count: usize = line.parse().expect("a count");
                let mut elements = Vec::new();
                for _ in 0..count {
                    let (element, length) = Reply::read(&bytes[taken..])?;
                    elements.push(element);
                    taken += length;
                }
                Reply::Array(elements)
            }
            other => panic!("no reply begins with {other}"),
        };
        Some((reply, taken))
    }

    pub fn text(&self) -> &str {
        match self {
            Reply::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    pub fn elements(&self) -> &[Reply] {
        match self {
            Reply::Array(elements) => elements,
            other => panic!("no array: {other:?}"),
        }
    }
}
