//! Topics.

use matrix_appservice::bridge::{ChatInfo, RemoteEvent};

use super::super::connection::Connection;
use super::super::seen::Seen;
use crate::format;

impl Connection {
    pub(super) fn saw_topic(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(0));
        let by = self.network.fold(&seen.nick);
        let own = self.network.state.lock().is_own(&by);
        if let Some(topic) = self.new_topic(&folded, seen.bytes(1)).filter(|_| !own) {
            let event =
                RemoteEvent::chat(self.network.channel(&folded), ChatInfo::topic(topic)).at(seen.at());
            self.push(if seen.userhost.is_some() { event.by(self.network.user(&by)) } else { event });
        }
    }

    /// The topic as it was when this connection came.
    pub(super) fn saw_current_topic(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(1));
        if let Some(topic) = self.new_topic(&folded, seen.bytes(2)) {
            self.push(RemoteEvent::chat(self.network.channel(&folded), ChatInfo::topic(topic)));
        }
    }

    /// Notes a topic. What Matrix has to be told: nothing if it is not new or there is no room.
    fn new_topic(&self, folded: &str, topic: &[u8]) -> Option<String> {
        let (topic, _) = format::from_irc(topic);
        let mut state = self.network.state.lock();
        let channel = state.channels.get_mut(folded).filter(|known| known.is_listener(&self.login))?;
        let new = channel.topic.as_ref() != Some(&topic);
        channel.topic = Some(topic.clone());
        (new && channel.live).then_some(topic)
    }
}
