//! Logging in, and registering, in one or more stages (specification of 2014, "Registration and login").

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer};

use crate::{mail::Mailer, oauth2::OAuth2Provider};

mod sessions;
mod settings;

pub(crate) use self::sessions::{LoginSession, LoginSessions, Pending, Purpose, Visit};
pub use self::settings::{LoginSettings, LoginSettingsError, SmtpSettings};

/// One thing that somebody does to show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginStage {
    /// Knows the password: `m.login.password`.
    Password,
    /// Is vouched for by a provider: `m.login.oauth2`.
    OAuth2,
    /// Reads the code in a mail: `m.login.email.code`.
    EmailCode,
    /// Follows the link in a mail: `m.login.email.url`.
    EmailUrl,
}

impl LoginStage {
    /// Every stage that there is.
    pub const ALL: [Self; 4] = [Self::Password, Self::OAuth2, Self::EmailCode, Self::EmailUrl];

    /// The type on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "m.login.password",
            Self::OAuth2 => "m.login.oauth2",
            Self::EmailCode => "m.login.email.code",
            Self::EmailUrl => "m.login.email.url",
        }
    }

    fn needs_mail(self) -> bool {
        matches!(self, Self::EmailCode | Self::EmailUrl)
    }
}

impl fmt::Display for LoginStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text or a list is not a way to log in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginFlowError {
    /// There is no such stage.
    #[error(
        "{0:?} is not a stage of a login; use m.login.password, m.login.oauth2, m.login.email.code or m.login.email.url"
    )]
    Stage(String),
    /// There is nothing to be done, or the same thing twice.
    #[error("a login has at least one stage, and none of them twice")]
    Count,
}

impl FromStr for LoginStage {
    type Err = LoginFlowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.ok_or_else(|| LoginFlowError::Stage(text.to_owned()))
    }
}

/// One way to log in: every stage of it has to be passed, in this order.
///
/// ```
/// use matrix_homeserver::{LoginFlow, LoginStage};
///
/// let two_factors = LoginFlow::new([LoginStage::Password, LoginStage::EmailCode])?;
/// assert_eq!("m.login.password+m.login.email.code".parse(), Ok(two_factors));
/// # Ok::<_, matrix_homeserver::LoginFlowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFlow(Vec<LoginStage>);

impl LoginFlow {
    /// A flow of these stages.
    ///
    /// # Errors
    /// If there is no stage, or one of them twice.
    pub fn new(stages: impl IntoIterator<Item = LoginStage>) -> Result<Self, LoginFlowError> {
        let stages: Vec<_> = stages.into_iter().collect();
        let twice = stages.iter().enumerate().any(|(at, stage)| stages[..at].contains(stage));
        if stages.is_empty() || twice {
            return Err(LoginFlowError::Count);
        }
        Ok(Self(stages))
    }

    /// The flow of a password alone.
    pub fn password() -> Self {
        Self(vec![LoginStage::Password])
    }

    /// The stages in their order.
    pub fn stages(&self) -> &[LoginStage] {
        &self.0
    }
}

/// Stages with `+` between them.
impl FromStr for LoginFlow {
    type Err = LoginFlowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stages: Result<Vec<LoginStage>, _> = text.split('+').map(str::parse).collect();
        Self::new(stages?)
    }
}

impl<'de> Deserialize<'de> for LoginFlow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which ways there are to log in and to register, and who helps.
#[derive(Debug, Clone)]
pub(crate) struct LoginConfig {
    pub(crate) login_flows: Vec<LoginFlow>,
    pub(crate) registration_flows: Vec<LoginFlow>,
    pub(crate) mailer: Option<Arc<dyn Mailer>>,
    pub(crate) providers: Vec<Arc<dyn OAuth2Provider>>,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self {
            login_flows: vec![LoginFlow::password()],
            registration_flows: vec![LoginFlow::password()],
            mailer: None,
            providers: Vec::new(),
        }
    }
}

impl LoginConfig {
    /// A stage that is offered without what it needs.
    pub(crate) fn impossible(&self) -> Option<LoginStage> {
        let stages = self.login_flows.iter().chain(&self.registration_flows).flat_map(LoginFlow::stages);
        stages.copied().find(|stage| match stage {
            LoginStage::OAuth2 => self.providers.is_empty(),
            stage => stage.needs_mail() && self.mailer.is_none(),
        })
    }

    /// Whether a password alone is enough, as today's specification takes for granted.
    pub(crate) fn password_suffices(&self) -> bool {
        self.login_flows.contains(&LoginFlow::password())
    }

    /// Whether a password alone is enough to register.
    pub(crate) fn password_registers(&self) -> bool {
        self.registration_flows.contains(&LoginFlow::password())
    }

    pub(crate) fn provider(&self, id: &str) -> Option<&Arc<dyn OAuth2Provider>> {
        self.providers.iter().find(|provider| provider.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_every_stage_once() {
        assert_eq!("".parse::<LoginFlow>(), Err(LoginFlowError::Stage(String::new())));
        assert_eq!(LoginFlow::new([]), Err(LoginFlowError::Count));
        assert_eq!("m.login.password+m.login.password".parse::<LoginFlow>(), Err(LoginFlowError::Count));
        for stage in LoginStage::ALL {
            assert_eq!(stage.as_str().parse::<LoginFlow>().unwrap().stages(), [stage]);
        }
    }

    #[test]
    fn stages_are_possible_with_what_they_need() {
        let mut config = LoginConfig::default();
        assert_eq!(config.impossible(), None);
        config.login_flows = vec!["m.login.password+m.login.email.url".parse().unwrap()];
        assert_eq!(config.impossible(), Some(LoginStage::EmailUrl));
        assert!(!config.password_suffices());
        config.mailer = Some(Arc::new(crate::mail::MemoryMailer::default()));
        assert_eq!(config.impossible(), None);
    }
}
