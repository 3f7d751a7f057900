//! The users of this server: accounts, devices and sessions, profiles, and what belongs to one user alone.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use parking_lot::{Mutex, RwLock};
use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

mod account_data;
mod backup;
mod device;
mod device_lists;
mod device_observer;
mod email_validation;
mod extras;
mod filter;
mod identity;
mod ignored;
mod keys;
mod localpart;
mod login_token;
mod openid;
mod password;
mod policies;
mod presence;
mod profile;
mod push;
mod pushers;
mod receipt;
mod refresh;
mod registration_tokens;
mod reports;
mod restriction;
mod search;
mod session;
mod threepids;
mod to_device;
mod typing;
mod unread;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::push::actions_for;
pub use self::reports::Report;
pub(crate) use self::{
    account_data::Scope,
    backup::{Backup, BackupError, Backups, SessionKey, SessionKeys},
    device::{Device, Login, MAX_DEVICE_NAME, NewSession, check_device_id, random_text},
    device_lists::DeviceListTracker,
    device_observer::DeviceObserver,
    email_validation::{EmailValidations, Purpose, Validated, ValidationRequest},
    extras::Extras,
    keys::{CrossSigning, KeyUpload, Keys, KeysError, Usage},
    localpart::{LocalpartError, Naming},
    login_token::{LOGIN_TOKEN_LIFETIME, LoginTokens},
    openid::OPENID_LIFETIME,
    password::Hasher,
    presence::{Connected, Invited, Presence, PresenceState},
    profile::{MAX_FIELD_NAME, ProfileError},
    push::{PUSH_RULES, rules_content, rules_for_successor, rules_json},
    pushers::{Pusher, PusherId, Pushers},
    receipt::{Receipt, Receipts, content as receipt_content},
    registration_tokens::{RegistrationTokens, TokenInfo, TokenTerms},
    restriction::Restrictions,
    session::{Seen, Session, Sessions, TokenHash},
    to_device::{ToDevice, ToDeviceMessage, row_key as to_device_row},
    typing::Typing,
    unread::{Notification, UnreadCounter},
};

/// Why something could not be done to an account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UserError {
    /// There is such a user already.
    #[error("the user ID is taken")]
    InUse,
    #[error("device IDs have 1 to 512 bytes")]
    DeviceId,
    /// The account was closed for good.
    #[error("the account has been deactivated")]
    Deactivated,
    /// A localpart that cannot name a user.
    #[error(transparent)]
    Localpart(#[from] LocalpartError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An account as it is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    /// As a PHC string. Users of application services have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    /// The application service that registered the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) appservice: Option<String>,
    #[serde(default)]
    pub(crate) deactivated: bool,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(default)]
    pub(crate) guest: bool,
}

/// Everything about users that requests ask for. Reads come from memory or from the store's cache.
#[derive(Debug)]
pub(crate) struct Users {
    store: Store,
    server_name: OwnedServerName,
    hasher: Hasher,
    sessions: Arc<Sessions>,
    pub(crate) login_tokens: LoginTokens,
    pub(crate) email_validations: EmailValidations,
    pub(crate) restrictions: Restrictions,
    pub(crate) registration_tokens: RegistrationTokens,
    pub(crate) pushers: Pushers,
    /// User IDs that are being registered right now.
    claimed: Arc<Mutex<HashSet<OwnedUserId>>>,
    /// User IDs that are known to exist, to answer that without the store.
    known: RwLock<HashSet<OwnedUserId>>,
    pub(crate) typing: Arc<Typing>,
    pub(crate) receipts: Receipts,
    pub(crate) presence: Presence,
    pub(crate) keys: Keys,
    pub(crate) backups: Backups,
    pub(crate) to_device: ToDevice,
    push: push::PushRules,
    ignored: Arc<ignored::IgnoredUsers>,
    /// One at a time changes tags.
    pub(crate) tagging: tokio::sync::Mutex<()>,
    /// One at a time changes profiles.
    profiles: tokio::sync::Mutex<()>,
}

impl Users {
    pub(crate) fn open(
        store: Store,
        server_name: OwnedServerName,
        hasher: Hasher,
        observer: &Arc<dyn DeviceObserver>,
    ) -> Result<Self, StoreError> {
        let mut writes = WriteSet::new();
        openid::stage_cleaning(&store, &mut writes)?;
        if !writes.is_empty() {
            drop(store.stage(writes));
        }
        Ok(Self {
            restrictions: Restrictions::open(store.clone())?,
            registration_tokens: RegistrationTokens::open(store.clone())?,
            pushers: Pushers::open(store.clone())?,
            keys: Keys::open(store.clone(), observer.clone())?,
            backups: Backups::new(store.clone()),
            to_device: ToDevice::new(store.clone(), observer.clone()),
            typing: Typing::new(store.clone()),
            receipts: Receipts::new(store.clone()),
            presence: Presence::open(store.clone())?,
            store,
            server_name,
            hasher,
            sessions: Arc::default(),
            login_tokens: LoginTokens::default(),
            email_validations: EmailValidations::default(),
            claimed: Arc::default(),
            known: RwLock::default(),
            push: push::PushRules::default(),
            ignored: Arc::default(),
            tagging: tokio::sync::Mutex::default(),
            profiles: tokio::sync::Mutex::default(),
        })
    }

    /// The ID that a localpart would have here, if it may name a new user.
    pub(crate) fn new_user_id(&self, localpart: &str, naming: Naming) -> Result<OwnedUserId, LocalpartError> {
        localpart::user_id(localpart, &self.server_name, naming)
    }

    pub(crate) fn account(&self, user_id: &UserId) -> Result<Option<Account>, StoreError> {
        read_json(&self.store, account_key(user_id))
    }

    /// How many users there are, also deactivated ones. Looks at all their keys.
    pub(crate) fn count(&self) -> usize {
        self.store.scan_prefix(Tree::Account, key(["user"])).count()
    }

    pub(crate) fn exists(&self, user_id: &UserId) -> Result<bool, StoreError> {
        if self.known.read().contains(user_id) {
            return Ok(true);
        }
        let exists = self.store.contains(Tree::Account, account_key(user_id))?;
        if exists {
            self.known.write().insert(user_id.to_owned());
        }
        Ok(exists)
    }

    /// Makes an account with, if wanted, its first session, all at once.
    pub(crate) async fn register(
        &self,
        user_id: &UserId,
        account: NewAccount,
        session: Option<NewSession>,
    ) -> Result<Option<Login>, UserError> {
        let _claim = Claim::new(&self.claimed, user_id).ok_or(UserError::InUse)?;
        if self.exists(user_id)? {
            return Err(UserError::InUse);
        }
        let password = match account.password {
            Some(password) => Some(self.hasher.hash(password).await),
            None => None,
        };
        let row = Account {
            password,
            created: now_ms(),
            appservice: account.appservice,
            deactivated: false,
            admin: account.admin,
            guest: account.guest,
        };
        let mut writes = WriteSet::new();
        put_json(&mut writes, account_key(user_id), &row);
        if !row.guest {
            let name = account.displayname.unwrap_or_else(|| user_id.localpart().to_owned());
            profile::stage_displayname(&mut writes, user_id, &name);
        }
        let login = match session {
            Some(session) => Some(self.stage_login(&mut writes, user_id, session, row.guest)?),
            None => None,
        };
        self.store.commit(writes).await?;
        self.known.write().insert(user_id.to_owned());
        Ok(login)
    }

    /// Whether the password is that of the user. False also for users without one.
    pub(crate) async fn password_matches(
        &self,
        user_id: &UserId,
        password: String,
    ) -> Result<bool, StoreError> {
        let stored = self.account(user_id)?.and_then(|account| account.password);
        Ok(self.hasher.matches(password, stored).await)
    }

    /// Makes an account of a guest's, under the same ID. The guest's sessions end.
    pub(crate) async fn upgrade_guest(
        &self,
        user_id: &UserId,
        password: String,
        session: Option<NewSession>,
    ) -> Result<Option<Login>, UserError> {
        let password = self.hasher.hash(password).await;
        self.remove_all_devices(user_id, None).await?;
        let _one = self.sessions.changing.lock().await;
        let mut account = self.open_account(user_id)?;
        if !account.guest {
            return Err(UserError::InUse);
        }
        account.password = Some(password);
        account.guest = false;
        let mut writes = WriteSet::new();
        put_json(&mut writes, account_key(user_id), &account);
        let login = match session {
            Some(session) => Some(self.stage_login(&mut writes, user_id, session, false)?),
            None => None,
        };
        self.store.commit(writes).await?;
        Ok(login)
    }

    /// Every account of this server, in the order of their IDs.
    pub(crate) fn accounts(&self) -> Result<Vec<(OwnedUserId, Account)>, StoreError> {
        let mut accounts = Vec::new();
        for row in self.store.scan_prefix(Tree::Account, key(["user"])) {
            let (row_key, row) = row?;
            let user_id = KeyBuf::read(&row_key).and_then(|[_, user_id]| OwnedUserId::try_from(user_id).ok());
            let user_id = user_id.ok_or_else(|| StoreError::damaged("the key of an account"))?;
            accounts.push((user_id, parse_row(&row)?));
        }
        Ok(accounts)
    }

    pub(crate) async fn set_password(&self, user_id: &UserId, password: String) -> Result<(), UserError> {
        let password = self.hasher.hash(password).await;
        self.change_account(user_id, |account| account.password = Some(password)).await
    }

    pub(crate) async fn set_admin(&self, user_id: &UserId, admin: bool) -> Result<(), UserError> {
        self.change_account(user_id, |account| account.admin = admin).await
    }

    /// Closes an account for good: no password, no sessions, no profile; the ID stays taken. What a stop of the server
    /// left half done is done by the next call.
    pub(crate) async fn deactivate(&self, user_id: &UserId) -> Result<(), StoreError> {
        // Nobody logs in from here on, so no device is left over.
        let close = |account: &mut Account| {
            account.password = None;
            account.deactivated = true;
        };
        match self.change_account(user_id, close).await {
            Ok(()) | Err(UserError::Deactivated) => {}
            Err(UserError::Store(error)) => return Err(error),
            Err(error) => unreachable!("an account is only changed: {error}"),
        }
        self.remove_all_devices(user_id, None).await?;
        self.clear_profile(user_id).await?;
        for threepid in self.threepids(user_id)? {
            self.remove_threepid(user_id, (&threepid.medium, &threepid.address)).await?;
        }
        Ok(())
    }

    /// An account that is there and was not closed.
    fn open_account(&self, user_id: &UserId) -> Result<Account, UserError> {
        match self.account(user_id)? {
            Some(account) if !account.deactivated => Ok(account),
            _ => Err(UserError::Deactivated),
        }
    }

    async fn change_account(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Account),
    ) -> Result<(), UserError> {
        let _one = self.sessions.changing.lock().await;
        let mut account = self.open_account(user_id)?;
        change(&mut account);
        let mut writes = WriteSet::new();
        put_json(&mut writes, account_key(user_id), &account);
        self.store.commit(writes).await?;
        Ok(())
    }
}

/// What is known of a user who is about to be registered.
#[derive(Default)]
pub(crate) struct NewAccount {
    pub(crate) password: Option<String>,
    pub(crate) appservice: Option<String>,
    pub(crate) admin: bool,
    pub(crate) guest: bool,
    /// The localpart, if none is given.
    pub(crate) displayname: Option<String>,
}

/// Keeps others from registering the same user meanwhile.
struct Claim {
    claimed: Arc<Mutex<HashSet<OwnedUserId>>>,
    user_id: OwnedUserId,
}

impl Claim {
    fn new(claimed: &Arc<Mutex<HashSet<OwnedUserId>>>, user_id: &UserId) -> Option<Self> {
        let fresh = claimed.lock().insert(user_id.to_owned());
        fresh.then(|| Self { claimed: claimed.clone(), user_id: user_id.to_owned() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claimed.lock().remove(&self.user_id);
    }
}

fn account_key(user_id: &UserId) -> KeyBuf {
    key(["user", user_id.as_str()])
}

/// Reads a row of [`Tree::Account`] that holds JSON.
fn read_json<T: for<'de> Deserialize<'de>>(store: &Store, key: KeyBuf) -> Result<Option<T>, StoreError> {
    let Some(row) = store.get(Tree::Account, key)? else { return Ok(None) };
    parse_row(&row).map(Some)
}

fn parse_row<T: for<'de> Deserialize<'de>>(row: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(row)
        .map_err(|_| StoreError::damaged("a row about a user is not the expected JSON"))
}

/// Stages a row of [`Tree::Account`] that holds JSON.
fn put_json(writes: &mut WriteSet, key: KeyBuf, value: &impl Serialize) {
    let row = serde_json::to_vec(value).expect("rows have string keys and no failing serializers");
    writes.put(Tree::Account, key, row);
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ruma::{DeviceId, server_name, user_id};

    use super::*;

    struct Nobody;

    impl DeviceObserver for Nobody {
        fn message(&self, _: &ToDeviceMessage, _: &mut WriteSet) {}

        fn keys_left(&self, _: &UserId, _: &DeviceId, _: &mut WriteSet) {}
    }

    #[tokio::test]
    async fn an_account_stays_closed_whatever_is_done_to_it_meanwhile() {
        let observer: Arc<dyn DeviceObserver> = Arc::new(Nobody);
        let (store, name) = (Store::temporary().unwrap(), server_name!("hs.test").to_owned());
        let users = Users::open(store, name, Hasher::quick(), &observer).unwrap();
        let alice = user_id!("@alice:hs.test");
        users.register(alice, NewAccount::default(), None).await.unwrap();
        let (closed, ..) = tokio::join!(
            users.deactivate(alice),
            users.set_password(alice, "x".into()),
            users.set_admin(alice, true),
            users.log_in(alice, NewSession::default()),
        );
        closed.unwrap();
        let account = users.account(alice).unwrap().unwrap();
        assert!(account.deactivated && account.password.is_none(), "{account:?}");
        assert!(users.devices(alice).unwrap().is_empty());
        let refused = users.log_in(alice, NewSession::default()).await.unwrap_err();
        assert!(matches!(refused, UserError::Deactivated));
    }
}
