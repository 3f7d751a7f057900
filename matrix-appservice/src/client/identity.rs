//! Whom a request is made as.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};

/// Everything but what a query may hold as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whom a request is made as, and when the event is said to have happened.
///
/// [Identity assertion], [timestamp massaging].
///
/// [Identity assertion]: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion
/// [timestamp massaging]: https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user; `None` is the bot.
    pub user_id: Option<OwnedUserId>,
    /// The user's device.
    pub device_id: Option<OwnedDeviceId>,
    /// When the event happened on the other network. Only for sending events.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl Identity {
    /// The bot, whom the homeserver assumes when nobody is named.
    pub fn bot() -> Self {
        Self::default()
    }

    /// A user.
    pub fn user(user_id: impl Into<OwnedUserId>) -> Self {
        Self { user_id: Some(user_id.into()), ..Self::default() }
    }

    /// With a device of the user.
    pub fn device(mut self, device_id: impl Into<OwnedDeviceId>) -> Self {
        self.device_id = Some(device_id.into());
        self
    }

    /// With the time at which the event happened.
    pub fn at(mut self, ts: MilliSecondsSinceUnixEpoch) -> Self {
        self.ts = Some(ts);
        self
    }

    /// Adds the identity to a URL.
    ///
    /// The device is named by the key of v1.17 and by the one from before, because older servers know
    /// only the latter.
    pub(super) fn assert_in(&self, url: &str) -> String {
        let mut url = url.to_owned();
        let mut separator = if url.contains('?') { '&' } else { '?' };
        let mut add = |key: &str, value: &str| {
            url.push(separator);
            url.push_str(key);
            url.push('=');
            url.extend(utf8_percent_encode(value, QUERY));
            separator = '&';
        };
        if let Some(user_id) = &self.user_id {
            add("user_id", user_id.as_str());
        }
        if let Some(device_id) = &self.device_id {
            add("device_id", device_id.as_str());
            add("org.matrix.msc3202.device_id", device_id.as_str());
        }
        if let Some(ts) = self.ts {
            add("ts", &ts.get().to_string());
        }
        url
    }
}
