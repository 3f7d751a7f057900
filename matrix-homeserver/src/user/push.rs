//! Push rules ([push rules]).
//!
//! The rules are the global account data `m.push_rules`, so that `/sync` tells of them as of any other. Users who
//! never changed them have the rules of the specification, without a row.
//!
//! [push rules]: https://spec.matrix.org/v1.19/client-server-api/#push-rules

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::{Mutex, RwLock};
use ruma::{
    OwnedUserId, UserId,
    push::{Action, PushConditionRoomCtx, Ruleset},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{Scope, Users};
use crate::store::StoreError;

/// The kind of account data that holds the rules.
pub(crate) const PUSH_RULES: &str = "m.push_rules";

/// Of how many users the rules are kept in memory. They take some kilobytes each.
const KEPT: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");

/// The rules of those who were asked for last, and the one who changes rules.
#[derive(Debug)]
pub(super) struct PushRules {
    known: Mutex<LruCache<OwnedUserId, Arc<Ruleset>>>,
    /// How often the rules of a user were changed since the server started.
    changes: RwLock<HashMap<OwnedUserId, u64>>,
    changing: tokio::sync::Mutex<()>,
}

impl Default for PushRules {
    fn default() -> Self {
        // Not with its capacity: the table would be allocated at once.
        let mut known = LruCache::unbounded();
        known.resize(KEPT);
        Self { known: Mutex::new(known), changes: RwLock::default(), changing: tokio::sync::Mutex::default() }
    }
}

#[derive(Deserialize)]
struct StoredRules {
    global: Ruleset,
}

impl Users {
    /// The push rules of a user.
    pub(crate) fn push_rules(&self, user_id: &UserId) -> Result<Arc<Ruleset>, StoreError> {
        if let Some(rules) = self.push.known.lock().get(user_id) {
            return Ok(rules.clone());
        }
        let revision = self.push_rules_revision(user_id);
        let mut rules = Ruleset::server_default(user_id);
        if let Some(content) = self.account_data(user_id, Scope::Global, PUSH_RULES)? {
            let stored: StoredRules = serde_json::from_str(content.get())
                .map_err(|_| StoreError::damaged("the push rules of a user"))?;
            let defaults = std::mem::replace(&mut rules, stored.global);
            // Rules that the specification has added since they were stored.
            rules.update_with_server_default(defaults);
        }
        let rules = Arc::new(rules);
        let mut known = self.push.known.lock();
        // A change that was made meanwhile is not undone.
        if self.push_rules_revision(user_id) == revision {
            known.put(user_id.to_owned(), rules.clone());
        }
        Ok(rules)
    }

    /// Becomes another number when the rules of a user change.
    pub(crate) fn push_rules_revision(&self, user_id: &UserId) -> u64 {
        self.push.changes.read().get(user_id).copied().unwrap_or_default()
    }

    /// Changes the push rules of a user, unless the change is refused.
    pub(crate) async fn change_push_rules<E: From<StoreError>>(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Ruleset) -> Result<(), E>,
    ) -> Result<(), E> {
        let _one = self.push.changing.lock().await;
        let mut rules = Ruleset::clone(&*self.push_rules(user_id)?);
        change(&mut rules)?;
        self.set_account_data(user_id, Scope::Global, PUSH_RULES, &rules_content(&rules)).await?;
        let mut known = self.push.known.lock();
        *self.push.changes.write().entry(user_id.to_owned()).or_default() += 1;
        known.put(user_id.to_owned(), Arc::new(rules));
        Ok(())
    }
}

/// The content of `m.push_rules`.
pub(crate) fn rules_content(rules: &Ruleset) -> Box<RawValue> {
    to_raw_value(&json!({"global": rules_json(rules)})).expect("a value is JSON")
}

/// A ruleset in which every kind is present, as clients expect it.
pub(crate) fn rules_json(rules: &Ruleset) -> Value {
    let mut rules = serde_json::to_value(rules).unwrap_or_else(|_| json!({}));
    for kind in ["override", "content", "room", "sender", "underride"] {
        if rules.get(kind).is_none() {
            rules[kind] = json!([]);
        }
    }
    rules
}

/// What is to be done about an event, by a user's rules. Nothing, if no rule matches.
pub(crate) fn actions_for<'r>(
    rules: &'r Ruleset,
    event: &RawValue,
    context: &PushConditionRoomCtx,
) -> &'r [Action] {
    use futures_util::FutureExt;
    let event = Raw::<Value>::from_json(event.to_owned());
    // A future only for conditions about subscriptions, which this server does not evaluate.
    rules.get_actions(&event, context).now_or_never().unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id, user_id};

    use super::*;

    fn outcome(rules: &Ruleset, members: u32, event: &Value) -> (bool, bool) {
        let context = PushConditionRoomCtx::new(
            owned_room_id!("!room:hs.test"),
            members.into(),
            owned_user_id!("@alice:hs.test"),
            "Alice".to_owned(),
        );
        let actions = actions_for(rules, &to_raw_value(event).unwrap(), &context);
        (actions.iter().any(Action::should_notify), actions.iter().any(Action::is_highlight))
    }

    fn message(sender: &str, content: &Value) -> Value {
        json!({"type": "m.room.message", "sender": sender, "room_id": "!room:hs.test", "content": content})
    }

    #[test]
    fn the_default_rules_tell_apart_what_notifies_and_what_is_loud() {
        let rules = Ruleset::server_default(user_id!("@alice:hs.test"));
        let bob = "@bob:hs.test";
        let table = [
            (message(bob, &json!({"msgtype": "m.text", "body": "hello"})), (true, false)),
            (message(bob, &json!({"msgtype": "m.notice", "body": "hello"})), (false, false)),
            (message("@alice:hs.test", &json!({"msgtype": "m.text", "body": "hello"})), (false, false)),
            (
                message(bob, &json!({"body": "x", "m.mentions": {"user_ids": ["@alice:hs.test"]}})),
                (true, true),
            ),
            (message(bob, &json!({"body": "x", "m.mentions": {"user_ids": [bob]}})), (true, false)),
            // Without power levels nobody may notify the whole room.
            (message(bob, &json!({"body": "x", "m.mentions": {"room": true}})), (true, false)),
            (
                json!({"type": "m.reaction", "sender": bob, "content": {"m.relates_to": {"key": "+"}}}),
                (false, false),
            ),
            (json!({"type": "m.room.topic", "state_key": "", "sender": bob, "content": {}}), (false, false)),
            (
                json!({"type": "m.room.member", "state_key": "@alice:hs.test", "sender": bob,
                    "content": {"membership": "invite"}}),
                (true, false),
            ),
            (json!({"type": "m.room.encrypted", "sender": bob, "content": {}}), (true, false)),
            (
                message(
                    bob,
                    &json!({"body": "* x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$a"}}),
                ),
                (false, false),
            ),
        ];
        for (event, expected) in table {
            assert_eq!(outcome(&rules, 10, &event), expected, "{event}");
        }
    }

    #[test]
    fn a_ruleset_of_any_shape_is_evaluated_without_a_panic() {
        let strange: Ruleset = serde_json::from_value(json!({
            "override": [{"rule_id": "x", "default": false, "enabled": true, "actions": ["notify"], "conditions": [
                {"kind": "event_match", "key": "content.body", "pattern": "*[?\\"},
                {"kind": "room_member_count", "is": "==2"},
                {"kind": "unheard_of", "data": 7},
            ]}],
            "content": [{"rule_id": "y", "default": false, "enabled": true, "actions": [], "pattern": "("}],
        }))
        .unwrap();
        for body in [json!(null), json!(7), json!("a [? b"), json!({"deep": [1, {"x": "y"}]})] {
            let _ = outcome(&strange, 2, &message("@bob:hs.test", &json!({ "body": body })));
        }
    }

    #[test]
    fn every_kind_of_rule_is_present_in_what_clients_get() {
        let rules = rules_json(&Ruleset::server_default(user_id!("@alice:hs.test")));
        for kind in ["override", "content", "room", "sender", "underride"] {
            assert!(rules[kind].is_array(), "{kind}");
        }
    }
}
