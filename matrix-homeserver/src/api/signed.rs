//! Requests between servers, signed by the one that makes them ([request authentication]).
//!
//! [request authentication]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use ruma::{
    CanonicalJsonObject, OwnedServerName,
    canonical_json::try_from_json_map,
    signatures::{PublicKeyMap, verify_json},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState,
    extract::{parse, read_body},
};

/// A body that another server has signed.
#[derive(Debug)]
pub(super) struct SignedJson<T> {
    /// Who signed it.
    pub(super) origin: OwnedServerName,
    pub(super) body: T,
}

impl<T: DeserializeOwned> FromRequest<AppState> for SignedJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        let credentials = Credentials::read(&parts.headers)
            .ok_or_else(|| ApiError::missing_token("the request is not signed by a server"))?;
        let body = read_body(body, app.config.max_request_size).await?;
        let content: Value = parse(&body)?;
        let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
        credentials.verify(app, parts.method.as_str(), uri, &content).await?;
        let body = serde_json::from_value(content)
            .map_err(|_| ApiError::bad_json("the body is not of the shape that this endpoint expects"))?;
        Ok(Self { origin: credentials.origin, body })
    }
}

/// What stands in `Authorization: X-Matrix`.
#[derive(Debug)]
struct Credentials {
    origin: OwnedServerName,
    destination: Option<String>,
    key: String,
    signature: String,
}

impl Credentials {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("x-matrix") {
            return None;
        }
        let mut fields: BTreeMap<String, String> = rest
            .split(',')
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| {
                (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
            })
            .collect();
        Some(Self {
            origin: fields.remove("origin")?.try_into().ok()?,
            destination: fields.remove("destination"),
            key: fields.remove("key")?,
            signature: fields.remove("sig")?,
        })
    }

    async fn verify(&self, app: &AppState, method: &str, uri: &str, content: &Value) -> ApiResult<()> {
        let refuse = |text: &'static str| ApiError::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", text);
        let own_name = app.config.server_name.as_str();
        if self.destination.as_ref().is_some_and(|destination| destination != own_name) {
            return Err(refuse("the request is for another server"));
        }
        let mut object = signed_object(method, uri, self.origin.as_str(), own_name, content)
            .ok_or_else(|| ApiError::bad_json("the body is not canonical JSON"))?;
        if self.destination.is_none() {
            object.remove("destination");
        }
        let signatures = json!({self.origin.as_str(): {&self.key: self.signature}});
        let signatures = serde_json::from_value(signatures).expect("texts are canonical JSON");
        object.insert("signatures".to_owned(), signatures);
        let mut keys = app.notary.public_keys(&self.origin).await?;
        let own_keys = keys.remove(self.origin.as_str()).unwrap_or_default();
        let Some(key) = own_keys.get(&self.key) else {
            return Err(refuse("the key of the other server is not known"));
        };
        let only = BTreeMap::from([(self.key.clone(), key.clone())]);
        verify_json(&PublicKeyMap::from([(self.origin.to_string(), only)]), &object)
            .map_err(|_| refuse("the signature is not good"))
    }
}

/// What is signed of a request.
fn signed_object(
    method: &str,
    uri: &str,
    origin: &str,
    destination: &str,
    content: &Value,
) -> Option<CanonicalJsonObject> {
    let object = json!({
        "method": method, "uri": uri, "origin": origin, "destination": destination, "content": content,
    });
    match object {
        Value::Object(object) => try_from_json_map(object).ok(),
        _ => None,
    }
}

/// The header by which this server signs a request of its own.
pub(super) fn authorization(
    app: &AppState,
    method: &str,
    uri: &str,
    destination: &str,
    content: &Value,
) -> ApiResult<String> {
    let key = app.rooms.key();
    let origin = app.config.server_name.as_str();
    let mut object = signed_object(method, uri, origin, destination, content)
        .ok_or_else(|| ApiError::bad_json("the body is not canonical JSON"))?;
    key.sign(&mut object).map_err(|error| ApiError::internal(&error))?;
    let signature = object
        .get("signatures")
        .and_then(|signatures| signatures.as_object()?.get(origin)?.as_object()?.get(&key.key_id())?.as_str())
        .unwrap_or_default();
    let key_id = key.key_id();
    Ok(format!(
        "X-Matrix origin=\"{origin}\",destination=\"{destination}\",key=\"{key_id}\",sig=\"{signature}\""
    ))
}
