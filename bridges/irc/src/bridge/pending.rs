//! What was sent on one connection and not yet confirmed.
//!
//! A line is confirmed by its echo, recognised by its label or, without labels, by being the oldest with this target
//! and text. On networks without echoes a fence confirms: the answer to a `PING` that was sent after the line, with
//! no refusal before it.

use std::collections::VecDeque;

use matrix_appservice::bridge::{RemoteMessageId, TxnKey};

/// The messages under way on one connection, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    messages: VecDeque<Message>,
    /// Fences so far; the number of the last one.
    fences: u64,
    /// The fence whose answer is awaited.
    outstanding: Option<u64>,
    /// Identifiers given to lines that the network gives none.
    named: u64,
}

#[derive(Debug)]
struct Message {
    key: TxnKey,
    target: String,
    lines: Vec<Line>,
    /// The first fence that was sent after the message.
    fence: Option<u64>,
}

#[derive(Debug)]
struct Line {
    label: Option<String>,
    text: Vec<u8>,
    id: Option<RemoteMessageId>,
}

/// A message that the network has, with the names of its lines.
pub(crate) type Confirmed = (TxnKey, Vec<RemoteMessageId>);

impl Pending {
    /// A message was handed to the connection.
    pub(crate) fn sent(
        &mut self,
        key: TxnKey,
        target: &str,
        lines: impl IntoIterator<Item = (Option<String>, Vec<u8>)>,
    ) {
        let lines = lines.into_iter().map(|(label, text)| Line { label, text, id: None }).collect();
        self.messages.push_back(Message { key, target: target.to_owned(), lines, fence: None });
    }

    /// A line came back. `None` if it is none of ours, `Some(None)` if its message has lines left to wait for.
    pub(crate) fn echo(
        &mut self,
        label: Option<&str>,
        target: &str,
        text: &[u8],
        id: RemoteMessageId,
    ) -> Option<Option<Confirmed>> {
        let fits = |line: &Line| match label {
            Some(label) => line.label.as_deref() == Some(label),
            // Servers cut long lines.
            None => line.id.is_none() && line.text.starts_with(text),
        };
        let at = self.messages.iter().position(|message| {
            (label.is_some() || message.target == target) && message.lines.iter().any(fits)
        })?;
        let message = &mut self.messages[at];
        let line = message.lines.iter_mut().find(|line| fits(line))?;
        line.id = Some(id);
        if message.lines.iter().any(|line| line.id.is_none()) {
            return Some(None);
        }
        let message = self.messages.remove(at)?;
        Some(Some((message.key, message.lines.into_iter().filter_map(|line| line.id).collect())))
    }

    /// The server refused a line: the labelled one, else the oldest to this target.
    pub(crate) fn refused(&mut self, label: Option<&str>, target: &str) -> Option<TxnKey> {
        let at = self.messages.iter().position(|message| match label {
            Some(label) => message.lines.iter().any(|line| line.label.as_deref() == Some(label)),
            None => message.target == target,
        })?;
        self.messages.remove(at).map(|message| message.key)
    }

    /// Takes a message back. Whether it was still under way.
    pub(crate) fn take(&mut self, key: &TxnKey) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.key != *key);
        self.messages.len() < before
    }

    /// The token of a `PING` to send now, if messages wait for one and none is on its way.
    pub(crate) fn fence(&mut self) -> Option<String> {
        if self.outstanding.is_some() || self.messages.iter().all(|message| message.fence.is_some()) {
            return None;
        }
        self.fences += 1;
        for message in &mut self.messages {
            message.fence.get_or_insert(self.fences);
        }
        self.outstanding = Some(self.fences);
        Some(format!("fence-{}", self.fences))
    }

    /// The answer to a `PING` came: everything sent before it has been handled. `None` if it is no fence of ours.
    ///
    /// Gives what is confirmed by that. `connection` makes the names of the lines unique.
    pub(crate) fn pong(&mut self, token: &str, connection: &str) -> Option<Vec<Confirmed>> {
        let fence: u64 = token.strip_prefix("fence-")?.parse().ok()?;
        self.outstanding = None;
        let mut confirmed = Vec::new();
        while self.messages.front().is_some_and(|message| message.fence.is_some_and(|of| of <= fence)) {
            let Some(message) = self.messages.pop_front() else { break };
            let ids = message.lines.into_iter().map(|line| {
                line.id.unwrap_or_else(|| {
                    self.named += 1;
                    RemoteMessageId::new(format!("{connection}-out-{}", self.named))
                })
            });
            confirmed.push((message.key, ids.collect()));
        }
        Some(confirmed)
    }

    /// The connection ended: what it leaves unconfirmed.
    pub(crate) fn lost(&mut self) -> Vec<TxnKey> {
        self.outstanding = None;
        self.messages.drain(..).map(|message| message.key).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> RemoteMessageId {
        RemoteMessageId::new(id)
    }

    fn line(label: Option<&str>, text: &str) -> (Option<String>, Vec<u8>) {
        (label.map(str::to_owned), text.as_bytes().to_vec())
    }

    #[test]
    fn a_message_is_confirmed_when_all_its_lines_came_back() {
        let mut pending = Pending::default();
        pending.sent("k".into(), "#c", [line(Some("1"), "a"), line(Some("2"), "b")]);
        assert_eq!(pending.echo(Some("1"), "#c", b"a", id("x")), Some(None));
        assert_eq!(
            pending.echo(Some("2"), "#c", b"b", id("y")),
            Some(Some(("k".into(), vec![id("x"), id("y")])))
        );
        assert!(pending.is_empty());
    }

    #[test]
    fn without_labels_two_equal_lines_are_confirmed_in_order() {
        let mut pending = Pending::default();
        pending.sent("first".into(), "#c", [line(None, "same")]);
        pending.sent("second".into(), "#c", [line(None, "same")]);
        assert_eq!(pending.echo(None, "#d", b"same", id("0")), None);
        assert_eq!(pending.echo(None, "#c", b"same", id("1")), Some(Some(("first".into(), vec![id("1")]))));
        assert_eq!(pending.echo(None, "#c", b"same", id("2")), Some(Some(("second".into(), vec![id("2")]))));
        assert_eq!(pending.echo(None, "#c", b"same", id("3")), None);
    }

    #[test]
    fn a_refusal_without_a_label_is_of_the_oldest_message_to_its_target() {
        let mut pending = Pending::default();
        pending.sent("a".into(), "#a", [line(None, "x")]);
        pending.sent("b".into(), "#b", [line(None, "x")]);
        assert_eq!(pending.refused(None, "#b"), Some("b".into()));
        assert_eq!(pending.refused(None, "#b"), None);
        assert_eq!(pending.lost(), ["a".into()]);
    }

    #[test]
    fn a_fence_confirms_what_was_sent_before_it_and_nothing_else() {
        let mut pending = Pending::default();
        assert_eq!(pending.fence(), None, "nothing to confirm");
        pending.sent("a".into(), "#c", [line(None, "x"), line(None, "y")]);
        let token = pending.fence().expect("a message waits");
        pending.sent("b".into(), "#c", [line(None, "z")]);
        assert_eq!(pending.fence(), None, "one fence at a time");
        let confirmed = pending.pong(&token, "c1").expect("ours");
        assert_eq!(confirmed, [("a".into(), vec![id("c1-out-1"), id("c1-out-2")])]);
        assert!(pending.fence().is_some());
        assert_eq!(pending.pong("keepalive", "c1"), None);
    }
}
