//! Who comes and who goes.

use std::time::Instant;

use matrix_appservice::bridge::{MemberChange, RemoteEvent};

use super::super::channels::Handover;
use super::super::connection::Connection;
use super::super::seen::Seen;
use super::super::split::Held;

impl Connection {
    pub(super) fn saw_join(&self, seen: &Seen) {
        let name = seen.text(0).into_owned();
        let nick = self.network.fold(&seen.nick);
        let folded = self.network.fold(&name);
        if self.is_me(&nick) {
            self.entered(&folded, &name);
            return;
        }
        let tell = {
            let mut state = self.network.state.lock();
            let own = state.is_own(&nick);
            let Some(channel) =
                state.channels.get_mut(&folded).filter(|known| known.is_listener(&self.login))
            else {
                return;
            };
            channel.joined(&nick, &seen.nick);
            let live = channel.live;
            let back = state.splits.came_back(&nick, &folded);
            live && !own && !back
        };
        if tell && self.network.config.membership_lists.irc_to_matrix.incremental {
            self.tell_members(&folded, vec![self.join_of(&nick, &seen.nick)], seen);
        }
    }

    /// This connection is in a channel now.
    fn entered(&self, folded: &str, name: &str) {
        let mut state = self.network.state.lock();
        let channel = state.channels.entry(folded, name);
        name.clone_into(&mut channel.name);
        // The network lists the names by itself after a join.
        let _ = channel.entered(&self.login, !self.is_puppet());
        drop(state);
        self.join_done(folded);
    }

    pub(super) fn saw_part(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(0));
        let nick = self.network.fold(&seen.nick);
        if self.is_me(&nick) {
            self.left(&folded);
            return;
        }
        if self.forget_member(&folded, &nick) {
            self.tell_members(&folded, vec![self.leave_of(&nick, &seen.text(1))], seen);
        }
    }

    pub(super) fn saw_kick(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(0));
        let (nick, by) = (self.network.fold(&seen.text(1)), self.network.fold(&seen.nick));
        let reason = seen.text(2).into_owned();
        let (is_listener, live, own) = {
            let mut state = self.network.state.lock();
            let own = state.is_own(&nick);
            let Some(channel) = state.channels.get_mut(&folded) else { return };
            let is_listener = channel.is_listener(&self.login);
            if is_listener {
                channel.parted(&nick);
            }
            (is_listener, channel.live, own)
        };
        if is_listener && live && !self.is_me(&nick) {
            let mut change = self.leave_of(&nick, &reason);
            if seen.userhost.is_some() {
                change = change.by(self.network.user(&by));
            }
            let _ = own;
            self.tell_members(&folded, vec![change], seen);
        }
        if self.is_me(&nick) {
            self.left(&folded);
            self.was_kicked(&folded, &seen.nick, &reason);
        }
    }

    /// This connection is no longer in a channel: another listens, if one is there.
    pub(super) fn left(&self, folded: &str) {
        self.not_joined(folded);
        let handover = {
            let mut state = self.network.state.lock();
            state.channels.get_mut(folded).map_or(Handover::None, |channel| channel.left(&self.login))
        };
        self.hand_over(folded, handover);
    }

    pub(super) fn saw_quit(&self, seen: &Seen) {
        let nick = self.network.fold(&seen.nick);
        let reason = seen.text(0).into_owned();
        if self.is_me(&nick) || reason == "Changing host" {
            // The second is how servers show a new host to clients that know no `chghost`.
            return;
        }
        let gone = {
            let mut state = self.network.state.lock();
            let own = state.is_own(&nick);
            let channels = state.channels.of_member(&nick, &self.login);
            for folded in &channels {
                if let Some(channel) = state.channels.get_mut(folded) {
                    channel.parted(&nick);
                }
            }
            if own {
                state.own.saw_leave(&nick);
                return;
            }
            if !channels.is_empty() && state.splits.quit(&nick, channels.clone(), &reason, Instant::now()) {
                drop(state);
                self.network.held.notify_one();
                return;
            }
            channels
        };
        self.tell_quit(&nick, &gone.into_iter().collect::<Vec<_>>(), &reason, Some(seen));
    }

    /// Leaves that were held back are due: nobody came back in time.
    pub(crate) fn tell_held(&self, held: &Held) {
        let channels: Vec<_> = held.channels.iter().cloned().collect();
        self.tell_quit(&held.nick, &channels, &held.reason, None);
    }

    fn tell_quit(&self, nick: &str, channels: &[String], reason: &str, seen: Option<&Seen>) {
        for folded in channels {
            if !self.is_live(folded) || !self.network.config.membership_lists.irc_to_matrix.incremental {
                continue;
            }
            let change = self.leave_of(nick, reason);
            let event = RemoteEvent::members(self.network.channel(folded), vec![change]);
            self.push(match seen {
                Some(seen) => event.at(seen.at()),
                None => event,
            });
        }
    }

    pub(super) fn saw_nick(&self, seen: &Seen) {
        let new_nick = seen.text(0).into_owned();
        let (old, new) = (self.network.fold(&seen.nick), self.network.fold(&new_nick));
        let mine = self.is_me(&old);
        let changed: Vec<String> = {
            let mut state = self.network.state.lock();
            let own = state.is_own(&old);
            if own && (mine || state.own.current(&old).is_some()) {
                state.own.rename(&old, &new, Instant::now());
            }
            let channels = state.channels.of_member(&old, &self.login);
            for folded in &channels {
                if let Some(channel) = state.channels.get_mut(folded) {
                    channel.renamed(&old, &new, &new_nick);
                }
            }
            if own && !mine && !channels.is_empty() {
                state.own.saw_leave(&old);
            }
            let live = |folded: &String| state.channels.get(folded).is_some_and(|channel| channel.live);
            if own { Vec::new() } else { channels.into_iter().filter(live).collect() }
        };
        if mine {
            self.renamed(&new_nick);
        }
        if old == new {
            // Another way to write the same nick.
            let profile =
                matrix_appservice::bridge::RemoteEventKind::Profile(self.network.user_info(&new_nick));
            if let Some(folded) = changed.first() {
                self.push(
                    RemoteEvent::new(self.network.channel(folded), profile).by(self.network.user(&new)),
                );
            }
            return;
        }
        for folded in changed {
            let leave = self.leave_of(&old, &format!("is now known as {new_nick}"));
            self.tell_members(&folded, vec![leave, self.join_of(&new, &new_nick)], seen);
        }
    }

    /// Somebody invites this connection's user.
    pub(super) fn saw_invite(&self, seen: &Seen) {
        let Some(user) = self.user.clone().filter(|_| self.is_me(&self.network.fold(&seen.text(0)))) else {
            return;
        };
        let channel = seen.text(1).into_owned();
        let (nick, network) = (seen.nick.clone(), self.network.clone());
        self.network.cx.tasks().spawn(async move {
            let server = network.config.display_name(&network.server);
            let text =
                format!("{nick} invites you to {channel} on {server}. `join {channel}` takes you there.");
            network.cx.tell(&user, &text).await;
        });
    }

    /// Strikes somebody off a channel's list. Whether Matrix is to be told.
    fn forget_member(&self, folded: &str, nick: &str) -> bool {
        let mut state = self.network.state.lock();
        let own = state.is_own(nick);
        let Some(channel) = state.channels.get_mut(folded).filter(|known| known.is_listener(&self.login))
        else {
            return false;
        };
        channel.parted(nick);
        channel.live && !own && self.network.config.membership_lists.irc_to_matrix.incremental
    }

    pub(super) fn tell_members(&self, folded: &str, changes: Vec<MemberChange>, seen: &Seen) {
        self.push(RemoteEvent::members(self.network.channel(folded), changes).at(seen.at()));
    }

    pub(super) fn join_of(&self, folded: &str, nick: &str) -> MemberChange {
        MemberChange::join(self.network.user(folded)).with_info(self.network.user_info(nick))
    }

    fn leave_of(&self, folded: &str, reason: &str) -> MemberChange {
        let leave = MemberChange::leave(self.network.user(folded));
        let (reason, _) = crate::format::from_irc(reason.as_bytes());
        if reason.is_empty() { leave } else { leave.because(reason) }
    }

    fn is_live(&self, folded: &str) -> bool {
        self.network.state.lock().channels.get(folded).is_some_and(|channel| channel.live)
    }
}
