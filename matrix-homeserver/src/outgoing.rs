//! Requests that the server makes of others, whom users or the operator named.

use std::{sync::LazyLock, time::Duration};

/// A client that is made when it is first needed: making one reads the system's certificates, which takes longer than
/// all the rest of a start.
pub(crate) type LazyClient = LazyLock<reqwest::Client>;

/// A client for them. Nothing is followed or proxied: whoever named the other side said where it is.
pub(crate) fn client(timeout: Duration) -> reqwest::Client {
    crate::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .build()
        .expect("a client without special settings can always be built")
}

/// The body of an answer; `None` if it is larger than `limit` bytes. Errors do not name the address, which may hold a
/// secret.
pub(crate) async fn body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
