//! What Matrix users do other than speaking: coming and going, topics, kicks, power.

use matrix_appservice::bridge::{MatrixChange, MatrixChangeKind, MemberAction, SendError, Sent};
use ruma::events::room::message::RoomMessageEventContent;

use super::super::connection::Connection;
use super::super::ids;
use super::Speech;

impl Connection {
    pub(crate) async fn apply_change(&self, change: MatrixChange) -> Sent {
        let Some((_, target)) = ids::of_portal(&change.portal.id) else { return Sent::unsupported() };
        let target = target.to_owned();
        let private = change.portal.receiver.is_some();
        match &change.kind {
            MatrixChangeKind::Member { user, ghost, action, reason } if !private => {
                let reason = reason.as_deref();
                if user == &change.sender.user_id {
                    self.member_self(&change, &target, *action, reason)
                } else if let Some((_, nick)) = ghost.as_ref().and_then(ids::of_user) {
                    self.member_ghost(&change, &target, nick, *action, reason).await
                } else {
                    self.member_other(user, &target, *action, reason);
                    Sent::done()
                }
            }
            MatrixChangeKind::Topic(topic) if !private => {
                let topic = topic.split_whitespace().collect::<Vec<_>>().join(" ");
                self.command(&change, &target, |name| vec!["TOPIC".to_owned(), name, topic]).await
            }
            MatrixChangeKind::Power { user, ghost, from, to } if !private => {
                let nick = match ghost.as_ref().and_then(ids::of_user) {
                    Some((_, nick)) => self.network.spelling(nick),
                    None => self.network.nick_of(user),
                };
                let Some(nick) = nick else { return Sent::done() };
                self.power_change(&change, &target, &nick, *from, *to).await
            }
            MatrixChangeKind::Typing { typing } => {
                self.typing(&target, *typing);
                Sent::done()
            }
            MatrixChangeKind::Edit { content, .. } => self.edit(&change, content).await,
            _ => Sent::unsupported(),
        }
    }

    /// The user came or went himself.
    fn member_self(
        &self,
        change: &MatrixChange,
        target: &str,
        action: MemberAction,
        reason: Option<&str>,
    ) -> Sent {
        if !self.is_puppet() {
            return Sent::done();
        }
        match action {
            MemberAction::Join if self.network.config.membership_lists.matrix_to_irc.incremental => {
                self.touch(change.sender.display_name.as_deref());
                self.want(target, &self.network.channel_name(target));
            }
            MemberAction::Leave | MemberAction::Kick | MemberAction::Ban => self.unwant(target, reason),
            _ => {}
        }
        Sent::done()
    }

    /// The user did something to somebody on IRC.
    async fn member_ghost(
        &self,
        change: &MatrixChange,
        target: &str,
        nick: &str,
        action: MemberAction,
        reason: Option<&str>,
    ) -> Sent {
        let nick = self.network.spelling(nick).unwrap_or_else(|| nick.to_owned());
        let reason = reason.unwrap_or_default().to_owned();
        let words = move |name: String| -> Vec<String> {
            match action {
                MemberAction::Kick => vec!["KICK".to_owned(), name, nick, reason],
                MemberAction::Ban => vec!["MODE".to_owned(), name, "+b".to_owned(), format!("{nick}!*@*")],
                MemberAction::Unban => vec!["MODE".to_owned(), name, "-b".to_owned(), format!("{nick}!*@*")],
                MemberAction::Invite => vec!["INVITE".to_owned(), nick, name],
                _ => Vec::new(),
            }
        };
        match action {
            MemberAction::Ban => {
                let banned = self.command(change, target, words.clone()).await;
                match banned {
                    Sent::Failed(_) => banned,
                    _ => self.kick_after_ban(change, target, words).await,
                }
            }
            MemberAction::Kick | MemberAction::Unban | MemberAction::Invite => {
                self.command(change, target, words).await
            }
            _ => Sent::done(),
        }
    }

    async fn kick_after_ban(
        &self,
        change: &MatrixChange,
        target: &str,
        words: impl FnOnce(String) -> Vec<String>,
    ) -> Sent {
        let Ok((link, name)) = self.ready_for(&change.portal, target).await else {
            return Sent::PendingEcho(change.key.clone());
        };
        let mask = words(name.clone()).pop().unwrap_or_default();
        link.send_later(&["KICK", &name, mask.trim_end_matches("!*@*"), "banned"]);
        Sent::PendingEcho(change.key.clone())
    }

    /// The user put out another Matrix user: that one's connection leaves.
    fn member_other(&self, user: &ruma::UserId, target: &str, action: MemberAction, reason: Option<&str>) {
        if matches!(action, MemberAction::Kick | MemberAction::Ban | MemberAction::Leave)
            && let Some(other) = self.network.connection(&ids::puppet(&self.network.server, user))
        {
            other.unwant(target, reason);
        }
    }

    async fn power_change(
        &self,
        change: &MatrixChange,
        target: &str,
        nick: &str,
        from: i64,
        to: i64,
    ) -> Sent {
        let map = &self.network.config.mode_power_map;
        let worth = |level: i64| {
            let best = map
                .iter()
                .filter(|(_, worth)| **worth <= level && **worth > 0)
                .max_by_key(|(_, worth)| **worth);
            best.map(|(mode, _)| mode.clone())
        };
        let (had, gets) = (worth(from), worth(to));
        if had == gets {
            return Sent::done();
        }
        let mut modes = String::new();
        for (sign, mode) in [('-', had), ('+', gets)] {
            if let Some(mode) = mode {
                modes.push(sign);
                modes.push_str(&mode);
            }
        }
        let count = modes.len() / 2;
        let nick = nick.to_owned();
        self.command(change, target, move |name| {
            let mut words = vec!["MODE".to_owned(), name, modes];
            words.extend(std::iter::repeat_n(nick, count));
            words
        })
        .await
    }

    /// Sends a command about a channel; a refusal is told to the user, silence after a fence is consent.
    async fn command(
        &self,
        change: &MatrixChange,
        target: &str,
        words: impl FnOnce(String) -> Vec<String>,
    ) -> Sent {
        if !self.is_puppet() {
            return SendError::rejected("you have no connection to IRC").into();
        }
        self.touch(change.sender.display_name.as_deref());
        let (link, name) = match self.ready_for(&change.portal, target).await {
            Ok(ready) => ready,
            Err(error) => return Sent::Failed(error),
        };
        let words = words(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.pending.lock().sent(change.key.clone(), target, []);
        link.send_later(&words);
        self.send_fence();
        Sent::PendingEcho(change.key.clone())
    }

    fn typing(&self, target: &str, typing: bool) {
        let Some(link) = self.link().filter(|link| link.has("message-tags")) else { return };
        if self.network.state.lock().isupport.is_channel(target)
            && self.join_state(target) != Some(super::super::connection::JoinState::In)
        {
            return;
        }
        let name = self.network.channel_name(target);
        link.send_typing(&name, typing);
    }

    /// Networks know no edits: the new text is said again, marked as such.
    async fn edit(&self, change: &MatrixChange, content: &RoomMessageEventContent) -> Sent {
        let speech = Speech {
            key: &change.key,
            portal: &change.portal,
            display_name: change.sender.display_name.as_deref(),
            content,
            reply_to: None,
            edit: true,
        };
        self.speak(speech).await
    }
}
