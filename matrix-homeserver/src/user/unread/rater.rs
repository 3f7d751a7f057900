//! What the push rules of a user say of the events of a room.

use std::sync::Arc;

use ruma::{
    RoomId, UserId,
    events::TimelineEventType,
    push::{Action, ConditionalPushRule, PredefinedOverrideRuleId, PushConditionRoomCtx, Ruleset},
};

use crate::{
    event::{ClientFormat, Unsigned, client_event},
    room::StoredEvent,
    user::push::actions_for,
};

/// The rules of one user, for one room.
pub(super) struct Rater {
    rules: Arc<Ruleset>,
    context: PushConditionRoomCtx,
    members_are_silent: bool,
}

impl Rater {
    pub(super) fn new(rules: Arc<Ruleset>, context: PushConditionRoomCtx) -> Self {
        Self { members_are_silent: members_are_silent(&rules), rules, context }
    }

    pub(super) fn room_id(&self) -> &RoomId {
        &self.context.room_id
    }

    /// What is to be done about an event. Of what is not to be notified of, this says no more than that.
    pub(super) fn rate(&self, event: &StoredEvent) -> &[Action] {
        if self.members_are_silent && is_member_event_of_another(event, &self.context.user_id) {
            return &[];
        }
        let event = client_event(&event.pdu, &Unsigned::default(), ClientFormat::Full);
        actions_for(&self.rules, &event, &self.context)
    }
}

fn is_member_event_of_another(event: &StoredEvent, user_id: &UserId) -> bool {
    event.pdu.event_type == TimelineEventType::RoomMember
        && event.pdu.state_key.as_ref().is_some_and(|state_key| state_key != user_id.as_str())
}

/// Whether nobody's coming and going notifies, as long as it is not the user's own. That is what the rules say which
/// everybody begins with, and in a large room most of what happens is just that: to know it spares asking every rule
/// about every event.
fn members_are_silent(rules: &Ruleset) -> bool {
    let silent = |actions: &[Action]| !actions.iter().any(|a| a.should_notify() || a.is_highlight());
    // The rules before it have their say first, but for the one about the user's own invitations.
    let invited = PredefinedOverrideRuleId::InviteForMe;
    let mut asked = rules.override_.iter().filter(|rule| rule.enabled && rule.rule_id != invited.as_ref());
    let decides = |rule: &ConditionalPushRule| rule.rule_id == PredefinedOverrideRuleId::MemberEvent.as_ref();
    let first = asked.find(|rule| decides(rule) || !silent(&rule.actions));
    first.is_some_and(|rule| decides(rule) && silent(&rule.actions))
}

#[cfg(test)]
mod tests {
    use ruma::{
        push::{ConditionalPushRuleInit, PushCondition},
        user_id,
    };

    use super::*;

    #[test]
    fn the_rules_that_everybody_begins_with_keep_silent_of_members() {
        assert!(members_are_silent(&Ruleset::server_default(user_id!("@alice:hs.test"))));
    }

    #[test]
    fn a_rule_of_the_user_before_them_may_speak_of_members() {
        for (actions, silent) in [(vec![Action::Notify], false), (Vec::new(), true)] {
            let mut rules = Ruleset::server_default(user_id!("@alice:hs.test"));
            let rule = ConditionalPushRuleInit {
                actions,
                default: false,
                enabled: true,
                rule_id: "mine".to_owned(),
                conditions: Vec::<PushCondition>::new(),
            };
            rules.override_.shift_insert(0, rule.into());
            assert_eq!(members_are_silent(&rules), silent);
        }
    }

    #[test]
    fn without_the_rule_about_members_the_others_are_asked() {
        let mut rules = Ruleset::server_default(user_id!("@alice:hs.test"));
        rules.override_.retain(|rule| rule.rule_id != ".m.rule.member_event");
        assert!(!members_are_silent(&rules));
    }
}
