//! Keys of several parts. The parts are UTF-8, so the byte 0xFF between them occurs in none of them.

use crate::network_id::PortalKey;

/// What separates parts.
const SEPARATOR: u8 = 0xFF;

/// A key that is built part by part.
#[derive(Debug, Default, Clone)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// A key that begins with this part.
    pub(crate) fn of(part: &str) -> Self {
        Self::default().and(part)
    }

    /// A key that begins with a portal.
    pub(crate) fn portal(portal: &PortalKey) -> Self {
        // A portal without a receiver must differ from one with an empty name for it.
        match &portal.receiver {
            None => Self::of(portal.id.as_str()).and("s"),
            Some(receiver) => Self::of(portal.id.as_str()).and("p").and(receiver.as_str()),
        }
    }

    /// With another part.
    pub(crate) fn and(mut self, part: &str) -> Self {
        self.0.extend_from_slice(part.as_bytes());
        self.0.push(SEPARATOR);
        self
    }

    /// The bytes: as a whole key, or as the prefix of all keys that go on from here.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The parts of a key; `None` if they are not text.
pub(crate) fn parts(key: &[u8]) -> Option<Vec<&str>> {
    key.strip_suffix(&[SEPARATOR])?
        .split(|byte| *byte == SEPARATOR)
        .map(|part| std::str::from_utf8(part).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Key, parts};
    use crate::network_id::PortalKey;

    #[test]
    fn keys_of_different_parts_never_meet() {
        assert_ne!(Key::of("a").and("bc").bytes(), Key::of("ab").and("c").bytes());
        assert_ne!(
            Key::portal(&PortalKey::shared("a")).bytes(),
            Key::portal(&PortalKey::private("a", "")).bytes()
        );
    }

    #[test]
    fn the_prefix_of_one_portal_covers_no_other() {
        let prefix = Key::portal(&PortalKey::shared("a")).bytes();
        let longer = Key::portal(&PortalKey::shared("ab")).and("id").bytes();
        assert!(!longer.starts_with(&prefix));
        assert!(Key::portal(&PortalKey::shared("a")).and("id").bytes().starts_with(&prefix));
    }

    #[test]
    fn a_key_gives_its_parts_back() {
        assert_eq!(parts(&Key::of("a").and("").and("é").bytes()), Some(vec!["a", "", "é"]));
        assert_eq!(parts(b"no end"), None);
        assert_eq!(parts(&[0xC3, 0xFF]), None);
    }
}
