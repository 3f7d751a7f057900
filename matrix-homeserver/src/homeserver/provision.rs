//! Users and rooms that are made from the answers of application services to queries, as an early draft has it: the
//! answer to the query of a user holds the profile, that to the query of an alias the room's state and its last
//! messages. Today application services make them by requests of their own.
//!
//! Such a room has a fixed ID, the alias with `!` in the place of `#`, so that an application service knows which room
//! is which without being told. Room versions from 12 on make the ID from the create event, so these rooms have
//! version 11. What the room does not allow is left out, and logged.
//!
//! A room is made in several steps, all of which can be taken twice: when the server dies in between, the next query
//! for the alias goes on where the last one ended.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, RoomVersionId, UInt, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::Services;
use crate::{
    api::{ApiError, ApiResult},
    appservice::{Appservice, Found},
    room::{Append, CreateRoom, JsonObject, MembershipAction, MembershipChange, Preset, RoomError, TxnKey},
    user::{NewAccount, UserError},
};

/// The power of who sets state while a room is being made.
const FURNISHING: i64 = 50;

/// The answer to the query of an alias.
#[derive(Debug, Deserialize)]
struct RoomAnswer {
    /// The last messages, oldest first.
    #[serde(default)]
    events: Vec<Given>,
    #[serde(default)]
    state: Vec<Given>,
}

/// An event as the draft gives it.
#[derive(Debug, Clone, Deserialize)]
struct Given {
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    #[serde(alias = "sender")]
    user_id: Option<OwnedUserId>,
    #[serde(default)]
    state_key: String,
    content: JsonObject,
    origin_server_ts: Option<UInt>,
}

/// A room that is being made.
struct Making<'a> {
    appservice: &'a Appservice,
    room_id: OwnedRoomId,
    alias: &'a RoomAliasId,
    /// When state was set of which that is not said.
    begun: Option<MilliSecondsSinceUnixEpoch>,
}

impl Services {
    /// Makes a user from the answer to a query.
    pub(super) async fn provision_user(&self, user_id: &UserId, found: &Found) -> ApiResult<()> {
        let profile = &found.body["profile"];
        let name = ["display_name", "displayname"].iter().find_map(|name| profile[*name].as_str());
        let account = NewAccount {
            appservice: Some(found.appservice.id().to_owned()),
            displayname: name.map(ToOwned::to_owned),
            ..NewAccount::default()
        };
        match self.users.register(user_id, account, None).await {
            Ok(_) | Err(UserError::InUse) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a room from the answer to a query; not if the answer does not hold one.
    pub(super) async fn provision_room(&self, alias: &RoomAliasId, found: &Found) -> ApiResult<()> {
        if found.body.get("state").is_none() && found.body.get("events").is_none() {
            return Ok(());
        }
        let appservice = &*found.appservice;
        let answer: RoomAnswer = match serde_json::from_value(found.body.clone()) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(appservice = appservice.id(), %alias, %error, "a room in an answer is malformed");
                return Ok(());
            }
        };
        let Ok(room_id) = RoomId::parse(format!("!{}", &alias.as_str()[1..])) else { return Ok(()) };
        if self.appservices.room_is_taken(&room_id, Some(appservice)) {
            return Err(ApiError::exclusive("the room ID belongs to another application service"));
        }
        // Whoever speaks in the room is made before anything is locked: the application service is asked again for that.
        for user_id in answer.events.iter().chain(&answer.state).filter_map(|event| event.user_id.as_deref())
        {
            if self.is_local(user_id) && appservice.may_act_as(user_id) {
                self.user_exists_or_is_made(user_id).await?;
            }
        }
        // One at a time, so that whoever comes later finds the room complete.
        let _one = self.provisioning.lock().await;
        let Some(reservation) = self.directory.reserve(alias) else { return Ok(()) };
        let first = answer.events.first().and_then(|event| event.origin_server_ts);
        let begun = first.map(MilliSecondsSinceUnixEpoch);
        let making = Making { appservice, room_id, alias, begun };
        self.make(&making, answer).await?;
        self.directory.point(reservation, &making.room_id, appservice.sender()).await?;
        self.appservices.room_was_renamed(&making.room_id);
        Ok(())
    }

    async fn make(&self, making: &Making<'_>, answer: RoomAnswer) -> ApiResult<()> {
        let sender_of =
            |event: &Given| event.user_id.clone().unwrap_or_else(|| making.appservice.sender().to_owned());
        let mut furnishers: Vec<OwnedUserId> = answer.state.iter().map(sender_of).collect();
        furnishers.sort();
        furnishers.dedup();
        if self.rooms.get(&making.room_id)?.is_none() {
            self.create_provisioned(making, &furnishers).await?;
        }
        let mut senders: Vec<OwnedUserId> = answer.events.iter().map(sender_of).collect();
        senders.extend(furnishers.iter().cloned());
        senders.sort();
        senders.dedup();
        let mut joined = Vec::new();
        for user_id in senders {
            if self.let_in(making, &user_id).await? {
                joined.push(user_id);
            } else {
                tracing::warn!(alias = %making.alias, %user_id, "a sender of a room is not a user of its application service");
            }
        }
        let (last, first): (Vec<Given>, Vec<Given>) = answer
            .state
            .into_iter()
            .partition(|event| event.event_type == TimelineEventType::RoomPowerLevels);
        for event in first.into_iter().filter(|event| joined.contains(&sender_of(event))) {
            self.furnish(making, &sender_of(&event), event).await?;
        }
        let levels = match last.into_iter().next_back() {
            Some(levels) => levels,
            None => self.settled_levels(making, &furnishers)?,
        };
        self.furnish(making, making.appservice.sender(), levels).await?;
        for (number, event) in answer.events.into_iter().enumerate() {
            let sender = sender_of(&event);
            if joined.contains(&sender) {
                let txn = TxnKey {
                    user_id: sender.clone(),
                    device_id: None,
                    endpoint: format!("provision/{}", making.alias),
                    txn_id: number.to_string(),
                };
                let ts = event.origin_server_ts.map(MilliSecondsSinceUnixEpoch);
                self.say(making, &sender, event.event_type, None, &event.content, ts, Some(txn)).await?;
            }
        }
        Ok(())
    }

    async fn create_provisioned(&self, making: &Making<'_>, furnishers: &[OwnedUserId]) -> ApiResult<()> {
        let creator = making.appservice.sender().to_owned();
        let mut users = JsonObject::new();
        for user_id in furnishers {
            users.insert(user_id.to_string(), FURNISHING.into());
        }
        users.insert(creator.to_string(), 100.into());
        let mut levels = JsonObject::new();
        levels.insert("users".to_owned(), users.into());
        self.rooms
            .create(CreateRoom {
                creator_profile: self.member_content(&creator)?,
                creator,
                version: Some(RoomVersionId::V11),
                preset: Preset::PublicChat,
                creation_content: JsonObject::new(),
                power_level_content_override: levels,
                initial_state: Vec::new(),
                name: None,
                topic: None,
                alias: Some(making.alias.to_owned()),
                invite: Vec::new(),
                is_direct: false,
                room_id: Some(making.room_id.clone()),
                txn: None,
                origin_server_ts: making.begun,
            })
            .await?;
        Ok(())
    }

    /// Lets somebody into the room who speaks in it; false if it is nobody of the application service.
    async fn let_in(&self, making: &Making<'_>, user_id: &UserId) -> ApiResult<bool> {
        if !self.is_local(user_id) || !making.appservice.may_act_as(user_id) || !self.users.exists(user_id)? {
            return Ok(false);
        }
        if self.rooms.is_joined(&making.room_id, user_id)? {
            return Ok(true);
        }
        let change = |sender: &UserId, action| {
            Ok::<_, ApiError>(MembershipChange {
                room_id: making.room_id.clone(),
                sender: sender.to_owned(),
                target: user_id.to_owned(),
                action,
                content: self.member_content(user_id)?,
                origin_server_ts: making.begun,
                txn: None,
            })
        };
        // The rule may have been set already by an attempt that did not end well.
        if self.rooms.membership(change(user_id, MembershipAction::Join)?).await.is_ok() {
            return Ok(true);
        }
        let invited =
            self.rooms.membership(change(making.appservice.sender(), MembershipAction::Invite)?).await;
        if invited.is_err() {
            return Ok(false);
        }
        Ok(self.rooms.membership(change(user_id, MembershipAction::Join)?).await.is_ok())
    }

    /// Sets state, as the one who is said to have set it, or else as the application service's own user.
    async fn furnish(&self, making: &Making<'_>, sender: &UserId, event: Given) -> ApiResult<()> {
        if matches!(event.event_type, TimelineEventType::RoomCreate | TimelineEventType::RoomMember) {
            return Ok(());
        }
        let ts = event.origin_server_ts.map(MilliSecondsSinceUnixEpoch).or(making.begun);
        for sender in [sender, making.appservice.sender()] {
            let key = Some(event.state_key.clone());
            let kind = event.event_type.clone();
            if self.say(making, sender, kind, key, &event.content, ts, None).await? {
                break;
            }
        }
        Ok(())
    }

    /// Sends an event; false if the room does not allow it.
    #[expect(clippy::too_many_arguments, reason = "the parts of one event, and where it goes")]
    async fn say(
        &self,
        making: &Making<'_>,
        sender: &UserId,
        event_type: TimelineEventType,
        state_key: Option<String>,
        content: &JsonObject,
        origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
        txn: Option<TxnKey>,
    ) -> ApiResult<bool> {
        let content: Box<RawValue> =
            serde_json::value::to_raw_value(content).map_err(|error| ApiError::internal(&error))?;
        let append = Append {
            room_id: making.room_id.clone(),
            sender: sender.to_owned(),
            event_type,
            state_key,
            content,
            origin_server_ts,
            redacts: None,
            txn,
        };
        match self.rooms.append(append).await {
            Ok(_) => Ok(true),
            Err(error @ (RoomError::Store(_) | RoomError::Internal(_))) => Err(error.into()),
            Err(error) => {
                tracing::warn!(room_id = %making.room_id, %sender, %error, "an event of a room in an answer was left out");
                Ok(false)
            }
        }
    }

    /// The power levels of a room that is complete: those who set its state have no more power than others.
    fn settled_levels(&self, making: &Making<'_>, furnishers: &[OwnedUserId]) -> ApiResult<Given> {
        let levels = self.state_content(&making.room_id, &StateEventType::RoomPowerLevels, "")?;
        let mut levels: Value = levels
            .and_then(|levels| serde_json::from_str(levels.get()).ok())
            .unwrap_or_else(|| json!({"users": {}}));
        if let Some(users) = levels["users"].as_object_mut() {
            for user_id in furnishers.iter().filter(|user_id| **user_id != making.appservice.sender()) {
                users.remove(user_id.as_str());
            }
        }
        Ok(Given {
            event_type: TimelineEventType::RoomPowerLevels,
            user_id: None,
            state_key: String::new(),
            content: levels.as_object().cloned().unwrap_or_default(),
            origin_server_ts: None,
        })
    }
}
