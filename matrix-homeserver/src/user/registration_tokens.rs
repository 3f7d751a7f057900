//! Tokens by which people register ([token-authenticated registration]) that administrators made while the server runs.
//!
//! [token-authenticated registration]: https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{now_ms, parse_row, put_json};
use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// How long a registration that was begun with a token counts as a use of it.
const PATIENCE: Duration = Duration::from_hours(1);

/// What a token is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenTerms {
    /// How often one may register with it. As often as one likes, where absent.
    pub(crate) uses_allowed: Option<u64>,
    /// Until when, in milliseconds since 1970.
    pub(crate) expiry_time: Option<u64>,
}

/// What is known about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    pub(crate) terms: TokenTerms,
    /// Registrations that were begun with it.
    pub(crate) pending: u64,
    /// Accounts that were made with it.
    pub(crate) completed: u64,
}

impl TokenInfo {
    /// Whether one more may register with it.
    pub(crate) fn is_valid(&self) -> bool {
        let used = self.pending.saturating_add(self.completed);
        self.terms.uses_allowed.is_none_or(|allowed| used < allowed)
            && self.terms.expiry_time.is_none_or(|expires| expires > now_ms())
    }
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    terms: TokenTerms,
    completed: u64,
}

#[derive(Default)]
struct Tokens {
    rows: BTreeMap<String, Row>,
    /// By the session in which the token was shown.
    pending: HashMap<String, (String, Instant)>,
}

/// All tokens that administrators made, in memory and on disk. Who has one has little more than anybody: they are kept as
/// they are, because administrators ask to see them.
pub(crate) struct RegistrationTokens {
    store: Store,
    tokens: Mutex<Tokens>,
    changing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for RegistrationTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistrationTokens")
            .field("count", &self.tokens.lock().rows.len())
            .finish_non_exhaustive()
    }
}

fn row_key(token: &str) -> KeyBuf {
    key(["registration_token", token])
}

impl Tokens {
    fn info(&self, token: &str) -> Option<TokenInfo> {
        let row = self.rows.get(token)?;
        let pending = self
            .pending
            .values()
            .filter(|(shown, since)| shown == token && since.elapsed() < PATIENCE)
            .count();
        let pending = u64::try_from(pending).unwrap_or(u64::MAX);
        Some(TokenInfo { terms: row.terms, pending, completed: row.completed })
    }
}

impl RegistrationTokens {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let mut tokens = Tokens::default();
        for row in store.scan_prefix(Tree::Account, key(["registration_token"])) {
            let (row_key, row) = row?;
            let [_, token] =
                KeyBuf::read(&row_key).ok_or_else(|| StoreError::damaged("a registration token"))?;
            tokens.rows.insert(token.to_owned(), parse_row(&row)?);
        }
        Ok(Self { store, tokens: Mutex::new(tokens), changing: tokio::sync::Mutex::default() })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(String, TokenInfo)> {
        let tokens = self.tokens.lock();
        tokens.rows.keys().filter_map(|token| Some((token.clone(), tokens.info(token)?))).collect()
    }

    pub(crate) fn get(&self, token: &str) -> Option<TokenInfo> {
        self.tokens.lock().info(token)
    }

    /// Makes a token; false if there is one of this name.
    pub(crate) async fn create(&self, token: &str, terms: TokenTerms) -> Result<bool, StoreError> {
        self.change(token, |row| row.is_none().then_some(Some(Row { terms, completed: 0 }))).await
    }

    /// Changes what a token is good for; false if there is none.
    pub(crate) async fn set_terms(
        &self,
        token: &str,
        change: impl FnOnce(&mut TokenTerms),
    ) -> Result<bool, StoreError> {
        self.change(token, |row| {
            row.map(|mut row| {
                change(&mut row.terms);
                Some(row)
            })
        })
        .await
    }

    /// Takes a token away; false if there is none.
    pub(crate) async fn delete(&self, token: &str) -> Result<bool, StoreError> {
        self.change(token, |row| row.map(|_| None)).await
    }

    /// Shows a token in a session. True if it is good, also when it was shown there before.
    pub(crate) fn show(&self, token: &str, session: &str) -> bool {
        let mut tokens = self.tokens.lock();
        tokens.pending.retain(|_, (_, since)| since.elapsed() < PATIENCE);
        if tokens.pending.get(session).is_some_and(|(shown, _)| shown == token) {
            return true;
        }
        let is_valid = tokens.info(token).is_some_and(|info| info.is_valid());
        if is_valid {
            tokens.pending.insert(session.to_owned(), (token.to_owned(), Instant::now()));
        }
        is_valid
    }

    /// An account was made in a session; if a token was shown there, it was used.
    pub(crate) async fn used(&self, session: &str) -> Result<(), StoreError> {
        let Some((token, _)) = self.tokens.lock().pending.remove(session) else { return Ok(()) };
        let count = |row: Row| Row { completed: row.completed.saturating_add(1), ..row };
        self.change(&token, |row| row.map(|row| Some(count(row)))).await.map(drop)
    }

    /// Writes what becomes of a token; nothing, and false, where that is `None`.
    async fn change(
        &self,
        token: &str,
        change: impl FnOnce(Option<Row>) -> Option<Option<Row>>,
    ) -> Result<bool, StoreError> {
        let _one = self.changing.lock().await;
        let before = self.tokens.lock().rows.get(token).copied();
        let Some(after) = change(before) else { return Ok(false) };
        let mut writes = WriteSet::new();
        match &after {
            Some(row) => put_json(&mut writes, row_key(token), row),
            None => writes.delete(Tree::Account, row_key(token)),
        }
        self.store.commit(writes).await?;
        let mut tokens = self.tokens.lock();
        match after {
            Some(row) => drop(tokens.rows.insert(token.to_owned(), row)),
            None => drop(tokens.rows.remove(token)),
        }
        Ok(true)
    }
}
