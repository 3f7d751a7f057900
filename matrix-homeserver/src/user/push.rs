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
    OwnedUserId, RoomId, UserId,
    push::{
        Action, ConditionalPushRule, NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushCondition,
        PushConditionRoomCtx, Ruleset,
    },
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

/// The rules about one room, as they are to be about another: those that are switched on, less those that the other room
/// has already. The last of a kind comes first, so that they keep their order when each is inserted as the first.
pub(crate) fn rules_for_successor(rules: &Ruleset, before: &RoomId, after: &RoomId) -> Vec<NewPushRule> {
    let about_another = |rule: &ConditionalPushRule| {
        let mut conditions = rule.conditions.clone();
        let mut is_about_room = false;
        for condition in &mut conditions {
            if let PushCondition::EventMatch(matched) = condition
                && matched.key == "room_id"
                && matched.pattern == before.as_str()
            {
                matched.pattern = after.to_string();
                is_about_room = true;
            }
        }
        let rule_id = rule.rule_id.replace(before.as_str(), after.as_str());
        // Of a rule with a name of its own there cannot be two.
        let rule_id = if rule_id == rule.rule_id { after.to_string() } else { rule_id };
        (rule.enabled && !rule.default && is_about_room)
            .then(|| NewConditionalPushRule::new(rule_id, conditions, rule.actions.clone()))
    };
    let overrides = rules.override_.iter().rev().filter_map(about_another).map(NewPushRule::Override);
    let underrides = rules.underride.iter().rev().filter_map(about_another).map(NewPushRule::Underride);
    let room = rules.room.iter().find(|rule| rule.enabled && rule.rule_id == before);
    let room = room.map(|rule| NewSimplePushRule::new(after.to_owned(), rule.actions.clone()));
    let copies = overrides.chain(underrides).chain(room.map(NewPushRule::Room));
    copies.filter(|copy| rules.get(copy.kind(), copy.rule_id()).is_none()).collect()
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
    fn the_rules_about_a_room_are_made_anew_for_the_room_that_replaces_it() {
        let rule = |rule_id: &str, enabled: bool, room: &str| {
            json!({
                "rule_id": rule_id, "default": false, "enabled": enabled, "actions": [],
                "conditions": [
                    {"kind": "event_match", "key": "room_id", "pattern": room},
                    {"kind": "event_match", "key": "type", "pattern": "m.room.message"},
                ],
            })
        };
        let rules: Ruleset = serde_json::from_value(json!({
            "override": [
                rule("!old:hs.test", true, "!old:hs.test"), rule("loud", true, "!old:hs.test"),
                rule("off", false, "!old:hs.test"), rule("!else:hs.test", true, "!else:hs.test"),
            ],
            "room": [{"rule_id": "!old:hs.test", "default": false, "enabled": true, "actions": ["notify"]}],
        }))
        .unwrap();
        let (before, after) = (owned_room_id!("!old:hs.test"), owned_room_id!("!new:hs.test"));
        let copies = rules_for_successor(&rules, &before, &after);
        let found: Vec<_> = copies.iter().map(|copy| (copy.kind().to_string(), copy.rule_id())).collect();
        let (of_override, of_room) = ("override".to_owned(), "room".to_owned());
        assert_eq!(
            found,
            [(of_override.clone(), after.as_str()), (of_override, after.as_str()), (of_room, after.as_str())]
        );
        let NewPushRule::Override(copy) = &copies[0] else { panic!("another kind") };
        let conditions = serde_json::to_value(&copy.conditions).unwrap();
        assert_eq!(conditions[0]["pattern"], after.as_str());
        assert_eq!(conditions[1]["pattern"], "m.room.message");
        let mut whole = rules;
        for copy in copies {
            whole.insert(copy, None, None).unwrap();
        }
        assert!(rules_for_successor(&whole, &before, &after).is_empty(), "it has them already");
    }

    #[test]
    fn every_kind_of_rule_is_present_in_what_clients_get() {
        let rules = rules_json(&Ruleset::server_default(user_id!("@alice:hs.test")));
        for kind in ["override", "content", "room", "sender", "underride"] {
            assert!(rules[kind].is_array(), "{kind}");
        }
    }
}
