//! Matrix messages as lines for IRC.

use ruma::events::room::MediaSource;
use ruma::events::room::message::MessageType;
use ruma::{MxcUri, UserId};

use super::super::connection::Link;
use super::super::ids;
use super::super::network::IrcNetwork;
use super::Speech;
use crate::format;

/// A message as the lines that are sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// `PRIVMSG` or `NOTICE`.
    pub(crate) command: &'static str,
    /// The texts, each short enough to reach the others whole.
    pub(crate) lines: Vec<Vec<u8>>,
}

/// Renders a message for a target.
pub(crate) fn render(speech: &Speech<'_>, network: &IrcNetwork, link: &Link, target: &str) -> Rendered {
    let (kind, text) = text_of(speech, network);
    let text = match speech.reply_to.and_then(|reply| addressed(reply, network)) {
        // Who is talked to already is not named twice.
        Some(nick) if !text.starts_with(&nick) => format!("{nick}: {text}"),
        _ => text,
    };
    let text = if speech.edit { format!("* {text}") } else { text };
    let command = if kind == Kind::Notice { "NOTICE" } else { "PRIVMSG" };
    let wrap = if kind == Kind::Action { b"\x01ACTION \x01".len() } else { 0 };
    let budget = link.budget(command, target).saturating_sub(wrap);
    let mut lines = format::split(&text, budget);
    let limit = usize::try_from(network.config.irc_clients.line_limit).unwrap_or(usize::MAX);
    if limit > 0 && lines.len() > limit {
        let left_out = lines.len() - limit;
        lines.truncate(limit);
        lines.push(format!("({left_out} more lines are on Matrix)"));
    }
    let lines = lines.into_iter().map(|line| match kind {
        Kind::Action => [b"\x01ACTION ", line.as_bytes(), b"\x01"].concat(),
        Kind::Text | Kind::Notice => line.into_bytes(),
    });
    Rendered { command, lines: lines.collect() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Notice,
    Action,
}

/// The text of a message with IRC's formatting, and how it is said.
fn text_of(speech: &Speech<'_>, network: &IrcNetwork) -> (Kind, String) {
    let content = speech.content;
    let formatted = |body: &str, formatted: Option<&ruma::events::room::message::FormattedBody>| {
        let html = formatted.filter(|f| f.format == ruma::events::room::message::MessageFormat::Html);
        match html {
            Some(html) => format::html_to_irc_with(&html.body, &|id| mentioned(id, network)),
            // The quotation that older clients put before an answer.
            None if speech.reply_to.is_some() => format::plain_to_irc(format::strip_quotation(body)),
            None => format::plain_to_irc(body),
        }
    };
    match &content.msgtype {
        MessageType::Text(text) => (Kind::Text, formatted(&text.body, text.formatted.as_ref())),
        MessageType::Notice(text) => (Kind::Notice, formatted(&text.body, text.formatted.as_ref())),
        MessageType::Emote(text) => (Kind::Action, formatted(&text.body, text.formatted.as_ref())),
        MessageType::Image(file) => {
            (Kind::Action, media("an image", file.body.as_str(), &file.source, network))
        }
        MessageType::File(file) => (Kind::Action, media("a file", file.body.as_str(), &file.source, network)),
        MessageType::Audio(file) => {
            (Kind::Action, media("a sound", file.body.as_str(), &file.source, network))
        }
        MessageType::Video(file) => {
            (Kind::Action, media("a video", file.body.as_str(), &file.source, network))
        }
        MessageType::Location(place) => {
            (Kind::Action, format::plain_to_irc(&format!("is at {} ({})", place.body, place.geo_uri)))
        }
        other => (Kind::Text, format::plain_to_irc(other.body())),
    }
}

/// A file as a sentence with a link.
fn media(what: &str, name: &str, source: &MediaSource, network: &IrcNetwork) -> String {
    let uri: &MxcUri = match source {
        MediaSource::Plain(uri) => uri,
        MediaSource::Encrypted(file) => &file.url,
    };
    let link = match uri.parts() {
        Ok((server, media)) => {
            let base = network.homeserver.trim_end_matches('/');
            format!("{base}/_matrix/media/v3/download/{server}/{media}")
        }
        Err(_) => String::new(),
    };
    format::plain_to_irc(&format!("sent {what}: {name} {link}")).trim_end().to_owned()
}

/// The nick of whom a message mentions, so that whoever is meant hears of it.
fn mentioned(id: &str, network: &IrcNetwork) -> Option<String> {
    let user = <&UserId>::try_from(id).ok()?;
    let Some(remote) = network.cx.remote_user(user) else { return network.nick_of(user) };
    let (_, nick) = ids::of_user(&remote)?;
    Some(network.spelling(nick).unwrap_or_else(|| nick.to_owned()))
}

/// The nick of whom a message answers.
fn addressed(reply: &matrix_appservice::bridge::MessageRef, network: &IrcNetwork) -> Option<String> {
    if let Some((_, nick)) = reply.author.as_ref().and_then(ids::of_user) {
        return Some(network.spelling(nick).unwrap_or_else(|| nick.to_owned()));
    }
    reply.matrix_author.as_ref().and_then(|user| network.nick_of(user))
}
