//! Contents of events, from parts and back. Pure.

use ruma::{EventId, UserId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{escape::hex, matrix::Sender};
use crate::network_id::PortalKey;

/// The content of an event.
pub(crate) type Content = Map<String, Value>;

/// Names an operation for the homeserver's idempotency: the same parts give the same name, for ever.
pub(crate) fn txn_id(portal: &PortalKey, parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    let receiver = portal.receiver.as_ref().map_or("", |login| login.as_str());
    for part in [portal.id.as_str(), receiver].iter().chain(parts) {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    hex(&digest.finalize()[..20])
}

/// Names an operation that is done once and not repeated after a crash.
pub(crate) fn fresh_txn_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

/// `content` as an answer to `target`, in `thread` if given
/// ([rich replies](https://spec.matrix.org/v1.19/client-server-api/#rich-replies),
/// [threading](https://spec.matrix.org/v1.19/client-server-api/#threading)).
pub(crate) fn relate(mut content: Content, reply_to: Option<&EventId>, thread: Option<&EventId>) -> Content {
    let reply = reply_to.map(|target| json!({ "event_id": target }));
    let relation = match (reply, thread) {
        (None, None) => return content,
        (Some(reply), None) => json!({ "m.in_reply_to": reply }),
        (Some(reply), Some(root)) => {
            json!({ "rel_type": "m.thread", "event_id": root, "m.in_reply_to": reply, "is_falling_back": false })
        }
        // Clients without threads show it as an answer to the root.
        (None, Some(root)) => json!({
            "rel_type": "m.thread", "event_id": root, "is_falling_back": true,
            "m.in_reply_to": { "event_id": root },
        }),
    };
    content.insert("m.relates_to".to_owned(), relation);
    content
}

/// The event that replaces `target` with `content`
/// ([event replacements](https://spec.matrix.org/v1.19/client-server-api/#event-replacements)).
pub(crate) fn replacement(content: Content, target: &EventId) -> Content {
    let mut outer = content.clone();
    for key in ["body", "formatted_body"] {
        if let Some(Value::String(text)) = outer.get_mut(key) {
            text.insert_str(0, "* ");
        }
    }
    outer.insert("m.new_content".to_owned(), Value::Object(content));
    outer.insert("m.relates_to".to_owned(), json!({ "rel_type": "m.replace", "event_id": target }));
    outer
}

/// The reaction `emoji` to `target`.
pub(crate) fn reaction(target: &EventId, emoji: &str) -> Content {
    object(json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": target, "key": emoji } }))
}

/// A notice of the bridge, about `about` if given.
pub(crate) fn notice(text: &str, about: Option<&EventId>) -> Content {
    let mut content = object(json!({ "msgtype": "m.notice", "body": text }));
    // Nobody is to be highlighted by what a bridge reports.
    content.insert("m.mentions".to_owned(), json!({}));
    relate(content, about, None)
}

/// The state that tells clients what a room is bridged to
/// ([MSC2346](https://github.com/matrix-org/matrix-spec-proposals/pull/2346)), and its state key.
pub(crate) fn bridge_info(
    info: &super::NetworkInfo,
    bot: &UserId,
    portal: &PortalKey,
    name: Option<&str>,
) -> (String, Content) {
    let state_key = format!("{}://{}", info.protocol, portal.id);
    let content = json!({
        "bridgebot": bot,
        "creator": bot,
        "protocol": {
            "id": info.protocol,
            "displayname": info.display_name,
            "avatar_url": info.icon,
            "external_url": info.url,
        },
        "channel": { "id": portal.id, "displayname": name.unwrap_or(portal.id.as_str()) },
    });
    let mut content = object(content);
    if let Some(Value::Object(protocol)) = content.get_mut("protocol") {
        protocol.retain(|_, value| !value.is_null());
    }
    (state_key, content)
}

/// What an event relates to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Relations {
    pub(crate) replaces: Option<String>,
    pub(crate) annotates: Option<(String, String)>,
    pub(crate) reply_to: Option<String>,
    pub(crate) thread: Option<String>,
}

/// What `content` relates to; nothing where it is malformed.
pub(crate) fn relations(content: &Content) -> Relations {
    let mut relations = Relations::default();
    let Some(relates_to) = content.get("m.relates_to") else { return relations };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let target = text(relates_to.get("event_id"));
    relations.reply_to = text(relates_to.pointer("/m.in_reply_to/event_id"));
    match (relates_to.get("rel_type").and_then(Value::as_str), target) {
        (Some("m.replace"), Some(target)) => relations.replaces = Some(target),
        (Some("m.annotation"), Some(target)) => {
            relations.annotates = text(relates_to.get("key")).map(|key| (target, key));
        }
        (Some("m.thread"), Some(root)) => {
            if relates_to.get("is_falling_back").and_then(Value::as_bool) == Some(true) {
                relations.reply_to = None;
            }
            relations.thread = Some(root);
        }
        _ => {}
    }
    relations
}

/// `content` as the network gets it: without relations, without the quotation that old clients put before
/// an answer, and stickers as pictures.
pub(crate) fn for_network(mut content: Content, event_type: &str, is_reply: bool) -> Content {
    content.remove("m.relates_to");
    if event_type == "m.sticker" {
        content.insert("msgtype".to_owned(), json!("m.image"));
    }
    if is_reply {
        if let Some(Value::String(body)) = content.get_mut("body") {
            *body = without_quotation(body).to_owned();
        }
        if let Some(Value::String(html)) = content.get_mut("formatted_body")
            && let Some((_, rest)) = html.split_once("</mx-reply>")
            && html.trim_start().starts_with("<mx-reply>")
        {
            *html = rest.to_owned();
        }
    }
    content
}

/// The new content of a replacement; the outer content where it is missing.
pub(crate) fn new_content(content: &Content) -> Content {
    match content.get("m.new_content") {
        Some(Value::Object(new)) => new.clone(),
        _ => content.clone(),
    }
}

/// `content` with the name of its author in it, for a login that is somebody else's.
pub(crate) fn relayed(mut content: Content, sender: &Sender) -> Content {
    let name = single_line(sender.name());
    let emote = content.get("msgtype").and_then(Value::as_str) == Some("m.emote");
    let (before, html_before) = if emote {
        (format!("* {name} "), format!("* <strong>{}</strong> ", escape_html(&name)))
    } else {
        (format!("<{name}> "), format!("<strong>&lt;{}&gt;</strong> ", escape_html(&name)))
    };
    if emote {
        content.insert("msgtype".to_owned(), json!("m.text"));
    }
    if let Some(Value::String(body)) = content.get_mut("body") {
        body.insert_str(0, &before);
    }
    if let Some(Value::String(html)) = content.get_mut("formatted_body") {
        html.insert_str(0, &html_before);
    }
    content
}

fn without_quotation(body: &str) -> &str {
    let mut rest = body;
    while rest.starts_with("> ") {
        let Some((_, after)) = rest.split_once('\n') else { return body };
        rest = after;
    }
    if rest.len() == body.len() { body } else { rest.strip_prefix('\n').unwrap_or(rest) }
}

fn single_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A literal that is an object.
pub(crate) fn object(value: Value) -> Content {
    match value {
        Value::Object(map) => map,
        _ => Content::new(),
    }
}

#[cfg(test)]
mod tests;
