//! Getting hold of a session: registration and login.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use ruma::OwnedUserId;
use serde_json::{Value, json};
use sha1::Sha1;

use super::{TestError, TestUser, answer, http_client};

/// The password of every user that [`TestUser::register`] makes, so that a test can log in once more.
pub const PASSWORD: &str = "correct horse battery staple";

impl TestUser {
    /// Registers an account on a server with open registration, by the dummy stage of
    /// [user-interactive authentication](https://spec.matrix.org/v1.19/client-server-api/#dummy-auth).
    /// The account's password is [`PASSWORD`].
    pub async fn register(base_url: &str, localpart: &str) -> Result<Self, TestError> {
        let mut body = json!({
            "username": localpart, "password": PASSWORD, "initial_device_display_name": "test",
            "auth": {"type": "m.login.dummy"},
        });
        let path = "/_matrix/client/v3/register";
        let first = anonymous(base_url, Method::POST, path, Some(&body)).await;
        let done = match first {
            Err(TestError::Refused(refusal))
                if refusal.status == 401 && refusal.body["session"].is_string() =>
            {
                body["auth"]["session"] = refusal.body["session"].clone();
                anonymous(base_url, Method::POST, path, Some(&body)).await?
            }
            other => other?,
        };
        Self::from_login(base_url, &done, path)
    }

    /// Registers an account with the shared secret of the server, as Synapse and our own server offer it
    /// ([Synapse's documentation](https://element-hq.github.io/synapse/latest/admin_api/register_api.html)).
    pub async fn register_with_secret(
        base_url: &str,
        localpart: &str,
        password: &str,
        secret: &str,
    ) -> Result<Self, TestError> {
        let path = "/_synapse/admin/v1/register";
        let challenge = anonymous(base_url, Method::GET, path, None).await?;
        let nonce =
            challenge["nonce"].as_str().ok_or(TestError::Shape { path: path.to_owned(), field: "nonce" })?;
        let mut mac =
            Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("a key of any length suits this code");
        mac.update([nonce, localpart, password, "notadmin"].join("\0").as_bytes());
        let mac = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let body =
            json!({"nonce": nonce, "username": localpart, "password": password, "admin": false, "mac": mac});
        let done = anonymous(base_url, Method::POST, path, Some(&body)).await?;
        Self::from_login(base_url, &done, path)
    }

    /// Logs in with a password, which makes a new device.
    pub async fn login(base_url: &str, localpart: &str, password: &str) -> Result<Self, TestError> {
        let path = "/_matrix/client/v3/login";
        let body = json!({
            "type": "m.login.password", "password": password,
            "identifier": {"type": "m.id.user", "user": localpart},
        });
        let done = anonymous(base_url, Method::POST, path, Some(&body)).await?;
        Self::from_login(base_url, &done, path)
    }

    fn from_login(base_url: &str, done: &Value, path: &str) -> Result<Self, TestError> {
        let text = |field: &'static str| {
            done[field].as_str().ok_or(TestError::Shape { path: path.to_owned(), field })
        };
        let user_id = OwnedUserId::try_from(text("user_id")?)
            .map_err(|_| TestError::Shape { path: path.to_owned(), field: "user_id" })?;
        let device_id = done["device_id"].as_str().map(ToOwned::to_owned);
        Ok(Self::with_session(base_url, user_id, text("access_token")?.to_owned(), device_id, false))
    }
}

async fn anonymous(
    base_url: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, TestError> {
    let request =
        http_client(base_url).request(method.clone(), format!("{}{path}", base_url.trim_end_matches('/')));
    answer(request, method, path, body).await
}
