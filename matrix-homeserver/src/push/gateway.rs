//! The way to a push gateway.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::outgoing::{self, LazyClient};

/// How long a gateway may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Why a gateway did not take a notification.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    #[error("the push gateway could not be reached")]
    Failed(#[from] reqwest::Error),
    #[error("the push gateway answered {0}")]
    Status(http::StatusCode),
    #[error("the answer of the push gateway is too large")]
    TooLarge,
}

#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    rejected: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Gateway {
    http: LazyClient,
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self { http: LazyClient::new(|| outgoing::client(TIMEOUT)) }
    }

    /// Tells a gateway; gives the pushkeys that it does not know any more.
    pub(super) async fn notify(&self, url: &str, body: &Value) -> Result<Vec<String>, GatewayError> {
        let response = self.http.post(url).json(body).send().await.map_err(reqwest::Error::without_url)?;
        if !response.status().is_success() {
            return Err(GatewayError::Status(response.status()));
        }
        let answer = outgoing::body(response, MAX_ANSWER).await?.ok_or(GatewayError::TooLarge)?;
        // An answer that is not what it should be rejects nothing.
        Ok(serde_json::from_slice::<Answer>(&answer).unwrap_or_default().rejected)
    }
}
