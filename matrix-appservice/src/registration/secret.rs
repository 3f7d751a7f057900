//! Tokens that never reach a log.

use std::fmt;

use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The length of a generated token: 64 letters and digits, more than 380 bits.
const GENERATED_LENGTH: usize = 64;

/// A token or password. Its `Debug` shows nothing of it; only [`expose`](Secret::expose) does.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// A fresh token from the operating system's randomness.
    pub fn generate() -> Self {
        Self::new(Alphanumeric.sample_string(&mut rand::rng(), GENERATED_LENGTH))
    }

    /// The text, to be sent or written where it belongs, never to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the secret, in time that depends on the lengths only.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}
