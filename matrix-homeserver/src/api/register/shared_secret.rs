//! Registration for whoever knows the shared secret, as
//! [Synapse](https://element-hq.github.io/synapse/latest/admin_api/register_api.html) has it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::extract::State;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;

use super::{check_password, login_reply, new_person};
use crate::{
    api::{ApiError, ApiResult, AppState, Json, Reply},
    user::{NewAccount, NewSession, random_text},
};

/// How long a nonce is good.
const NONCE_AGE: Duration = Duration::from_mins(1);
/// The most nonces that are good at once.
const MAX_NONCES: usize = 10_000;

/// Nonces that were given out and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<HashMap<String, Instant>>);

impl Nonces {
    /// `None` when too many wait to be used.
    fn give(&self) -> Option<String> {
        let mut given = self.0.lock();
        given.retain(|_, since| since.elapsed() < NONCE_AGE);
        if given.len() >= MAX_NONCES {
            return None;
        }
        let nonce = random_text(32);
        given.insert(nonce.clone(), Instant::now());
        Some(nonce)
    }

    fn take(&self, nonce: &str) -> bool {
        self.0.lock().remove(nonce).is_some_and(|since| since.elapsed() < NONCE_AGE)
    }
}

pub(super) async fn register_nonce(State(app): State<AppState>) -> ApiResult<Reply<Value>> {
    if app.config.registration_shared_secret.is_none() {
        return Err(ApiError::unknown("shared secret registration is not enabled"));
    }
    let nonce = app.nonces.give().ok_or_else(|| ApiError::limit_exceeded(NONCE_AGE))?;
    Ok(Reply(json!({ "nonce": nonce })))
}

#[derive(Deserialize)]
pub(super) struct SecretRegistration {
    nonce: String,
    username: String,
    password: String,
    displayname: Option<String>,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
    #[serde(default)]
    inhibit_login: bool,
}

pub(super) async fn register_with_secret(
    State(app): State<AppState>,
    Json(body): Json<SecretRegistration>,
) -> ApiResult<Reply<Value>> {
    let Some(secret) = &app.config.registration_shared_secret else {
        return Err(ApiError::unknown("shared secret registration is not enabled"));
    };
    if [&body.username, &body.password].iter().any(|text| text.contains('\0')) {
        return Err(ApiError::invalid_param("neither user name nor password may contain NUL"));
    }
    if !app.nonces.take(&body.nonce) {
        return Err(ApiError::unknown("unrecognised nonce"));
    }
    let role = if body.admin { "admin" } else { "notadmin" };
    let mut parts = vec![&*body.nonce, &*body.username, &*body.password, role];
    parts.extend(body.user_type.as_deref());
    let mut expected = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes())
        .expect("a key of any length suits this code");
    expected.update(parts.join("\0").as_bytes());
    let proven = from_hex(&body.mac).is_some_and(|mac| expected.verify_slice(&mac).is_ok());
    if !proven {
        return Err(ApiError::forbidden("the HMAC is not right"));
    }
    check_password(&body.password)?;
    let user_id = new_person(&app, &body.username)?;
    let account = NewAccount {
        password: Some(body.password),
        admin: body.admin,
        displayname: body.displayname,
        ..NewAccount::default()
    };
    let session = (!body.inhibit_login).then(NewSession::default);
    let login = app.users.register(&user_id, account, session).await?;
    Ok(Reply(login_reply(&app, &user_id, login)))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
