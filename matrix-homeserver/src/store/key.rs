//! How keys are put together.

use super::Position;

/// [`Tree::Meta`](super::Tree::Meta): the layout of the rows.
pub(super) const SCHEMA: &[u8] = b"schema";
/// [`Tree::Meta`](super::Tree::Meta): the last position that was given.
pub(super) const FRONTIER: &[u8] = b"frontier";

/// [`Tree::Meta`](super::Tree::Meta), with a time in milliseconds behind it: the frontier at that time.
pub(crate) const MARK: &str = "mark";

/// Ends a text inside a key. The byte never occurs in UTF-8.
const END: u8 = 0xff;

/// A key of several texts and numbers, ordered part by part.
///
/// Every text is ended by a byte that no text contains, so no key is a prefix of another by accident: the
/// rooms of `@al:hs` are not found among those of `@al:hs2`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyBuf(Vec<u8>);

/// A key, or a prefix of keys, of several texts.
pub(crate) fn key<const N: usize>(texts: [&str; N]) -> KeyBuf {
    let mut bytes = Vec::with_capacity(texts.iter().map(|text| text.len() + 1).sum::<usize>() + 16);
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(END);
    }
    KeyBuf(bytes)
}

impl KeyBuf {
    /// The key with another text behind it.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(END);
        self
    }

    /// The key with a number behind it.
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The key with a position behind it.
    pub(crate) fn position(self, position: Position) -> Self {
        self.number(position.0)
    }

    /// The texts that a key starts with. `None` when there are fewer, or when they are not UTF-8.
    pub(crate) fn read<const N: usize>(key: &[u8]) -> Option<[&str; N]> {
        let mut parts = key.split(|byte| *byte == END);
        let mut texts = [""; N];
        for text in &mut texts {
            *text = std::str::from_utf8(parts.next()?).ok()?;
        }
        Some(texts)
    }
}

impl AsRef<[u8]> for KeyBuf {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<KeyBuf> for Vec<u8> {
    fn from(key: KeyBuf) -> Self {
        key.0
    }
}
