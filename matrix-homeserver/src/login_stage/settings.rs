//! How people log in and register, as an operator writes it down.

use serde::Deserialize;

use super::LoginFlow;
use crate::{
    HomeserverBuilder,
    mail::{SmtpConfigError, SmtpMailer},
    oauth2::{AuthorizationCode, AuthorizationCodeConfig, OAuth2ConfigError},
};

/// How people log in and register: the file that the program takes by `--login`.
///
/// ```
/// use matrix_homeserver::LoginSettings;
///
/// let settings: LoginSettings = serde_json::from_str(r#"{
///     "login_flows": ["m.login.password+m.login.email.code", "m.login.oauth2"],
///     "registration_flows": ["m.login.email.url+m.login.password", "m.login.oauth2"],
///     "public_url": "https://matrix.example.org",
///     "mail": {
///         "smtp_url": "smtps://user:password@mail.example.org",
///         "from": "Matrix at example.org <noreply@example.org>"
///     },
///     "oauth2": [{
///         "id": "example", "name": "Example Account",
///         "authorization_endpoint": "https://accounts.example.org/authorize",
///         "token_endpoint": "https://accounts.example.org/token",
///         "userinfo_endpoint": "https://accounts.example.org/userinfo",
///         "client_id": "matrix", "client_secret": "secret"
///     }]
/// }"#)?;
/// let builder = settings.apply(matrix_homeserver::Homeserver::builder("example.org"))?;
/// # drop(builder);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Providers send people back to `/_matrix/client/api/v1/login/oauth2/redirect/{id}` below the public URL.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LoginSettings {
    /// The ways to log in: each is one stage, or several with `+` between them. Default: `m.login.password`.
    pub login_flows: Option<Vec<LoginFlow>>,
    /// The ways to register, where registration is open. Default: `m.login.password`.
    pub registration_flows: Option<Vec<LoginFlow>>,
    /// Where people reach the server. Default: where it listens.
    pub public_url: Option<String>,
    /// Who carries mail, for `m.login.email.code` and `m.login.email.url`. Default: nobody.
    pub mail: Option<SmtpSettings>,
    /// Providers for `m.login.oauth2`. Default: none.
    pub oauth2: Vec<AuthorizationCodeConfig>,
}

/// A relay for mail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SmtpSettings {
    /// As [`SmtpMailer::new`] takes it. May hold a password.
    pub smtp_url: String,
    /// The address that people see.
    pub from: String,
}

impl std::fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpSettings").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginSettingsError {
    /// The relay cannot be used.
    #[error("mail cannot be sent")]
    Mail(#[from] SmtpConfigError),
    /// A provider cannot be used.
    #[error("an OAuth 2.0 provider cannot be used")]
    OAuth2(#[from] OAuth2ConfigError),
}

impl LoginSettings {
    /// Puts the settings into a server that is about to start. What they do not say stays as it is.
    ///
    /// # Errors
    /// [`LoginSettingsError`] if the relay or a provider cannot be used as described.
    pub fn apply(self, mut builder: HomeserverBuilder) -> Result<HomeserverBuilder, LoginSettingsError> {
        if let Some(flows) = self.login_flows {
            builder = builder.login_flows(flows);
        }
        if let Some(flows) = self.registration_flows {
            builder = builder.registration_flows(flows);
        }
        if let Some(url) = self.public_url {
            builder = builder.public_url(url);
        }
        if let Some(SmtpSettings { smtp_url, from }) = self.mail {
            builder = builder.mailer(SmtpMailer::new(&smtp_url, &from)?);
        }
        for provider in self.oauth2 {
            builder = builder.oauth2_provider(AuthorizationCode::new(provider)?);
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_example_of_the_guide_starts_a_server() {
        let guide = include_str!("../../../docs/testing-with-the-homeserver.md");
        let blocks = guide.split("```json\n").skip(1).filter_map(|rest| rest.split_once("```"));
        let example = blocks.map(|(block, _)| block).find(|block| block.contains("login_flows"));
        let settings: LoginSettings = serde_json::from_str(example.expect("an example")).unwrap();
        assert!(!format!("{settings:?}").contains("password@"));
        let builder = settings.apply(crate::Homeserver::builder("example.org")).unwrap();
        builder.start().await.unwrap();
    }
}
