//! Registration tokens, as in
//! [Synapse's admin API](https://element-hq.github.io/synapse/latest/usage/administration/admin_api/registration_tokens.html).

use axum::{
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    api::{ApiError, ApiResult, AppState, Json, Params, Reply, Requester, Routes, Segments},
    user::{TokenInfo, TokenTerms, now_ms, random_text},
};

/// The longest token.
const MAX_LENGTH: usize = 64;

pub(in crate::api) fn routes() -> Routes {
    Routes::new()
        .absolute("/_synapse/admin/v1/registration_tokens", get(list_tokens))
        .absolute("/_synapse/admin/v1/registration_tokens/new", post(create_token))
        .absolute(
            "/_synapse/admin/v1/registration_tokens/{token}",
            get(get_token).put(update_token).delete(delete_token),
        )
}

fn render(token: &str, info: &TokenInfo) -> Value {
    json!({
        "token": token,
        "uses_allowed": info.terms.uses_allowed,
        "pending": info.pending,
        "completed": info.completed,
        "expiry_time": info.terms.expiry_time,
    })
}

fn shown(app: &AppState, token: &str) -> ApiResult<Reply<Value>> {
    let info = app.users.registration_tokens.get(token);
    let info = info.ok_or_else(|| ApiError::not_found("there is no such registration token"))?;
    Ok(Reply(render(token, &info)))
}

#[derive(Debug, Deserialize)]
struct Which {
    valid: Option<bool>,
}

async fn list_tokens(
    State(app): State<AppState>,
    requester: Requester,
    Params(Which { valid }): Params<Which>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let mut tokens = app.users.registration_tokens.all();
    tokens.retain(|(_, info)| valid.is_none_or(|valid| info.is_valid() == valid));
    let tokens: Vec<Value> = tokens.iter().map(|(token, info)| render(token, info)).collect();
    Ok(Reply(json!({ "registration_tokens": tokens })))
}

/// A member that is there, if only as null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Body {
    token: Option<Value>,
    length: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    uses_allowed: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    expiry_time: Option<Value>,
}

impl Body {
    /// Takes what is given over into the terms of a token.
    fn apply(&self, terms: &mut TokenTerms) -> ApiResult<()> {
        let number = |value: &Value, refusal: &'static str| match value {
            Value::Null => Ok(None),
            value => value.as_u64().map(Some).ok_or_else(|| ApiError::invalid_param(refusal)),
        };
        if let Some(uses) = &self.uses_allowed {
            terms.uses_allowed = number(uses, "uses_allowed is not a number from zero up, nor null")?;
        }
        if let Some(expiry) = &self.expiry_time {
            let expiry = number(expiry, "expiry_time is not a time, nor null")?;
            if expiry.is_some_and(|expiry| expiry < now_ms()) {
                return Err(ApiError::invalid_param("expiry_time is in the past"));
            }
            terms.expiry_time = expiry;
        }
        Ok(())
    }

    /// The token that is asked for, or a new one of the length that is.
    fn token(&self) -> ApiResult<String> {
        if let Some(token) = &self.token {
            let fits = |token: &&str| {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
                (1..=MAX_LENGTH).contains(&token.len()) && token.bytes().all(known)
            };
            let token = token.as_str().filter(fits);
            let refusal = "token is not a text of 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -";
            return token.map(str::to_owned).ok_or_else(|| ApiError::invalid_param(refusal));
        }
        let length = match &self.length {
            None => Some(16),
            Some(length) => length.as_u64().and_then(|length| usize::try_from(length).ok()),
        };
        let length = length.filter(|length| (1..=MAX_LENGTH).contains(length));
        length.map(random_text).ok_or_else(|| ApiError::invalid_param("length is not a number from 1 to 64"))
    }
}

async fn create_token(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let mut terms = TokenTerms::default();
    body.apply(&mut terms)?;
    let token = body.token()?;
    if !app.users.registration_tokens.create(&token, terms).await? {
        return Err(ApiError::invalid_param("there is such a token already"));
    }
    shown(&app, &token)
}

async fn get_token(
    State(app): State<AppState>,
    requester: Requester,
    Segments(token): Segments<String>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    shown(&app, &token)
}

async fn update_token(
    State(app): State<AppState>,
    requester: Requester,
    Segments(token): Segments<String>,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    // Refused before anything is changed.
    body.apply(&mut TokenTerms::default())?;
    app.users
        .registration_tokens
        .set_terms(&token, |terms| {
            let _ = body.apply(terms);
        })
        .await?;
    shown(&app, &token)
}

async fn delete_token(
    State(app): State<AppState>,
    requester: Requester,
    Segments(token): Segments<String>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    if app.users.registration_tokens.delete(&token).await? {
        Ok(Reply(json!({})))
    } else {
        Err(ApiError::not_found("there is no such registration token"))
    }
}
