//! The server as a whole: its settings, its services, how it starts and stops.

use std::{error::Error, fmt, sync::Arc};

use ruma::{ServerName, UserId};
use tokio::net::TcpListener;

use crate::{
    api,
    fault::FaultDial,
    testing::TestUser,
    user::{NewAccount, NewSession, Report, UserError},
};

mod accounts;
mod actions;
mod builder;
mod config;
mod finishing;
mod guests;
mod housekeeping;
mod limits;
mod metrics;
mod observers;
mod presence;
mod profiles;
mod provision;
mod serve;
mod services;
mod succession;
mod summaries;

pub(crate) use self::{
    accounts::Support,
    config::Config,
    limits::{Limit, Limits},
    metrics::Metrics,
    services::Services,
};
pub use self::{
    accounts::{SupportContact, Terms, TurnServer},
    builder::{HomeserverBuilder, StartError},
};

/// A running homeserver. Dropping it stops it; [`shutdown`](Self::shutdown) also waits until it has stopped.
pub struct Homeserver {
    services: Arc<Services>,
    url: String,
    /// What it was started from.
    builder: HomeserverBuilder,
}

impl fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homeserver")
            .field("server_name", &self.services.config.server_name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Homeserver {
    /// Begins a server with this name. In process everything is set for tests: any free port, no data left behind,
    /// open registration, no rate limits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_homeserver::Homeserver;
    ///
    /// let homeserver = Homeserver::builder("hs.test").start().await?;
    /// let alice = homeserver.user("alice").await?;
    /// assert_eq!(alice.user_id(), "@alice:hs.test");
    /// homeserver.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(server_name: &str) -> HomeserverBuilder {
        HomeserverBuilder::new(server_name)
    }

    fn serve(
        services: Arc<Services>,
        listener: TcpListener,
        url: String,
        builder: HomeserverBuilder,
    ) -> Self {
        let router = api::router(services.clone());
        let tracker = services.tracker.clone();
        tracker.spawn(presence::watch(services.clone()));
        tracker.spawn(housekeeping::run(services.rooms.transactions().clone(), services.shutdown.clone()));
        tracker.spawn(serve::serve(listener, router, services.shutdown.clone(), tracker.clone()));
        Self { services, url, builder }
    }

    /// Where the server is reached, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name in the IDs of its users.
    pub fn server_name(&self) -> &ServerName {
        &self.services.config.server_name
    }

    /// A user with this localpart, logged in on a new device; registered first if there is none. The password is
    /// [`testing::PASSWORD`](crate::testing::PASSWORD).
    ///
    /// # Errors
    /// If the localpart cannot name a user, or the database fails.
    pub async fn user(&self, localpart: &str) -> Result<TestUser, HomeserverError> {
        let users = &self.services.users;
        let naming = crate::user::Naming::Appservice;
        let user_id = users.new_user_id(localpart, naming).map_err(UserError::from)?;
        let account =
            NewAccount { password: Some(crate::testing::PASSWORD.to_owned()), ..NewAccount::default() };
        match users.register(&user_id, account, None).await {
            Ok(_) | Err(UserError::InUse) => {}
            Err(error) => return Err(error.into()),
        }
        let login = users.log_in(&user_id, NewSession::default()).await?;
        Ok(TestUser::from_token(&self.url, user_id, &login.access_token))
    }

    /// Lets a user log in by mail to an address, where the [flows](HomeserverBuilder::login_flows) have such a stage.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn link_email(&self, user_id: &UserId, address: &str) -> Result<(), HomeserverError> {
        let linked = self.services.users.link_email(user_id, &address.to_lowercase()).await;
        Ok(linked.map_err(UserError::from)?)
    }

    /// Lets a user log in by an account at an [OAuth 2.0 provider](crate::oauth2), which then is nobody else's.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn link_oauth2(
        &self,
        user_id: &UserId,
        provider: &str,
        subject: &str,
    ) -> Result<(), HomeserverError> {
        let linked = self.services.users.link_identity(user_id, (provider, subject)).await;
        Ok(linked.map_err(UserError::from)?)
    }

    /// The dial by which things go wrong on purpose.
    pub fn faults(&self) -> &FaultDial {
        &self.services.faults
    }

    /// Returns when somebody asks over HTTP for the server to be [restarted](Self::restart).
    pub async fn restart_requested(&self) {
        self.services.restart.notified().await;
    }

    /// Stops the server and starts it again at the same address, with its data if it has a data directory, else without
    /// any. The fault dial is turned back.
    ///
    /// # Errors
    /// As [`HomeserverBuilder::start`].
    pub async fn restart(self) -> Result<Self, StartError> {
        let address = self.url.trim_start_matches("http://").to_owned();
        let again = self.builder.clone().listen(address);
        self.shutdown().await;
        again.start().await
    }

    /// What users have reported to the administrators, the oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn reports(&self) -> Result<Vec<Report>, HomeserverError> {
        Ok(self.services.users.reports().map_err(UserError::from)?)
    }

    /// How many handlers panicked since the server started. A test harness fails when it is not zero.
    pub fn panics(&self) -> u64 {
        self.services.metrics.panics.get()
    }

    /// How many answers had the status 500 since the server started.
    pub fn internal_errors(&self) -> u64 {
        self.services.metrics.server_errors.get()
    }

    /// [`stop`](Self::stop), for those who own the server.
    pub async fn shutdown(self) {
        self.stop().await;
    }

    /// Stops accepting requests, lets those in flight finish for a moment, and returns when everything has ended. The
    /// data directory is free again when the handle is dropped, too.
    pub async fn stop(&self) {
        self.services.stop();
        for tasks in [&self.services.tracker, &self.services.finishing] {
            tasks.close();
        }
        self.services.tracker.wait().await;
        let _ = tokio::time::timeout(serve::GRACE, self.services.finishing.wait()).await;
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        self.services.stop();
    }
}

/// Why the server could not do what was asked of it in process.
#[derive(Debug, thiserror::Error)]
#[error("the homeserver could not do this")]
pub struct HomeserverError {
    source: Box<dyn Error + Send + Sync>,
}

impl From<UserError> for HomeserverError {
    fn from(error: UserError) -> Self {
        Self { source: Box::new(error) }
    }
}
