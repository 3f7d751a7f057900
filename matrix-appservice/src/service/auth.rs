//! Whether a request comes from the homeserver.
//!
//! The token stands in the header ([today]) or in `access_token` (the drafts, and servers that send
//! both). Where both are given both must be right.
//!
//! [today]: https://spec.matrix.org/v1.19/application-service-api/#authorization

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};

use super::{Shared, answer::ServiceError};
use crate::registration::Secret;

pub(super) async fn require_token(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    match check(&shared.hs_token, request.headers(), request.uri().query()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(hs_token: &Secret, headers: &HeaderMap, query: Option<&str>) -> Result<(), ServiceError> {
    let mut given = 0;
    let mut right = true;
    for value in headers.get_all(header::AUTHORIZATION) {
        given += 1;
        let token = value.to_str().ok().and_then(bearer);
        right &= token.is_some_and(|token| hs_token.matches(token));
    }
    for (key, token) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == "access_token" {
            given += 1;
            right &= hs_token.matches(&token);
        }
    }
    match (given, right) {
        (0, _) => Err(ServiceError::MissingToken),
        (_, true) => Ok(()),
        (_, false) => Err(ServiceError::Forbidden),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_from_header_and_query_and_both_must_agree() {
        let table = [
            (None, None, Err(ServiceError::MissingToken)),
            (None, Some("ts=1"), Err(ServiceError::MissingToken)),
            (Some("Bearer right"), None, Ok(())),
            (Some("bearer  right"), Some(""), Ok(())),
            (None, Some("x=1&access_token=right"), Ok(())),
            (Some("Bearer right"), Some("access_token=right"), Ok(())),
            (Some("Bearer right"), Some("access_token=wrong"), Err(ServiceError::Forbidden)),
            (Some("Bearer wrong"), Some("access_token=right"), Err(ServiceError::Forbidden)),
            (Some("Basic right"), None, Err(ServiceError::Forbidden)),
            (Some("right"), None, Err(ServiceError::Forbidden)),
            (Some("Bearer "), None, Err(ServiceError::Forbidden)),
            (Some("Bearer righ"), None, Err(ServiceError::Forbidden)),
            (None, Some("access_token=right&access_token=wrong"), Err(ServiceError::Forbidden)),
            (None, Some("access_token=%72ight"), Ok(())),
        ];
        for (header, query, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(check(&Secret::new("right"), &headers, query), expected, "{header:?} {query:?}");
        }
    }
}
