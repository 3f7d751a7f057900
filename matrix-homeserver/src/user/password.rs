//! Passwords are stored as Argon2id hashes only.

use std::{sync::Arc, thread};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// Hashes passwords at a cost.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    params: Params,
    /// As many hashes are made at once as there are processors: each takes the memory of its cost.
    turns: Arc<Semaphore>,
}

impl Hasher {
    /// The cost that [RFC 9106](https://www.rfc-editor.org/rfc/rfc9106) recommends where memory is scarce, for data
    /// that stays.
    pub(crate) fn strong() -> Self {
        Self::with(Params::default())
    }

    /// The least cost that the algorithm allows, for accounts that live as long as a test.
    pub(crate) fn quick() -> Self {
        let params = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None);
        Self::with(params.unwrap_or_default())
    }

    fn with(params: Params) -> Self {
        let turns = thread::available_parallelism().map_or(1, usize::from);
        Self { params, turns: Arc::new(Semaphore::new(turns)) }
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    /// The hash of a password, with its salt and cost in it.
    pub(crate) async fn hash(&self, password: String) -> String {
        let argon2 = self.argon2();
        self.aside(move || {
            argon2
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .expect("a random salt and checked parameters always give a hash")
        })
        .await
    }

    /// Whether a password has this hash. Without a hash the answer is no, after the same work.
    pub(crate) async fn matches(&self, password: String, hash: Option<String>) -> bool {
        let argon2 = self.argon2();
        self.aside(move || {
            let Some(hash) = hash else {
                let _ = argon2.hash_password(password.as_bytes());
                return false;
            };
            let Ok(hash) = PasswordHash::new(&hash) else { return false };
            argon2.verify_password(password.as_bytes(), &hash).is_ok()
        })
        .await
    }

    /// Runs slow work where it does not hold up other requests, when it is its turn.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = self.turns.clone().acquire_owned().await.expect("nobody closes it");
        let hashing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        hashing.await.expect("hashing does not panic and is not cancelled")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn only_the_same_password_matches_its_hash() {
        let hasher = Hasher::quick();
        let hash = hasher.hash("secret".into()).await;
        assert!(!hash.contains("secret"));
        assert!(hasher.matches("secret".into(), Some(hash.clone())).await);
        assert!(!hasher.matches("Secret".into(), Some(hash)).await);
        assert!(!hasher.matches("secret".into(), None).await);
    }

    #[tokio::test]
    async fn a_hash_made_at_another_cost_still_matches() {
        let hash = Hasher::quick().hash("x".into()).await;
        assert!(Hasher::strong().matches("x".into(), Some(hash)).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_hashes_are_made_at_once_than_there_are_processors() {
        let hasher = Hasher::quick();
        let turns = hasher.turns.available_permits();
        let most = Arc::new(AtomicUsize::new(0));
        let running = Arc::new(AtomicUsize::new(0));
        let works = (0..4 * turns + 4).map(|_| {
            let (running, most) = (running.clone(), most.clone());
            hasher.aside(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
                running.fetch_sub(1, Ordering::SeqCst);
            })
        });
        futures_util::future::join_all(works).await;
        assert!(most.load(Ordering::SeqCst) <= turns);
    }
}
