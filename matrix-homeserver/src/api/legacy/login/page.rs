//! The fallback page (specification of 2014, "Fallback"): a login for clients that do not know how.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};

/// The whole page: no other resource is needed.
const PAGE: &str = include_str!("fallback.html");

/// Nothing runs but the script of the page, and it talks to nobody but this server.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let inside =
            PAGE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        STANDARD.encode(Sha256::digest(inside.map_or("", |(inside, _)| inside)))
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; form-action 'none'",
        hash("script"),
        hash("style"),
    );
    HeaderValue::try_from(policy).expect("base64 may stand in a header")
});

pub(super) async fn fallback() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_refers_to_nothing() {
        for tag in ["<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
        for reference in [" src=", "<link", "@import", "url(", "http://", "https://"] {
            assert!(!PAGE.contains(reference), "{reference}");
        }
        let empty = STANDARD.encode(Sha256::digest(""));
        assert!(!POLICY.to_str().unwrap().contains(&empty));
    }
}
