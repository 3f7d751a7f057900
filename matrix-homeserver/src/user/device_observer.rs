//! Who takes part in what is written for devices.

use std::fmt;

use ruma::{DeviceId, UserId};

use super::ToDeviceMessage;
use crate::store::WriteSet;

/// Who takes part in what is written for devices: the queues of the application services.
///
/// Both methods are called with the batch that writes what they tell of, which is written with what they add or not at
/// all. They must not block.
pub(crate) trait DeviceObserver: Send + Sync + 'static {
    /// A message is put in line for a device; the batch has just taken the message's position.
    fn message(&self, message: &ToDeviceMessage, writes: &mut WriteSet);

    /// A device has more or fewer keys to hand out than before.
    fn keys_left(&self, user_id: &UserId, device_id: &DeviceId, writes: &mut WriteSet);
}

impl fmt::Debug for dyn DeviceObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceObserver")
    }
}
