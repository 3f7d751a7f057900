//! A line from the network, as the bridge reads it.

use std::borrow::Cow;

use bytes::Bytes;
use ruma::MilliSecondsSinceUnixEpoch;

use crate::irc::message::decode;

/// A line from the network. Bytes where people write, text where the protocol speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Who sent it; a server's name if a server did.
    pub(crate) nick: String,
    /// `user@host` of who sent it; `None` if a server did.
    pub(crate) userhost: Option<String>,
    /// The command in upper case, or the numeric.
    pub(crate) command: String,
    pub(crate) params: Vec<Bytes>,
    /// The label of what this answers.
    pub(crate) label: Option<String>,
    /// What the network calls the message.
    pub(crate) msgid: Option<String>,
    /// `+typing`
    pub(crate) typing: Option<String>,
    /// When the network says it happened.
    pub(crate) time: Option<MilliSecondsSinceUnixEpoch>,
}

impl Seen {
    /// A parameter as text; empty where it is absent.
    pub(crate) fn text(&self, index: usize) -> Cow<'_, str> {
        decode(self.bytes(index))
    }

    /// A parameter as it came; empty where it is absent.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        self.params.get(index).map_or(b"", |param| param)
    }

    /// The last parameter as text.
    pub(crate) fn last(&self) -> Cow<'_, str> {
        self.text(self.params.len().saturating_sub(1))
    }

    /// The numeric, if it is one.
    pub(crate) fn numeric(&self) -> Option<u16> {
        (self.command.len() == 3).then(|| self.command.parse().ok()).flatten()
    }

    /// The time of the line: the network's, else now.
    pub(crate) fn at(&self) -> MilliSecondsSinceUnixEpoch {
        self.time.unwrap_or_else(MilliSecondsSinceUnixEpoch::now)
    }
}
