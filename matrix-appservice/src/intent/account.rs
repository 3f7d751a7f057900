//! Making sure that a user exists and has a device to send with.

use std::sync::atomic::Ordering;

use ruma::{
    OwnedDeviceId,
    api::client::{account::register, device::update_device},
};
use serde::{Deserialize, Serialize};

use super::Intent;
use crate::{
    client::{ClientError, Identity},
    store::{Batch, StoreError, Tree},
};

/// The device that a user sends with. Devices belong to users, so all may have one of the same name.
const DEVICE: &str = "APPSERVICE";

/// What is known of a user of the application service.
#[derive(Debug, Default, Serialize, Deserialize)]
struct IdentityRow {
    /// His device, if the homeserver lets application services make one.
    device: Option<OwnedDeviceId>,
}

impl Intent {
    /// Makes sure that the user exists ([registration by an application service], without logging in).
    ///
    /// [registration by an application service]: https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn ensure_registered(&self) -> Result<(), ClientError> {
        self.ensure_identity().await.map(drop)
    }

    /// The identity to act with: the user, registered, and his device.
    ///
    /// With a device the homeserver recognises a repeated send also after a restart of its own; without
    /// one, some do so only while they run.
    pub(super) async fn ensure_identity(&self) -> Result<Identity, ClientError> {
        if let Some(row) = self.stored_identity() {
            return Ok(self.with_device(row.device));
        }
        let _one_at_a_time = self.shared.locks.lock(self.user_id.as_str()).await;
        if let Some(row) = self.stored_identity() {
            return Ok(self.with_device(row.device));
        }
        self.register().await?;
        let row = IdentityRow { device: self.make_device().await? };
        let mut batch = Batch::default();
        batch.put_json(Tree::Identities, self.user_id.as_bytes(), &row);
        self.note(self.shared.store.apply(batch));
        Ok(self.with_device(row.device))
    }

    /// Forgets what was ensured of the user, and ensures it again.
    pub(super) async fn renew_identity(&self) -> Result<Identity, ClientError> {
        let mut batch = Batch::default();
        batch.delete(Tree::Identities, self.user_id.as_bytes());
        self.note(self.shared.store.apply(batch));
        self.ensure_identity().await
    }

    /// What a store that fails has to say; what it did not keep is only ensured once more.
    pub(super) fn note(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::warn!(user_id = %self.user_id, %error, "could not remember what was ensured");
        }
    }

    fn stored_identity(&self) -> Option<IdentityRow> {
        self.shared.store.get_json(Tree::Identities, self.user_id.as_bytes()).unwrap_or_else(|error| {
            self.note(Err(error));
            None
        })
    }

    fn with_device(&self, device: Option<OwnedDeviceId>) -> Identity {
        let identity = Identity::user(self.user_id.clone());
        match device {
            Some(device) => identity.device(device),
            None => identity,
        }
    }

    async fn register(&self) -> Result<(), ClientError> {
        let mut request = register::v3::Request::new();
        request.username = Some(self.user_id.localpart().to_owned());
        request.login_type = Some(register::LoginType::ApplicationService);
        request.inhibit_login = true;
        match self.shared.client.send(request, &Identity::bot()).await {
            Ok(_) => {
                tracing::info!(user_id = %self.user_id, "registered {}", self.user_id);
                Ok(())
            }
            Err(error) if error.is("M_USER_IN_USE") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the user's device ([`PUT /devices/{deviceId}`], for application services since v1.17).
    ///
    /// [`PUT /devices/{deviceId}`]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3devicesdeviceid
    async fn make_device(&self) -> Result<Option<OwnedDeviceId>, ClientError> {
        if self.shared.no_devices.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let device = OwnedDeviceId::from(DEVICE);
        let request = update_device::v3::Request::new(device.clone());
        let identity = Identity::user(self.user_id.clone());
        match self.shared.client.send(request, &identity).await {
            Ok(_) => Ok(Some(device)),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                tracing::info!(%error, "the homeserver makes no devices for application services");
                self.shared.no_devices.store(true, Ordering::Relaxed);
                Ok(None)
            }
        }
    }
}
