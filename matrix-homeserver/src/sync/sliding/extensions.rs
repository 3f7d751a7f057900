//! What is told beside rooms.

use ruma::events::room::member::MembershipState;
use serde_json::{Map, Value, json, value::RawValue, value::to_raw_value};

use super::{
    lists::Wanted,
    request::{Extensions, PerRoomConfig, ToDeviceConfig},
    response::{AccountDataBody, EphemeralBody, ExtensionsBody, KeysBody, RoomBody, ToDeviceBody},
    rooms::{News, Teller},
};
use crate::sync::{Window, fields};

impl Teller<'_> {
    /// What is told beside rooms and of no room.
    pub(super) fn extensions(&self, wanted: &Extensions, account_data_is_known: bool) -> ExtensionsBody {
        let (user_id, device_id) = (self.reader.user_id, self.reader.device_id);
        let window = Window { since: (!self.is_first).then_some(self.told.upto), upto: self.upto };
        let is_on = |config: &Option<_>| config.as_ref().is_some_and(PerRoomConfig::is_on);
        ExtensionsBody {
            to_device: wanted
                .to_device
                .as_ref()
                .filter(|config| config.is_on())
                .map(|config| self.messages(config)),
            e2ee: wanted.e2ee.as_ref().filter(|config| config.is_on()).map(|_| {
                let counts = self.extras.key_counts(user_id, device_id);
                KeysBody {
                    device_one_time_keys_count: counts.one_time,
                    device_unused_fallback_key_types: counts.unused_fallback,
                    device_lists: window.since.map(|_| self.extras.device_lists(user_id, window)),
                }
            }),
            account_data: is_on(&wanted.account_data).then(|| {
                let since = window.since.filter(|_| account_data_is_known);
                let global = self.extras.account_data(user_id, Window { since, ..window });
                AccountDataBody { global, ..AccountDataBody::default() }
            }),
            receipts: is_on(&wanted.receipts).then(EphemeralBody::default),
            typing: is_on(&wanted.typing).then(EphemeralBody::default),
        }
    }

    /// Messages to the device, the oldest first. Those that have arrived are deleted.
    fn messages(&self, config: &ToDeviceConfig) -> ToDeviceBody {
        let since = config.since().ok().flatten().map(|since| since.min(self.upto));
        let window = Window { since, upto: self.upto };
        let mut messages =
            self.extras.to_device(self.reader.user_id, self.reader.device_id, window).into_iter().peekable();
        let mut body = ToDeviceBody { next_batch: self.upto.to_string(), events: Vec::new() };
        while let Some((position, event)) = messages.next() {
            body.events.push(event);
            if body.events.len() >= config.limit() {
                // Those of one position stay together: the client can only say how far it has come.
                while let Some((_, event)) = messages.next_if(|(next, _)| *next == position) {
                    body.events.push(event);
                }
                if messages.peek().is_some() {
                    body.next_batch = position.to_string();
                }
                break;
            }
        }
        body
    }

    /// Adds what the extensions tell of a room that is wanted.
    pub(super) fn extend(
        &self,
        wanted: &Wanted<'_>,
        config: &Extensions,
        News { body: news, told }: &mut News,
        body: &mut ExtensionsBody,
    ) {
        let (room_id, user_id) = (wanted.room_id, self.reader.user_id);
        let is_in = wanted.mine.membership == MembershipState::Join;
        let since = self.told.since(room_id);
        let before = self.told.rooms.get(room_id);
        let covers = |config: &Option<PerRoomConfig>| {
            let covers =
                |config: &PerRoomConfig| config.covers(room_id.as_str(), &wanted.lists, wanted.subscribed);
            config.as_ref().is_some_and(covers)
        };
        let window = |is_known: bool| Window { since: since.filter(|_| is_known), upto: self.upto };

        told.account_data = covers(&config.account_data);
        if let Some(body) = body.account_data.as_mut().filter(|_| told.account_data) {
            let is_known = before.is_some_and(|before| before.account_data);
            let events = self.extras.room_account_data(user_id, room_id, window(is_known));
            if !events.is_empty() {
                body.rooms.insert(room_id.clone(), events);
            }
        }
        told.receipts = is_in && covers(&config.receipts);
        if let Some(body) = body.receipts.as_mut().filter(|_| told.receipts) {
            let is_known = before.is_some_and(|before| before.receipts);
            let content = self.extras.receipts(room_id, user_id, window(is_known));
            let content = match content {
                Some(content) if !is_known => self.about(&content, news.as_ref()),
                content => content,
            };
            body.rooms.extend(content.map(|content| (room_id.clone(), ephemeral("m.receipt", &content))));
        }
        if let Some(body) = body.typing.as_mut().filter(|_| is_in && covers(&config.typing)) {
            let typing = self.extras.typing(room_id, user_id, window(since.is_some()));
            let content = typing.map(|user_ids| json!({ "user_ids": user_ids }));
            body.rooms.extend(content.map(|content| (room_id.clone(), ephemeral("m.typing", &content))));
        }
    }

    /// Of all receipts of a room those for events that the client sees at first, and the user's own.
    fn about(&self, content: &RawValue, news: Option<&RoomBody>) -> Option<Box<RawValue>> {
        let mut receipts: Map<String, Value> = serde_json::from_str(content.get()).ok()?;
        let shown: Vec<String> = news
            .and_then(|news| news.timeline.as_ref())
            .iter()
            .flat_map(|timeline| &timeline.events)
            .map(|event| fields::text(event, "event_id"))
            .collect();
        receipts.retain(|event_id, kinds| {
            if shown.iter().any(|shown| shown == event_id) {
                return true;
            }
            let kinds = kinds.as_object_mut();
            kinds.is_some_and(|kinds| {
                kinds.retain(|_, users| {
                    let users = users.as_object_mut();
                    users.is_some_and(|users| {
                        users.retain(|user_id, _| self.reader.user_id == user_id.as_str());
                        !users.is_empty()
                    })
                });
                !kinds.is_empty()
            })
        });
        (!receipts.is_empty()).then(|| to_raw_value(&receipts).ok()).flatten()
    }
}

fn ephemeral(kind: &str, content: &impl serde::Serialize) -> Box<RawValue> {
    let event = json!({ "type": kind, "content": content });
    to_raw_value(&event).expect("an event is JSON")
}
