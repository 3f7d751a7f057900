//! The logins that are open.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::UserId;

use super::{
    Login, LoginRecord, LoginState, NetworkError, RemoteSink,
    core::{Core, or_report},
    journal::Sink,
    keyed::Keyed,
};
use crate::{
    network_id::{LoginId, PortalKey},
    store::Batch,
};

/// The logins that are open.
#[derive(Default)]
pub(crate) struct Logins {
    open: Mutex<HashMap<LoginId, OpenLogin>>,
    /// Who opens or closes which login.
    changing: Keyed<LoginId>,
}

struct OpenLogin {
    record: LoginRecord,
    login: Arc<dyn Login>,
    state: LoginState,
}

impl Logins {
    fn get(&self, id: &LoginId) -> Option<Arc<dyn Login>> {
        self.open.lock().get(id).map(|open| Arc::clone(&open.login))
    }

    /// The login of `user` that is open, if any: for what is not worth opening one.
    pub(crate) fn open_of(&self, user: &UserId) -> Vec<(LoginId, Arc<dyn Login>)> {
        let open = self.open.lock();
        let of_user = open.values().filter(|open| open.record.user.as_deref() == Some(user));
        of_user.map(|open| (open.record.id.clone(), Arc::clone(&open.login))).collect()
    }

    /// How a login is, if it is open.
    pub(crate) fn state(&self, id: &LoginId) -> Option<LoginState> {
        self.open.lock().get(id).map(|open| open.state.clone())
    }
}

impl Core {
    /// Opens what was open when the process ended: the bridge's own logins first, then those of users. A login
    /// that cannot be opened is reported to its owner.
    pub(crate) async fn open_logins(self: &Arc<Self>) -> Result<(), NetworkError> {
        let own: Vec<_> = self.network()?.own_logins().await.into_iter().map(|record| record.id).collect();
        for id in &own {
            if let Err(error) = self.open_login(id).await {
                tracing::error!(login = %id, %error, "a login of the bridge itself cannot be opened");
            }
        }
        for record in self.store.logins()? {
            // One of the bridge's own that the network does not have any more stays closed.
            if record.user.is_none() || self.shutdown.is_cancelled() {
                continue;
            }
            if let Err(error) = self.open_login(&record.id).await {
                tracing::warn!(login = %record.id, %error, "a login cannot be opened");
                self.tell_owner(&record.id, format!("Your login {} cannot be opened: {error}", record.id));
            }
        }
        Ok(())
    }

    /// Stores the bridge's own logins, so that whoever needs one can open it from now on.
    pub(crate) async fn store_own_logins(&self) -> Result<(), NetworkError> {
        let mut batch = Batch::default();
        for record in self.network()?.own_logins().await {
            if self.store.login(&record.id)?.is_none() {
                batch.put_login(&record);
            }
        }
        Ok(self.store.commit(batch).await?)
    }

    /// The login, stored and open. A record that is stored already wins.
    pub(crate) async fn ensure_login(
        self: &Arc<Self>,
        record: LoginRecord,
    ) -> Result<Arc<dyn Login>, NetworkError> {
        if let Some(login) = self.logins.get(&record.id) {
            return Ok(login);
        }
        if self.store.login(&record.id)?.is_none() {
            let mut batch = Batch::default();
            batch.put_login(&record);
            self.store.commit(batch).await?;
        }
        self.open_login(&record.id).await
    }

    /// A stored login, open and connected or on the way.
    pub(crate) async fn open_login(self: &Arc<Self>, id: &LoginId) -> Result<Arc<dyn Login>, NetworkError> {
        if let Some(login) = self.logins.get(id) {
            return Ok(login);
        }
        let _changing = self.logins.changing.lock(id).await;
        if let Some(login) = self.logins.get(id) {
            return Ok(login);
        }
        if self.shutdown.is_cancelled() {
            return Err(NetworkError::unavailable("the bridge is stopping"));
        }
        let record =
            self.store.login(id)?.ok_or_else(|| NetworkError::not_found("there is no such login"))?;
        let login = self.network()?.open(record.clone()).await?;
        let open = OpenLogin { record, login: Arc::clone(&login), state: LoginState::Connecting };
        // Listed before it connects, so that what it says of its state finds it.
        self.logins.open.lock().insert(id.clone(), open);
        self.metrics.logins_open.inc();
        if let Err(error) = login.connect(RemoteSink::new(id.clone(), Arc::new(Sink(Arc::clone(self))))).await
        {
            self.logins.open.lock().remove(id);
            self.metrics.logins_open.dec();
            return Err(error);
        }
        tracing::info!(login = %id, "opened a login");
        let core = Arc::clone(self);
        let (id, pending) = (id.clone(), Arc::clone(&login));
        self.tasks.spawn(async move { core.resolve_pending(&id, &pending).await });
        Ok(login)
    }

    /// The login through which `user` acts in a portal, and whether it is somebody else's.
    pub(crate) async fn login_for(
        self: &Arc<Self>,
        user: &UserId,
        portal: &PortalKey,
    ) -> Result<Option<(LoginId, bool)>, NetworkError> {
        if let Some(receiver) = &portal.receiver {
            let owner = self.store.login(receiver)?.and_then(|record| record.user);
            return Ok(Some((receiver.clone(), owner.as_deref() != Some(user))));
        }
        let network = self.network()?;
        if let Some(record) = network.login_for(user, portal).await {
            let id = record.id.clone();
            self.ensure_login(record).await?;
            return Ok(Some((id, false)));
        }
        if let Some((id, _)) = self.logins.open_of(user).into_iter().next() {
            return Ok(Some((id, false)));
        }
        let stored = self.store.logins()?;
        if let Some(record) = stored.into_iter().find(|record| record.user.as_deref() == Some(user)) {
            return Ok(Some((record.id, false)));
        }
        if !self.info.relay {
            return Ok(None);
        }
        Ok(network.own_login(portal).await.map(|id| (id, true)))
    }

    pub(crate) async fn save_login(self: &Arc<Self>, record: LoginRecord) -> Result<(), NetworkError> {
        let id = record.id.clone();
        let mut batch = Batch::default();
        batch.put_login(&record);
        self.store.commit(batch).await?;
        if let Some(open) = self.logins.open.lock().get_mut(&id) {
            open.record = record;
            return Ok(());
        }
        self.open_login(&id).await.map(drop)
    }

    pub(crate) async fn remove_login(&self, id: &LoginId) {
        self.close_login(id).await;
        let mut batch = Batch::default();
        batch.delete_login(id);
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, login = %id, "could not forget a login");
        }
    }

    pub(crate) async fn reopen_login(self: &Arc<Self>, id: &LoginId) -> Result<(), NetworkError> {
        self.close_login(id).await;
        self.open_login(id).await.map(drop)
    }

    async fn close_login(&self, id: &LoginId) {
        let _changing = self.logins.changing.lock(id).await;
        let open = self.logins.open.lock().remove(id);
        if let Some(open) = open {
            self.metrics.logins_open.dec();
            open.login.disconnect().await;
            tracing::info!(login = %id, "closed a login");
        }
    }

    /// Closes all logins, at once.
    pub(crate) async fn close_logins(&self) {
        let ids: Vec<_> = self.logins.open.lock().keys().cloned().collect();
        futures_util::future::join_all(ids.iter().map(|id| self.close_login(id))).await;
    }

    /// A login says how it is.
    pub(crate) fn login_state(self: &Arc<Self>, id: &LoginId, state: &LoginState) {
        let before = {
            let mut open = self.logins.open.lock();
            let Some(open) = open.get_mut(id) else { return };
            std::mem::replace(&mut open.state, state.clone())
        };
        if before == *state {
            return;
        }
        match state {
            LoginState::BadCredentials { reason } => {
                tracing::warn!(login = %id, reason, "a login needs its owner");
                self.tell_owner(id, format!("Your login {id} does not work any more: {reason}"));
            }
            LoginState::LoggedOut { reason } => {
                tracing::info!(login = %id, reason, "a login was ended by the network");
                self.tell_owner(id, format!("Your login {id} was ended: {reason}"));
                let (core, id) = (Arc::clone(self), id.clone());
                self.tasks.spawn(async move { core.close_login(&id).await });
            }
            LoginState::Disconnected { reason } => {
                tracing::warn!(login = %id, reason, "a login lost its connection");
            }
            LoginState::Connecting => tracing::debug!(login = %id, "a login connects"),
            LoginState::Connected => tracing::info!(login = %id, "a login is connected"),
        }
    }

    fn tell_owner(self: &Arc<Self>, id: &LoginId, text: String) {
        let Some(user) = or_report(self.store.login(id)).and_then(|record| record.user) else { return };
        let core = Arc::clone(self);
        self.tasks.spawn(async move { core.tell(&user, &text).await });
    }
}
