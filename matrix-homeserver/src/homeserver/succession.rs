//! What users take along into the room that replaces another
//! ([room upgrades](https://spec.matrix.org/v1.19/client-server-api/#room-upgrades)).

use ruma::{OwnedRoomId, RoomId, UserId, events::StateEventType};
use serde_json::{Value, json, value::to_raw_value};

use super::Services;
use crate::{
    api::ApiResult,
    store::StoreError,
    user::{Scope, rules_for_successor},
};

impl Services {
    /// Gives a room that a user has just joined what the user has said about the room that it replaces: tags, push
    /// rules, and its place among direct chats.
    pub(crate) async fn take_along(&self, user_id: &UserId, room_id: &RoomId) -> ApiResult<()> {
        let Some(before) = self.predecessor(room_id)? else { return Ok(()) };
        if !self.rooms.of_user(user_id)?.contains_key(&before) {
            return Ok(());
        }
        let tags = self.users.account_data(user_id, Scope::Room(&before), "m.tag")?;
        let tagged = self.users.account_data(user_id, Scope::Room(room_id), "m.tag")?.is_some();
        if let Some(tags) = tags.filter(|_| !tagged) {
            self.set_account_data(user_id, Scope::Room(room_id), "m.tag", &tags).await?;
        }
        self.take_push_rules_along(user_id, &before, room_id).await?;
        self.take_direct_along(user_id, &before, room_id).await
    }

    async fn take_push_rules_along(
        &self,
        user_id: &UserId,
        before: &RoomId,
        room_id: &RoomId,
    ) -> ApiResult<()> {
        if rules_for_successor(&*self.users.push_rules(user_id)?, before, room_id).is_empty() {
            return Ok(());
        }
        let changed = self.users.change_push_rules(user_id, |rules| {
            for rule in rules_for_successor(rules, before, room_id) {
                // What the user could say of one room can be said of the other.
                let _ = rules.insert(rule, None, None);
            }
            Ok::<_, StoreError>(())
        });
        changed.await?;
        self.rooms.wakers().wake(user_id);
        Ok(())
    }

    async fn take_direct_along(&self, user_id: &UserId, before: &RoomId, room_id: &RoomId) -> ApiResult<()> {
        let direct = self.users.account_data(user_id, Scope::Global, "m.direct")?;
        let direct = direct.and_then(|direct| serde_json::from_str::<Value>(direct.get()).ok());
        let Some(mut direct) = direct else { return Ok(()) };
        let mut changed = false;
        for rooms in direct.as_object_mut().into_iter().flat_map(|users| users.values_mut()) {
            let Some(rooms) = rooms.as_array_mut() else { continue };
            if rooms.contains(&json!(before)) && !rooms.contains(&json!(room_id)) {
                rooms.push(json!(room_id));
                changed = true;
            }
        }
        if changed {
            let direct = to_raw_value(&direct).expect("a value is JSON");
            self.set_account_data(user_id, Scope::Global, "m.direct", &direct).await?;
        }
        Ok(())
    }

    /// The room that a room replaces, which has to say so too.
    fn predecessor(&self, room_id: &RoomId) -> ApiResult<Option<OwnedRoomId>> {
        let read = |room_id: &RoomId, kind: StateEventType| -> ApiResult<Value> {
            let content = self.state_content(room_id, &kind, "")?;
            Ok(content.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default())
        };
        let create = read(room_id, StateEventType::RoomCreate)?;
        let Some(before) = create["predecessor"]["room_id"].as_str() else { return Ok(None) };
        let Ok(before) = OwnedRoomId::try_from(before) else { return Ok(None) };
        let tombstone = read(&before, StateEventType::RoomTombstone)?;
        Ok((tombstone["replacement_room"] == room_id.as_str()).then_some(before))
    }
}
