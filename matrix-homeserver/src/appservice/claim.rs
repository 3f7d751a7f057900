//! One-time keys of the users of application services, which may hold them themselves ([MSC3983]): asked for when this
//! server has none, of those who set `org.matrix.msc3202`.
//!
//! [MSC3983]: https://github.com/matrix-org/matrix-spec-proposals/pull/3983

use std::time::Duration;

use http::Method;
use ruma::{DeviceId, UserId};
use serde_json::{Value, json};

use super::{Appservices, link::Call};

const PATH: &str = "/_matrix/app/unstable/org.matrix.msc3983/keys/claim";
/// How long an application service may take.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Appservices {
    /// A key of a device, its full name first, from the application service that owns the user exclusively. Whatever
    /// goes wrong means that there is none.
    pub(crate) async fn claim_key(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        algorithm: &str,
    ) -> Option<(String, Value)> {
        let owner = self.all().into_iter().find(|it| it.wants_keys() && it.owns_user(user_id))?;
        let body = json!({ user_id.as_str(): { device_id.as_str(): [algorithm] } });
        let call = Call {
            method: Method::POST,
            path: PATH,
            legacy: None,
            query: None,
            body: Some(body.to_string().into()),
            timeout: TIMEOUT,
        };
        let answer = owner.link()?.call(&call).await.ok().filter(|answer| answer.status.is_success())?;
        let mut answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let keys = answer.get_mut(user_id.as_str())?.get_mut(device_id.as_str())?.as_object_mut()?;
        let name = keys.keys().find(|name| name.split(':').next() == Some(algorithm))?.clone();
        let key = keys.remove(&name)?;
        Some((name, key))
    }
}
