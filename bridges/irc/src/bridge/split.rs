//! Holding leaves back while a network splits and heals.
//!
//! A split shows as many quits at once, with the names of two servers as reason. Nobody has left for good then:
//! most are back in minutes. Their leaves are held until a time that does not depend on anybody's return.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::config::membership::QuitDebounceConfig;

/// The leaves held back on one network.
#[derive(Debug)]
pub(crate) struct SplitWatch {
    config: QuitDebounceConfig,
    recent: VecDeque<Instant>,
    held: HashMap<String, Held>,
}

/// Somebody whose leave is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The nick, folded.
    pub(crate) nick: String,
    /// The channels that he has not come back to, folded.
    pub(crate) channels: BTreeSet<String>,
    /// Why he left.
    pub(crate) reason: String,
    until: Instant,
}

impl SplitWatch {
    pub(crate) fn new(config: QuitDebounceConfig) -> Self {
        Self { config, recent: VecDeque::new(), held: HashMap::new() }
    }

    /// Somebody quit. Whether his leaves are held; if not, they are to be told now.
    pub(crate) fn quit(
        &mut self,
        nick: &str,
        channels: BTreeSet<String>,
        reason: &str,
        now: Instant,
    ) -> bool {
        if !self.config.enabled {
            return false;
        }
        while self.recent.front().is_some_and(|quit| now.duration_since(*quit) > Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let many = self.recent.len() > usize::try_from(self.config.quits_per_second).unwrap_or(usize::MAX);
        if !many && !names_two_servers(reason) {
            return false;
        }
        let until = now + Duration::from_millis(self.config.delay_ms.into());
        let held = Held { nick: nick.to_owned(), channels, reason: reason.to_owned(), until };
        self.held.insert(nick.to_owned(), held);
        true
    }

    /// Somebody joined a channel. Whether he had never left as far as Matrix knows.
    pub(crate) fn came_back(&mut self, nick: &str, channel: &str) -> bool {
        let Some(held) = self.held.get_mut(nick) else { return false };
        let back = held.channels.remove(channel);
        if held.channels.is_empty() {
            self.held.remove(nick);
        }
        back
    }

    /// The leaves that are to be told now, because nobody came back in time.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Held> {
        let due: Vec<Held> = self.held.values().filter(|held| held.until <= now).cloned().collect();
        for held in &due {
            self.held.remove(&held.nick);
        }
        due
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// The nicks that are held in a channel: they count as present.
    pub(crate) fn held_in<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a str> {
        self.held.values().filter(move |held| held.channels.contains(channel)).map(|held| held.nick.as_str())
    }
}

/// Whether a reason is what servers give for a split: two host names. What users say has `Quit: ` before it.
fn names_two_servers(reason: &str) -> bool {
    let is_host = |word: &str| {
        word.contains('.')
            && !word.starts_with('.')
            && !word.ends_with('.')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b))
    };
    match reason.split(' ').collect::<Vec<_>>()[..] {
        [one, other] => is_host(one) && is_host(other) && one != other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> SplitWatch {
        SplitWatch::new(QuitDebounceConfig::default())
    }

    fn in_channel() -> BTreeSet<String> {
        ["#c".to_owned()].into()
    }

    #[test]
    fn reasons_of_servers_are_told_from_those_of_users() {
        for (reason, split) in [
            ("hub.example.net leaf.example.net", true),
            ("*.net *.split", true),
            ("Quit: hub.example.net leaf.example.net", false),
            ("Ping timeout: 240 seconds", false),
            ("see you", false),
            ("bye. later.", false),
            ("", false),
            ("a.b a.b", false),
        ] {
            assert_eq!(names_two_servers(reason), split, "{reason}");
        }
    }

    #[test]
    fn who_is_back_in_time_never_left_and_who_is_not_leaves_by_the_clock() {
        let (mut watch, now) = (watch(), Instant::now());
        assert!(watch.quit("alice", in_channel(), "a.net b.net", now));
        assert!(watch.quit("bob", in_channel(), "a.net b.net", now));
        assert!(watch.came_back("alice", "#c"));
        assert!(!watch.came_back("alice", "#c"), "only once");
        assert_eq!(watch.held_in("#c").collect::<Vec<_>>(), ["bob"]);
        assert_eq!(watch.due(now), []);
        let due = watch.due(watch.next().expect("bob is held"));
        assert_eq!(due.iter().map(|held| held.nick.as_str()).collect::<Vec<_>>(), ["bob"]);
        assert_eq!(watch.next(), None);
    }

    #[test]
    fn many_quits_in_a_second_are_a_split_whatever_their_reason() {
        let (mut watch, now) = (watch(), Instant::now());
        let held = (0..8).filter(|n| watch.quit(&format!("n{n}"), in_channel(), "gone", now)).count();
        assert_eq!(held, 3, "the first five are not many yet");
        assert!(!watch.quit("late", in_channel(), "gone", now + Duration::from_secs(2)));
    }
}
