//! A request's arguments as slices of one buffer.

/// Start and end of one argument in its buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The same argument in a buffer that has `bytes` more before it.
    #[inline]
    pub fn shifted(self, bytes: u32) -> Span {
        Span {
            start: self.start + bytes,
            end: self.end + bytes,
        }
    }
}

/// The arguments of one command, its name first. Cheap to copy: two slices.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments over `buffer`; every span lies within it.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Args { buffer, spans }
    }

    /// How many there are, the command's name counted.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`.
    ///
    /// # Panics
    /// When `index >= len()`: the table's arity was checked before a handler runs, and a handler
    /// asks for no more than that without looking at `len`.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.buffer[span.start as usize..span.end as usize]
    }

    /// Argument `index`, if there is one.
    #[inline]
    pub fn at(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.spans.len()).then(|| self.get(index))
    }

    /// Whether argument `index` is `word`, case ignored. False when there is none.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.at(index)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// All from `start` on (`start` may be past the end).
    pub fn iter_from(&self, start: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (buffer, spans) = (self.buffer, self.spans);
        spans[start.min(spans.len())..]
            .iter()
            .map(move |span| &buffer[span.start as usize..span.end as usize])
    }

    /// The same arguments without the first `count`.
    pub fn skip(&self, count: usize) -> Args<'a> {
        Args {
            buffer: self.buffer,
            spans: &self.spans[count.min(self.spans.len())..],
        }
    }

    /// Bytes of all arguments together.
    pub fn bytes(&self) -> usize {
        self.spans
            .iter()
            .map(|span| (span.end - span.start) as usize)
            .sum()
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter_from(0).map(|arg| arg.escape_ascii().to_string()))
            .finish()
    }
}
