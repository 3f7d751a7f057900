//! How requests are taken apart: every malformed part has its own error code, and none is a fault of the server.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header, request::Parts};
use http_body_util::BodyExt;
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    AppState,
    error::{ApiError, ApiResult},
};

/// A JSON answer with status 200.
#[derive(Debug)]
pub(crate) struct Reply<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}

/// The answer `{}`.
#[derive(Debug)]
pub(crate) struct Empty;

impl IntoResponse for Empty {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
    }
}

/// The parameters in the path, percent-decoded; `T` is a type or tuple in the order of the route.
#[derive(Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(ApiError::invalid_param("a part of the path is not what is expected there")),
        }
    }
}

/// The parameters after the question mark.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> ApiResult<Self> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(params)) => Ok(Self(params)),
            Err(_) if lacks_query(parts) => Err(ApiError::missing_param("a query parameter is missing")),
            Err(_) => Err(ApiError::invalid_param("a query parameter is missing or malformed")),
        }
    }
}

fn lacks_query(parts: &Parts) -> bool {
    parts.uri.query().is_none_or(str::is_empty)
}

/// One parameter of a query, decoded.
pub(crate) fn query_value<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.filter(|(key, _)| key == name).map(|(_, value)| value).next()
}

/// A JSON body of the shape `T`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> ApiResult<Self> {
        let body = read_body(request.into_body(), state.config.max_request_size).await?;
        parse(&body).map(Self)
    }
}

/// A JSON body that clients may leave away, which then reads as `{}`.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> ApiResult<Self> {
        let body = read_body(request.into_body(), state.config.max_request_size).await?;
        let body = if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body };
        parse(&body).map(Self)
    }
}

/// A body in which nothing matters.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Nothing {}

/// Parses a body, which is an object everywhere in the specification. What is not JSON differs from what is JSON of another
/// shape.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    let bad_json = || ApiError::bad_json("the body is JSON, but not of the shape that this endpoint expects");
    let refuse = |error: &serde_json::Error| {
        // Nesting beyond the parser's limit is well-formed JSON, but reads as a syntax error.
        if error.is_data() || error.to_string().starts_with("recursion limit") {
            bad_json()
        } else {
            ApiError::not_json("the body is not JSON")
        }
    };
    if !body.trim_ascii_start().starts_with(b"{") {
        // A list would do for a structure otherwise.
        return Err(
            serde_json::from_slice::<IgnoredAny>(body).map_or_else(|error| refuse(&error), |_| bad_json())
        );
    }
    serde_json::from_slice(body).map_err(|error| refuse(&error))
}

/// Collects a body of at most `limit` bytes.
pub(crate) async fn read_body(mut body: Body, limit: usize) -> ApiResult<Bytes> {
    let mut collected = BytesMut::new();
    // Most bodies come in one piece, which needs no copy.
    let mut only = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::not_json("the body did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = only.as_ref().map_or(collected.len(), Bytes::len);
        if so_far + data.len() > limit {
            return Err(ApiError::too_large("the body is larger than this server accepts"));
        }
        if so_far == 0 {
            only = Some(data);
        } else {
            if let Some(first) = only.take() {
                collected.extend_from_slice(&first);
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(only.unwrap_or_else(|| collected.freeze()))
}

/// The token of a request: from `Authorization: Bearer`, else from the deprecated query parameter
/// ([using access tokens](https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens)).
pub(crate) fn access_token<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> ApiResult<Cow<'r, str>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        return match token {
            Some(token) if !token.is_empty() => Ok(Cow::Borrowed(token)),
            _ => Err(ApiError::missing_token("the Authorization header is not of the form Bearer TOKEN")),
        };
    }
    match query_value(query, "access_token") {
        Some(token) if !token.is_empty() => Ok(token),
        _ => Err(ApiError::missing_token("missing access token")),
    }
}
