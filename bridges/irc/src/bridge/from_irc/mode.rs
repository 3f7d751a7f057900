//! Modes: ranks become power levels, moderation becomes the level that speaking takes.

use std::collections::BTreeSet;

use bytes::Bytes;
use matrix_appservice::bridge::{ChatInfo, MemberChange, MembershipState, RemoteEvent};

use super::super::connection::Connection;
use super::super::seen::Seen;
use crate::irc::message::decode;
use crate::irc::mode::{ModeChange, parse_channel_modes};

impl Connection {
    pub(super) fn saw_mode(&self, seen: &Seen) {
        let target = seen.text(0).into_owned();
        if self.is_channel(&target) {
            self.change_modes(&target, &seen.params[1..], Some(seen));
        }
    }

    /// The modes of a channel, as `MODE #channel` answers.
    pub(super) fn saw_modes(&self, seen: &Seen) {
        let target = seen.text(1).into_owned();
        self.change_modes(&target, seen.params.get(2..).unwrap_or_default(), None);
    }

    fn change_modes(&self, name: &str, words: &[Bytes], seen: Option<&Seen>) {
        let folded = self.network.fold(name);
        let mut changes = Vec::new();
        let mut moderated = None;
        {
            let mut state = self.network.state.lock();
            let isupport = state.isupport.clone();
            let words: Vec<_> = words.iter().map(|word| decode(word).into_owned()).collect();
            let parsed: Vec<ModeChange> = parse_channel_modes(&isupport, &words);
            let fold = |name: &str| isupport.casemapping().fold(name);
            let Some(channel) =
                state.channels.get_mut(&folded).filter(|known| known.is_listener(&self.login))
            else {
                return;
            };
            for change in parsed {
                match (change.mode, &change.argument) {
                    ('m', _) => {
                        channel.moderated = change.add;
                        moderated = Some(change.add);
                    }
                    (mode, Some(nick)) if isupport.is_rank(mode) => {
                        let nick = fold(nick);
                        let ranks = match channel.ranked(&nick, mode, change.add) {
                            Some(member) => member.ranks.clone(),
                            None => continue,
                        };
                        let change = MemberChange::new(self.network.user(&nick), MembershipState::Unchanged);
                        changes.push(change.with_power(self.power(&ranks)));
                    }
                    _ => {}
                }
            }
            if !channel.live {
                return;
            }
        }
        let portal = self.network.channel(&folded);
        let at = |event: RemoteEvent| match seen {
            Some(seen) => event.at(seen.at()),
            None => event,
        };
        if !changes.is_empty() {
            self.push(at(RemoteEvent::members(portal.clone(), changes)));
        }
        if let Some(moderated) = moderated {
            let mut info = ChatInfo::default();
            info.moderated = Some(moderated);
            self.push(at(RemoteEvent::chat(portal, info)));
        }
    }

    /// The power level that ranks are worth: that of the highest.
    pub(crate) fn power(&self, ranks: &BTreeSet<char>) -> i64 {
        let map = &self.network.config.mode_power_map;
        ranks.iter().filter_map(|mode| map.get(mode.encode_utf8(&mut [0; 4]))).copied().max().unwrap_or(0)
    }
}
