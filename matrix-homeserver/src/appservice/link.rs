//! The way to an application service: HTTP, with its token, by today's paths or by the drafts'
//! ([legacy routes](https://spec.matrix.org/v1.19/application-service-api/#legacy-routes)).

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use matrix_appservice::{Registration, Secret};
use parking_lot::Mutex;

use crate::fault::{self, Fault, FaultDial};

/// The largest answer that is read.
const MAX_ANSWER: usize = 1 << 20;
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the application service did not answer in time")]
    Timeout(#[source] reqwest::Error),
    #[error("the application service could not be reached")]
    Failed(#[source] reqwest::Error),
    #[error("the answer of the application service is too large")]
    TooLarge,
    #[error("the fault dial says so")]
    Fault,
}

impl From<reqwest::Error> for LinkError {
    fn from(error: reqwest::Error) -> Self {
        // The URL holds the token.
        let error = error.without_url();
        if error.is_timeout() { Self::Timeout(error) } else { Self::Failed(error) }
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The `errcode` of a refusal.
    fn errcode(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get("errcode")?.as_str().map(ToOwned::to_owned)
    }

    /// Whether this answers the question: yes, or that there is no such thing.
    fn is_answer(&self) -> bool {
        self.status.is_success() || (self.status == StatusCode::NOT_FOUND && !self.is_unrecognized())
    }

    /// Whether this is what a server says that does not know the path.
    fn is_unrecognized(&self) -> bool {
        match self.status {
            StatusCode::NOT_FOUND => self.errcode().is_none_or(|errcode| errcode == "M_UNRECOGNIZED"),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
            _ => false,
        }
    }
}

/// A request, with the path that the drafts gave it if they had it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Today's path, percent-encoded.
    pub(crate) path: &'a str,
    /// The path to fall back to, percent-encoded.
    pub(crate) legacy: Option<&'a str>,
    /// Percent-encoded, without the token.
    pub(crate) query: Option<&'a str>,
    pub(crate) body: Option<Bytes>,
    pub(crate) timeout: Duration,
}

/// Which paths an application service is known to serve.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    /// It has answered neither yet.
    Unknown,
    Today,
    /// The drafts'. It may be updated, so today's are tried again after a while.
    Legacy {
        since: Instant,
    },
}

#[derive(Debug)]
pub(crate) struct Link {
    http: reqwest::Client,
    appservice: String,
    base_url: String,
    hs_token: Secret,
    dialect: Mutex<Dialect>,
    /// How long the drafts' paths are used before today's are tried again.
    legacy_for: Duration,
    faults: FaultDial,
}

impl Link {
    pub(super) fn new(
        http: reqwest::Client,
        url: &str,
        registration: &Registration,
        legacy_for: Duration,
        faults: FaultDial,
    ) -> Self {
        Self {
            http,
            appservice: registration.id.clone(),
            base_url: url.trim_end_matches('/').to_owned(),
            hs_token: registration.hs_token.clone(),
            dialect: Mutex::new(Dialect::Unknown),
            legacy_for,
            faults,
        }
    }

    /// Makes the request by today's path, and by the drafts' path if the application service does not know today's.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, LinkError> {
        let struck = self.faults.on_appservice(&self.appservice);
        struck.wait().await;
        match struck.fault {
            None | Some(Fault::Delay { .. }) => self.call_unharmed(call).await,
            Some(Fault::Status { status, .. }) => {
                Ok(Answer { status: fault::status(status), body: Bytes::from_static(b"{}") })
            }
            Some(Fault::CutConnection) => Err(LinkError::Fault),
            Some(Fault::LoseAcknowledgement) => {
                self.call_unharmed(call).await?;
                Err(LinkError::Fault)
            }
            Some(Fault::RepeatTransaction) => {
                let answer = self.call_unharmed(call).await?;
                if call.method == Method::PUT && answer.status.is_success() {
                    return self.call_unharmed(call).await;
                }
                Ok(answer)
            }
        }
    }

    /// Today's path first, and the drafts' if that does not succeed; the other way round while the application service
    /// is known to serve the drafts'. One that is known to serve today's is asked by the drafts' path only if it does
    /// not know today's any more.
    async fn call_unharmed(&self, call: &Call<'_>) -> Result<Answer, LinkError> {
        let Some(legacy) = call.legacy else { return self.request(call, call.path).await };
        let dialect = *self.dialect.lock();
        if let Dialect::Legacy { since } = dialect
            && since.elapsed() < self.legacy_for
        {
            let answer = self.request(call, legacy).await?;
            if !answer.is_unrecognized() {
                return Ok(answer);
            }
            return self.try_second(call, call.path, answer, Dialect::Today).await;
        }
        let answer = self.request(call, call.path).await?;
        if answer.is_answer() {
            *self.dialect.lock() = Dialect::Today;
            return Ok(answer);
        }
        if matches!(dialect, Dialect::Today) && !answer.is_unrecognized() {
            return Ok(answer);
        }
        self.try_second(call, legacy, answer, Dialect::Legacy { since: Instant::now() }).await
    }

    /// Makes the request by another path. Where that is no answer either, the first refusal stands.
    async fn try_second(
        &self,
        call: &Call<'_>,
        path: &str,
        refusal: Answer,
        dialect: Dialect,
    ) -> Result<Answer, LinkError> {
        match self.request(call, path).await {
            Ok(answer) if answer.is_answer() => {
                *self.dialect.lock() = dialect;
                Ok(answer)
            }
            _ => Ok(refusal),
        }
    }

    async fn request(&self, call: &Call<'_>, path: &str) -> Result<Answer, LinkError> {
        let token = crate::testing::encode(self.hs_token.expose());
        let query = call.query.map(|query| format!("&{query}")).unwrap_or_default();
        let url = format!("{}{path}?access_token={token}{query}", self.base_url);
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .bearer_auth(self.hs_token.expose())
            .timeout(call.timeout);
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut response = request.send().await?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(LinkError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: body.into() })
    }
}

/// The client for all application services. Nothing is followed or proxied: the registration says where they are.
pub(super) fn http_client() -> reqwest::Client {
    crate::install_crypto();
    reqwest::Client::builder()
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .expect("a client without special settings can always be built")
}
