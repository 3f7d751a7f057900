//! Whether an application service can be reached
//! ([pinging](https://spec.matrix.org/v1.19/application-service-api/#pinging)).

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::{Appservice, LinkError, link::Call};

/// How long a ping may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal is passed on, in bytes.
const QUOTED: usize = 4096;

/// Why a ping did not succeed.
#[derive(Debug)]
pub(crate) enum PingError {
    UrlNotSet,
    Timeout,
    Failed,
    Status { status: u16, body: String },
}

impl Appservice {
    /// How long a ping took.
    pub(crate) async fn ping(&self, transaction_id: Option<&str>) -> Result<Duration, PingError> {
        let link = self.link().ok_or(PingError::UrlNotSet)?;
        let body = match transaction_id {
            Some(transaction_id) => json!({"transaction_id": transaction_id}),
            None => json!({}),
        };
        let call = Call {
            method: Method::POST,
            path: "/_matrix/app/v1/ping",
            legacy: None,
            query: None,
            body: Some(body.to_string().into()),
            timeout: TIMEOUT,
        };
        let start = Instant::now();
        match link.call(&call).await {
            Ok(answer) if answer.status.is_success() => Ok(start.elapsed()),
            Ok(answer) => {
                let end = answer.body.len().min(QUOTED);
                let body = String::from_utf8_lossy(&answer.body[..end]).into_owned();
                Err(PingError::Status { status: answer.status.as_u16(), body })
            }
            Err(LinkError::Timeout(_)) => Err(PingError::Timeout),
            Err(LinkError::Failed(_) | LinkError::TooLarge | LinkError::Fault) => Err(PingError::Failed),
        }
    }
}
