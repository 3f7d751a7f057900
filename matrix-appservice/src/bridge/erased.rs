//! A [`Network`] without its types, so that the rest of the bridge need not know them.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::{OwnedUserId, UserId};

use super::{Command, Login, LoginRecord, Network, NetworkError, NetworkInfo, PrivateChat};
use crate::network_id::{LoginId, PortalKey, RemoteUserId};

/// A [`Network`] without its types.
#[async_trait]
pub(crate) trait AnyNetwork: Send + Sync {
    async fn open(&self, record: LoginRecord) -> Result<Arc<dyn Login>, NetworkError>;
    async fn own_logins(&self) -> Vec<LoginRecord>;
    async fn own_login(&self, portal: &PortalKey) -> Option<LoginId>;
    async fn login_for(&self, user: &UserId, portal: &PortalKey) -> Option<LoginRecord>;
    async fn private_chat(&self, user: &UserId, with: &RemoteUserId) -> Option<PrivateChat>;
    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginRecord, NetworkError>;
    fn ghost_localpart(&self, user: &RemoteUserId) -> String;
    fn remote_user(&self, localpart: &str) -> Option<RemoteUserId>;
    fn matrix_user(&self, user: &RemoteUserId) -> Option<OwnedUserId>;
    fn portal_alias(&self, portal: &PortalKey) -> String;
    fn portal_for_alias(&self, localpart: &str) -> Option<PortalKey>;
    fn commands(&self) -> Vec<Arc<dyn Command>>;
    async fn stop(&self);
}

/// A network together with what it said of itself.
pub(crate) struct Erased<N> {
    pub(crate) network: N,
    pub(crate) info: NetworkInfo,
}

#[async_trait]
impl<N: Network> AnyNetwork for Erased<N> {
    async fn open(&self, record: LoginRecord) -> Result<Arc<dyn Login>, NetworkError> {
        Ok(Arc::new(self.network.open(record).await?))
    }

    async fn own_logins(&self) -> Vec<LoginRecord> {
        self.network.own_logins().await
    }

    async fn own_login(&self, portal: &PortalKey) -> Option<LoginId> {
        self.network.own_login(portal).await
    }

    async fn login_for(&self, user: &UserId, portal: &PortalKey) -> Option<LoginRecord> {
        self.network.login_for(user, portal).await
    }

    async fn private_chat(&self, user: &UserId, with: &RemoteUserId) -> Option<PrivateChat> {
        self.network.private_chat(user, with).await
    }

    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginRecord, NetworkError> {
        self.network.log_in(user, arguments).await
    }

    fn ghost_localpart(&self, user: &RemoteUserId) -> String {
        self.network.ghost_localpart(&self.info, user)
    }

    fn remote_user(&self, localpart: &str) -> Option<RemoteUserId> {
        self.network.remote_user(&self.info, localpart)
    }

    fn matrix_user(&self, user: &RemoteUserId) -> Option<OwnedUserId> {
        self.network.matrix_user(user)
    }

    fn portal_alias(&self, portal: &PortalKey) -> String {
        self.network.portal_alias(&self.info, portal)
    }

    fn portal_for_alias(&self, localpart: &str) -> Option<PortalKey> {
        self.network.portal_for_alias(&self.info, localpart)
    }

    fn commands(&self) -> Vec<Arc<dyn Command>> {
        self.network.commands()
    }

    async fn stop(&self) {
        self.network.stop().await;
    }
}
