//! One lock per key.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One lock per key, for as long as somebody holds or waits for it. May be held across `.await`.
#[derive(Debug)]
pub(crate) struct Keyed<K> {
    locks: Mutex<HashMap<K, Arc<AsyncMutex<()>>>>,
}

impl<K> Default for Keyed<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> Keyed<K> {
    /// Waits for the lock of `key`.
    pub(crate) async fn lock(&self, key: &K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            // Locks that nobody else has a hand on are swept when the table has doubled.
            if locks.len() >= 64 && locks.len().is_power_of_two() {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            locks.entry(key.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::Keyed;

    #[tokio::test]
    async fn one_key_is_held_once_and_others_are_free() {
        let keyed = Keyed::default();
        let held = keyed.lock(&"a").await;
        let _other = keyed.lock(&"b").await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(10), keyed.lock(&"a")).await;
        assert!(again.is_err(), "the lock of a key is exclusive");
        drop(held);
        let _again = keyed.lock(&"a").await;
    }

    #[tokio::test]
    async fn locks_that_nobody_holds_are_swept() {
        let keyed = Keyed::default();
        for key in 0..1000 {
            drop(keyed.lock(&key).await);
        }
        assert!(keyed.locks.lock().len() <= 64);
    }
}
