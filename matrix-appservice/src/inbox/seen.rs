//! Which events have been accepted before.

use std::collections::{HashSet, VecDeque};

use sha2::{Digest as _, Sha256};

/// How many event IDs are remembered. A homeserver repeats only what it sent last.
const REMEMBERED: usize = 200_000;

/// Half of a SHA-256: no two of the events that are remembered share it by chance or by intent.
pub(super) type EventHash = [u8; 16];

pub(super) fn hash(parts: &[&[u8]]) -> EventHash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// The event IDs of the last transactions, by transaction so that whole rows can be forgotten.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<EventHash>,
    transactions: VecDeque<(u64, Vec<EventHash>)>,
}

impl Seen {
    /// Whether the event is new; it is not the next time.
    pub(super) fn insert(&mut self, hash: EventHash) -> bool {
        self.known.insert(hash)
    }

    /// Takes back an insertion whose transaction was not accepted.
    pub(super) fn remove(&mut self, hash: &EventHash) {
        self.known.remove(hash);
    }

    /// Notes which events a transaction brought; they have been inserted.
    ///
    /// Returns the numbers of the transactions that are forgotten for it.
    pub(super) fn remember(&mut self, number: u64, hashes: Vec<EventHash>) -> Vec<u64> {
        self.transactions.push_back((number, hashes));
        let mut forgotten = Vec::new();
        while self.known.len() > REMEMBERED && self.transactions.len() > 1 {
            if let Some((number, hashes)) = self.transactions.pop_front() {
                for hash in &hashes {
                    self.known.remove(hash);
                }
                forgotten.push(number);
            }
        }
        forgotten
    }

    /// Takes in the row of a transaction that an earlier process accepted, in the order of the numbers.
    pub(super) fn restore(&mut self, number: u64, row: &[u8]) {
        let (hashes, _) = row.as_chunks::<16>();
        self.known.extend(hashes);
        self.transactions.push_back((number, hashes.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_transactions_are_forgotten_first() {
        let mut seen = Seen::default();
        let mut forgotten = Vec::new();
        for number in 0..=4_u64 {
            let hashes: Vec<_> =
                (0..50_000_u64).map(|n| hash(&[&number.to_be_bytes(), &n.to_be_bytes()])).collect();
            assert!(hashes.iter().all(|hash| seen.insert(*hash)));
            forgotten.extend(seen.remember(number, hashes));
        }
        assert_eq!(forgotten, [0]);
        assert!(seen.insert(hash(&[&0_u64.to_be_bytes(), &1_u64.to_be_bytes()])));
        assert!(!seen.insert(hash(&[&4_u64.to_be_bytes(), &1_u64.to_be_bytes()])));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }
}
