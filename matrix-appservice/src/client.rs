//! The outbound half: requests to the homeserver.
//!
//! Every request takes one path, [`Client::send`]: it adds the token and the asserted identity, repeats what is safe
//! to repeat, waits when told to, and gives up at a deadline. Any request type of ruma's client API
//! can be sent, so nothing of the [Client-Server API] is out of reach. The verbs that a bridge needs every day are
//! on [`Intent`](crate::Intent).
//!
//! [Client-Server API]: https://spec.matrix.org/v1.19/client-server-api/

mod error;
mod identity;
mod retry;
mod tls;
mod versions;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use ruma::api::{
    IncomingResponseExt as _, Metadata, OutgoingRequest, OutgoingRequestExt as _, SupportedVersions,
    auth_scheme::{AuthScheme, SendAccessToken},
};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

pub use error::{ApiError, ClientError};
pub use identity::Identity;
pub use retry::RetryPolicy;
pub use versions::SupportedPath;

use crate::{metrics::Metrics, registration::Secret};

/// How long one attempt may take, so that a connection that went dead is noticed.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);

/// Sends requests to one homeserver with one `as_token`. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    homeserver: String,
    as_token: Secret,
    retry: RetryPolicy,
    versions: OnceCell<SupportedVersions>,
    metrics: Metrics,
}

impl Client {
    /// A client for the homeserver at `homeserver` (`http://localhost:8008`; may have a path).
    ///
    /// # Errors
    /// If the URL is none, or TLS cannot be set up because the system has no root certificates.
    pub fn new(homeserver: &str, as_token: Secret) -> Result<Self, ClientError> {
        Self::with(homeserver, as_token, RetryPolicy::default(), Metrics::default())
    }

    /// A client with another policy for retries, counting in `metrics`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with(
        homeserver: &str,
        as_token: Secret,
        retry: RetryPolicy,
        metrics: Metrics,
    ) -> Result<Self, ClientError> {
        let url = url::Url::parse(homeserver).map_err(|_| ClientError::invalid("the URL is invalid"))?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(ClientError::invalid("the URL is neither http:// nor https://")),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(secure)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(60))
            .no_proxy()
            .user_agent(concat!("matrix-appservice/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError::from_transport)?;
        let homeserver = homeserver.trim_end_matches('/').to_owned();
        let versions = OnceCell::new();
        Ok(Self { inner: Arc::new(Inner { http, homeserver, as_token, retry, versions, metrics }) })
    }

    /// Sends a request as the given identity and waits for its answer.
    ///
    /// What is safe to repeat is repeated after a pause that grows, or as long as the homeserver asks for,
    /// until the policy's deadline: connections that failed and `M_LIMIT_EXCEEDED` always, server errors and
    /// lost answers only for methods that are idempotent (a send carries its transaction ID, so it is).
    ///
    /// Cancel safety: dropping the future leaves open whether the homeserver got the request.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer; see [`ClientError`].
    pub async fn send<R>(&self, request: R, identity: &Identity) -> Result<R::IncomingResponse, ClientError>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        R::PathBuilder: SupportedPath,
    {
        let unknown;
        let versions = if R::PathBuilder::NEEDS_VERSIONS {
            self.versions().await?
        } else {
            unknown = versions::assumed();
            &unknown
        };
        let request = request
            .try_into_http_request::<Vec<u8>>(
                &self.inner.homeserver,
                SendAccessToken::Always(self.inner.as_token.expose()),
                R::PathBuilder::input(versions),
            )
            .map_err(|_| ClientError::invalid("the homeserver has no version of this endpoint"))?;
        let (parts, body) = request.into_parts();
        let url = identity.assert_in(&parts.uri.to_string());
        let answer = self.exchange(parts.method, &url, &parts.headers, body.into()).await?;
        let mut response = http::Response::new(&*answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        R::IncomingResponse::try_from_http_response(response)
            .map_err(|_| ClientError::Answer { status: answer.status.as_u16() })
    }

    /// What the homeserver supports, asked once.
    ///
    /// # Errors
    /// If the homeserver cannot be reached. One that does not know the question is taken for an old one.
    pub async fn versions(&self) -> Result<&SupportedVersions, ClientError> {
        self.inner.versions.get_or_try_init(|| versions::discover(self)).await
    }

    /// Where the homeserver is.
    pub fn homeserver(&self) -> &str {
        &self.inner.homeserver
    }

    /// Sends a request that is complete, as often as the policy allows.
    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + self.inner.retry.deadline;
        let mut attempt = 0;
        let mut before = None;
        loop {
            attempt += 1;
            let error = match self.attempt(&method, url, headers, body.clone(), deadline).await {
                Ok(answer) => return Ok(answer),
                // The deadline fell into this attempt: what the one before met says more.
                Err(ClientError::Timeout) if Instant::now() >= deadline => {
                    return Err(before.unwrap_or(ClientError::Timeout));
                }
                Err(error) => error,
            };
            if !error.may_repeat(&method) {
                return Err(error);
            }
            let pause = self.inner.retry.pause(attempt, error.retry_after());
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            self.inner.metrics.client_retries.inc();
            tracing::debug!(attempt, %error, "asking the homeserver again in {pause:?}");
            before = Some(error);
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, ClientError> {
        let started = Instant::now();
        let result = timeout_at(deadline.min(started + ATTEMPT_LIMIT), async {
            let request = self.inner.http.request(method.clone(), url).headers(headers.clone());
            let request = if body.is_empty() { request } else { request.body(body) };
            let response = request.send().await.map_err(ClientError::from_transport)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.map_err(ClientError::from_transport)?;
            if status.is_success() {
                Ok(Answer { status, headers, body })
            } else {
                Err(ClientError::from_answer(status, &headers, &body))
            }
        });
        let result = result.await.unwrap_or(Err(ClientError::Timeout));
        self.inner.metrics.request(result.as_ref().err(), started.elapsed());
        result
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("homeserver", &self.inner.homeserver).finish_non_exhaustive()
    }
}

/// Any request of ruma's client API.
///
/// There is nothing to implement: all requests that authenticate by a token, or not at all, are such.
pub trait ClientRequest: OutgoingRequest
    + Metadata<Authentication: for<'a> AuthScheme<Input<'a> = SendAccessToken<'a>>, PathBuilder: SupportedPath>
    + Send
{
}

impl<R> ClientRequest for R where
    R: OutgoingRequest
        + Metadata<
            Authentication: for<'a> AuthScheme<Input<'a> = SendAccessToken<'a>>,
            PathBuilder: SupportedPath,
        > + Send
{
}

/// A successful answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}
