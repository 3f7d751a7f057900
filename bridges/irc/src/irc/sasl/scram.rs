//! SCRAM-SHA-256 ([RFC 5802](https://www.rfc-editor.org/rfc/rfc5802),
//! [RFC 7677](https://www.rfc-editor.org/rfc/rfc7677)): the server learns that we know the password, we learn that it
//! does, and neither says it.
//!
//! Names and passwords are taken as they are: no SASLprep, which services do not apply either.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// How often the password may be hashed on the server's word. RFC 7677 asks for 4096 at least; the most keeps a
/// server from busying us.
const ROUNDS: std::ops::RangeInclusive<u32> = 4096..=200_000;

type Hash = [u8; 32];

/// One exchange.
pub(super) struct Scram {
    password: String,
    nonce: String,
    first_bare: String,
    state: State,
}

enum State {
    First,
    /// The signature that the server has to show.
    Final(Hash),
    Done,
}

impl Scram {
    /// Begins; the first message.
    pub(super) fn begin(account: &str, password: &str, nonce: &str) -> (Self, String) {
        let account = account.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={account},r={nonce}");
        let first = format!("n,,{first_bare}");
        let scram =
            Self { password: password.to_owned(), nonce: nonce.to_owned(), first_bare, state: State::First };
        (scram, first)
    }

    /// The answer to a message of the server; `None` if it is not to be trusted.
    pub(super) fn answer(&mut self, message: &str) -> Option<String> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::First => self.prove(message),
            State::Final(expected) => {
                let shown = BASE64_STANDARD.decode(message.strip_prefix("v=")?.split(',').next()?).ok()?;
                (shown == expected).then(String::new)
            }
            State::Done => None,
        }
    }

    fn prove(&mut self, message: &str) -> Option<String> {
        let mut parts = message.split(',');
        let nonce = parts.next()?.strip_prefix("r=")?;
        let salt = BASE64_STANDARD.decode(parts.next()?.strip_prefix("s=")?).ok()?;
        let rounds: u32 = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        let ours = nonce.strip_prefix(&self.nonce).is_some_and(|added| !added.is_empty());
        if !ours || !ROUNDS.contains(&rounds) {
            return None;
        }
        let salted = hash_password(self.password.as_bytes(), &salt, rounds);
        let client_key = mac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        // `biws` is `n,,` in base64: no channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let all = [self.first_bare.as_bytes(), b",", message.as_bytes(), b",", without_proof.as_bytes()];
        let signature = mac(&stored_key, &all);
        let mut proof = client_key;
        proof.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        self.state = State::Final(mac(&mac(&salted, &[b"Server Key"]), &all));
        Some(format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)))
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

/// `Hi` of RFC 5802.
fn hash_password(password: &[u8], salt: &[u8], rounds: u32) -> Hash {
    let mut last = mac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..rounds {
        last = mac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
