//! What each stage of a login asks of people.

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use lettre::Address;
use rand::RngExt;
use ruma::OwnedUserId;
use serde_json::{Value, json};

use super::{PREFIX, Step, html, oauth2, too_late};
use crate::{
    api::{
        ApiError, ApiResult, AppState, Segments,
        layer::Peer,
        login::{LoginBody, by_password, named_user},
        register::{check_password, new_person},
    },
    homeserver::Limit,
    login_stage::{LoginSession, LoginStage, Pending, Purpose, Visit},
    mail::Mail,
    user::{Naming, TokenHash, random_text},
};

/// One request of a stage, with the session as it was when the request came.
pub(super) struct Attempt<'a> {
    pub(super) app: &'a AppState,
    pub(super) peer: &'a Peer,
    pub(super) id: Option<&'a str>,
    pub(super) session: &'a LoginSession,
    pub(super) step: Step,
    pub(super) credentials: LoginBody,
}

/// What came of a request.
pub(super) enum Outcome {
    Passed(Proof),
    /// The stage takes another request.
    Begun {
        pending: Pending,
        user_id: Option<OwnedUserId>,
        reply: Value,
    },
}

/// What somebody has shown by passing a stage.
pub(super) enum Proof {
    Password { user_id: OwnedUserId, chosen: Option<String> },
    Email(String),
    Identity { user_id: Option<OwnedUserId>, identity: (String, String) },
}

impl Proof {
    pub(super) fn note_in(self, session: &mut LoginSession) {
        match self {
            Self::Password { user_id, chosen } => {
                session.user_id = Some(user_id);
                session.password = chosen.or(session.password.take());
            }
            Self::Email(email) => session.emails.push(email),
            Self::Identity { user_id, identity } => {
                session.user_id = user_id.or(session.user_id.take());
                session.identities.push(identity);
            }
        }
    }
}

impl Attempt<'_> {
    pub(super) async fn pass(mut self, stage: LoginStage) -> ApiResult<Outcome> {
        match stage {
            LoginStage::Password => self.password().await,
            LoginStage::OAuth2 => self.oauth2(),
            LoginStage::EmailCode => self.email_code().await,
            LoginStage::EmailUrl => self.email_url().await,
        }
    }

    /// Who logs in, or the ID that somebody wants to have. It stays the same through all stages.
    fn user(&self) -> ApiResult<OwnedUserId> {
        let named = match (self.session.purpose, &self.step.user, &self.session.user_id) {
            (_, None, Some(user_id)) => return Ok(user_id.clone()),
            (Purpose::LogIn, ..) => named_user(self.app, &self.credentials)?,
            (Purpose::Register, Some(name), _) => new_person(self.app, name)?,
            (Purpose::Register, None, None) => {
                self.app.users.new_user_id(&random_text(12).to_ascii_lowercase(), Naming::Person)?
            }
        };
        match &self.session.user_id {
            Some(user_id) if *user_id != named => {
                Err(ApiError::forbidden("another user has passed the stages before"))
            }
            _ => Ok(named),
        }
    }

    async fn password(&mut self) -> ApiResult<Outcome> {
        let user_id = self.user()?;
        match self.session.purpose {
            Purpose::LogIn => {
                if self.credentials.user.is_none() {
                    self.credentials.user = Some(user_id.to_string());
                }
                let user_id = by_password(self.app, self.peer, &mut self.credentials).await?;
                Ok(Outcome::Passed(Proof::Password { user_id, chosen: None }))
            }
            Purpose::Register => {
                let Some(password) = self.step.password.take() else {
                    return Err(ApiError::missing_param("password is missing"));
                };
                check_password(&password)?;
                Ok(Outcome::Passed(Proof::Password { user_id, chosen: Some(password) }))
            }
        }
    }

    /// The address that is to be shown to be somebody's, in lower case.
    fn address(&self) -> ApiResult<String> {
        let Some(email) = &self.step.email else { return Err(ApiError::missing_param("email is missing")) };
        let email = email.trim().to_lowercase();
        match email.parse::<Address>() {
            Ok(_) if email.len() <= 254 => Ok(email),
            _ => Err(ApiError::invalid_param("email is not an address")),
        }
    }

    /// Sends mail to an address, if it is the user's. Whether it is, is not told.
    async fn mail(&self, user_id: &OwnedUserId, mail: Mail) -> ApiResult<()> {
        self.app.throttle(Limit::Login, user_id.as_str())?;
        let is_theirs =
            self.session.purpose == Purpose::Register || self.app.users.owns_email(user_id, &mail.to)?;
        let mailer = self.app.config.login.mailer.as_ref();
        let Some(mailer) = mailer.filter(|_| is_theirs) else { return Ok(()) };
        mailer.send(mail).await.map_err(|error| {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(error = %error, source = ?cause.source().map(ToString::to_string), "a mail was not sent");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", "the mail could not be sent; try again later")
        })
    }

    async fn email_code(&self) -> ApiResult<Outcome> {
        if let Some(candidate) = &self.step.code {
            let Some(id) = self.id else { return Err(ApiError::missing_param("session is missing")) };
            let matched = self.app.legacy.logins.change(id, |session| {
                let email = match &session.pending {
                    Some(Pending::EmailCode { email, .. }) => Some(email.clone()),
                    _ => None,
                };
                email.filter(|_| session.code_matches(candidate.trim()))
            });
            return match matched.flatten() {
                Some(email) => Ok(Outcome::Passed(Proof::Email(email))),
                None => Err(ApiError::forbidden("the code is not right")),
            };
        }
        let (user_id, email) = (self.user()?, self.address()?);
        let code = format!("{:06}", rand::rng().random_range(0..1_000_000_u32));
        let server = &self.app.config.server_name;
        let text = format!(
            "The code for {user_id} on {server} is {code}.\n\nIt is good for a few minutes. \
             If you have not asked for it, nothing needs to be done.\n"
        );
        self.mail(&user_id, Mail::new(&*email, format!("Your code for {server}"), text)).await?;
        let pending = Pending::EmailCode { email, code: TokenHash::of(&code), attempts: 0 };
        let reply = json!({"type": LoginStage::EmailCode.as_str()});
        Ok(Outcome::Begun { pending, user_id: Some(user_id), reply })
    }

    async fn email_url(&self) -> ApiResult<Outcome> {
        if self.step.email.is_none()
            && let Some(Pending::EmailUrl { email, visited, .. }) = &self.session.pending
        {
            return if *visited {
                Ok(Outcome::Passed(Proof::Email(email.clone())))
            } else {
                Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "M_LOGIN_EMAIL_URL_NOT_YET",
                    "the link in the mail has not been followed yet",
                ))
            };
        }
        let (user_id, email) = (self.user()?, self.address()?);
        let token = random_text(32);
        let server = &self.app.config.server_name;
        let text = format!(
            "Somebody wants to be {user_id} on {server}. If it is you, follow this link:\n\n\
             {}{PREFIX}/login/email/{token}\n\nIt is good for a few minutes. \
             If it is not you, do not follow it.\n",
            self.app.base_url()
        );
        self.mail(&user_id, Mail::new(&*email, format!("Your link for {server}"), text)).await?;
        let pending = Pending::EmailUrl { email, token: TokenHash::of(&token), visited: false };
        let reply = json!({"type": LoginStage::EmailUrl.as_str()});
        Ok(Outcome::Begun { pending, user_id: Some(user_id), reply })
    }

    fn oauth2(&self) -> ApiResult<Outcome> {
        if let Some(Pending::OAuth2 { identity: Some(identity), .. }) = &self.session.pending {
            let proof = Proof::Identity { user_id: None, identity: identity.clone() };
            return Ok(Outcome::Passed(proof));
        }
        // Who logs in may be left to the provider to say.
        let anybody = self.session.purpose == Purpose::LogIn
            && self.step.user.is_none()
            && self.session.user_id.is_none();
        let user_id = if anybody { None } else { Some(self.user()?) };
        let state = random_text(32);
        let pending = Pending::OAuth2 { state: TokenHash::of(&state), identity: None };
        Ok(Outcome::Begun { pending, user_id, reply: json!({"uri": oauth2::uri(self.app, &state)}) })
    }
}

/// Where the link in a mail leads.
pub(super) async fn follow_link(
    State(app): State<AppState>,
    headers: HeaderMap,
    Segments(token): Segments<String>,
) -> Response {
    let visited = app.legacy.logins.awaiting(Visit::Link(&token)).and_then(|id| {
        app.legacy.logins.change(&id, |session| {
            if let Some(Pending::EmailUrl { visited, .. }) = &mut session.pending {
                *visited = true;
            }
        })
    });
    match visited {
        Some(()) => {
            html(StatusCode::OK, "Thank you", "<p>The address is yours. Go back to where you log in.</p>")
        }
        None => too_late(&headers),
    }
}
