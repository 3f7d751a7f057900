//! From bytes to lines.

use bytes::{Buf, Bytes, BytesMut};

use super::limits;

/// What arrived, up to the end of a line that is still to come.
///
/// Only LF ends a line, whatever stands before it. A line beyond [`limits::RECEIVED`] is skipped up to its end, so
/// that nothing that is sent can fill the memory or shift where lines begin.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: BytesMut,
    /// How much of `bytes` is known to have no LF.
    searched: usize,
    /// Whether the line that is arriving is too long.
    skipping: bool,
    skipped: u64,
}

impl LineBuffer {
    /// Where the next bytes go.
    pub fn space(&mut self, at_least: usize) -> &mut BytesMut {
        self.bytes.reserve(at_least);
        &mut self.bytes
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its LF.
    pub fn next_line(&mut self) -> Option<Bytes> {
        loop {
            let Some(at) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                if self.searched > limits::RECEIVED {
                    self.skipping = true;
                    self.bytes.clear();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.bytes.split_to(self.searched + at).freeze();
            self.bytes.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) || line.len() > limits::RECEIVED {
                self.skipped += 1;
                continue;
            }
            return Some(line);
        }
    }

    /// How many lines were too long so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Gives memory back when nothing is waiting in it.
    pub fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.searched = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LineBuffer;
    use crate::irc::limits;

    fn lines(buffer: &mut LineBuffer) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| buffer.next_line()).map(|line| line.to_vec()).collect()
    }

    #[test]
    fn a_lone_cr_splits_nothing_and_a_bare_lf_ends_a_line() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"a\rb\r\nc\nd");
        assert_eq!(lines(&mut buffer), [b"a\rb\r".to_vec(), b"c".to_vec()]);
        buffer.push(b"e\n");
        assert_eq!(lines(&mut buffer), [b"de".to_vec()]);
    }

    #[test]
    fn a_line_of_64_kib_is_skipped_and_the_next_is_read() {
        let mut buffer = LineBuffer::default();
        for chunk in [vec![b'x'; 64 * 1024], b"y\nPING 1\n".to_vec()].concat().chunks(1000) {
            buffer.push(chunk);
            let found = lines(&mut buffer);
            assert!(buffer.bytes.len() <= limits::RECEIVED + 1000);
            assert!(found.is_empty() || found == [b"PING 1".to_vec()]);
        }
        assert_eq!(buffer.skipped(), 1);
        assert!(buffer.bytes.is_empty());
        buffer.push(&[vec![b'x'; 64 * 1024], b"\nPING 2\n".to_vec()].concat());
        assert_eq!(lines(&mut buffer), [b"PING 2".to_vec()]);
        assert_eq!(buffer.skipped(), 2);
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300),
            size in 1..50_usize,
        ) {
            let mut whole = LineBuffer::default();
            whole.push(&bytes);
            let expected = lines(&mut whole);
            let mut pieces = LineBuffer::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(size) {
                pieces.push(chunk);
                found.extend(lines(&mut pieces));
            }
            prop_assert_eq!(found, expected);
        }
    }
}
