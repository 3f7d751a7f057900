//! Whom or what on this server a link into another network means, as a draft has it: the homeserver is asked by
//! clients, and asks the application services.
//!
//! The question goes to every application service as it came, at the path by which it came
//! (`GET /_matrix/app/v1/user?uri=` and `alias?uri=`, answered with `{user_id}` and `{alias}`). Where nobody answers,
//! those who bridge the link's network are asked by today's third-party lookups, with the link taken apart:
//!
//! | scheme | protocol | fields for a user | fields for an alias |
//! |---|---|---|---|
//! | `tel` | `tel` | `number` | |
//! | `mailto` | `mailto` | `address` | |
//! | `irc`, `ircs` | `irc` | `domain`, `nick` | `domain`, `channel` |
//! | `xmpp` | `xmpp` | `jid`, `username`, `domain` | `jid`, `room`, `domain` |
//! | `sip`, `sips` | `sip` | `address`, `username`, `domain` | |
//!
//! Only rooms that everybody may join have an alias, so there is none for the rest. An answer counts if what it names
//! is in a namespace of who gave it.

use futures_util::future::join_all;
use http::Method;
use percent_encoding::percent_decode_str;
use ruma::{RoomAliasId, UserId};
use serde_json::Value;
use url::Url;

use super::{Appservice, Appservices, Lookup, link::Call, thirdparty::TIMEOUT};
use crate::testing::encode;

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    User,
    Alias,
}

impl Wanted {
    fn segment(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Alias => "alias",
        }
    }

    /// The field of the drafted answer.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Alias => "alias",
        }
    }

    fn lookup(self) -> Lookup {
        match self {
            Self::User => Lookup::User,
            Self::Alias => Lookup::Location,
        }
    }
}

/// A link into another network, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    uri: String,
    protocol: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl Link {
    /// Takes a link apart. `None` if it is not one into a network that the draft names, or does not lead to what is wanted.
    pub(crate) fn parse(uri: &str, wanted: Wanted) -> Option<Self> {
        let url = Url::parse(uri).ok()?;
        let (protocol, fields) = match (url.scheme(), wanted) {
            ("tel", Wanted::User) => ("tel", vec![("number", text(url.path())?)]),
            ("mailto", Wanted::User) => ("mailto", vec![("address", text(url.path())?)]),
            ("irc" | "ircs", wanted) => ("irc", irc(&url, wanted)?),
            ("xmpp", wanted) => ("xmpp", xmpp(&url, wanted)?),
            ("sip" | "sips", Wanted::User) => ("sip", sip(&url)?),
            _ => return None,
        };
        Some(Self { uri: uri.to_owned(), protocol, fields })
    }

    fn query(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        fields.collect::<Vec<_>>().join("&")
    }
}

/// A part of a link, decoded; `None` if it is empty.
fn text(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8().ok()?.into_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// `irc://irc.example.org/bob,isnick` is a user, `irc://irc.example.org/#room` and `…/room` a channel
/// ([draft-butcher-irc-url-04](https://datatracker.ietf.org/doc/html/draft-butcher-irc-url-04)).
fn irc(url: &Url, wanted: Wanted) -> Option<Vec<(&'static str, String)>> {
    let domain = url.host_str().and_then(text)?.to_lowercase();
    let path = text(url.path().trim_start_matches('/')).unwrap_or_default();
    let mut parts = path.split(',');
    let name = parts.next().unwrap_or_default();
    let is_user = parts.any(|flag| flag == "isnick" || flag == "isuser");
    // An unescaped # begins the fragment.
    let channel = match url.fragment() {
        Some(rest) if name.is_empty() => Some(format!("#{}", text(rest)?)),
        _ => None,
    };
    match wanted {
        Wanted::User if is_user || (channel.is_none() && !name.starts_with(['#', '&', '+', '!'])) => {
            Some(vec![("domain", domain), ("nick", text(name)?)])
        }
        Wanted::Alias if !is_user => {
            let channel = match channel {
                Some(channel) => channel,
                None if name.starts_with(['#', '&', '+', '!']) => name.to_owned(),
                None => format!("#{}", text(name)?),
            };
            Some(vec![("domain", domain), ("channel", channel)])
        }
        _ => None,
    }
}

/// `xmpp:juliet@example.com`, and rooms as `xmpp:room@rooms.example.com?join`
/// ([XEP-0147](https://xmpp.org/extensions/xep-0147.html)).
fn xmpp(url: &Url, wanted: Wanted) -> Option<Vec<(&'static str, String)>> {
    let jid = text(url.path().trim_start_matches('/'))?;
    let (local, domain) = jid.split('/').next().unwrap_or(&jid).split_once('@')?;
    let joins = url.query().is_some_and(|query| query.split(';').next() == Some("join"));
    let name = match wanted {
        Wanted::User if !joins => "username",
        Wanted::Alias => "room",
        Wanted::User => return None,
    };
    let fields = vec![(name, local.to_owned()), ("domain", domain.to_owned()), ("jid", jid.clone())];
    Some(fields)
}

fn sip(url: &Url) -> Option<Vec<(&'static str, String)>> {
    let address = text(url.path().split(';').next().unwrap_or_default())?;
    let (username, domain) = address.split_once('@')?;
    Some(vec![("username", username.to_owned()), ("domain", domain.to_owned()), ("address", address.clone())])
}

impl Appservices {
    /// Whom or what on this server a link means, if an application service knows.
    pub(crate) async fn resolve(&self, link: &Link, wanted: Wanted) -> Option<String> {
        let mut asked = self.all();
        asked.retain(|appservice| appservice.link().is_some());
        let answers = join_all(asked.iter().map(|appservice| ask(appservice, link, wanted))).await;
        if let Some(found) = answers.into_iter().flatten().next() {
            return Some(found);
        }
        let found = self.look_up(wanted.lookup(), Some(link.protocol), &link.query()).await;
        let name = match wanted {
            Wanted::User => "userid",
            Wanted::Alias => "alias",
        };
        let is_ours = |id: &&str| asked.iter().any(|appservice| owns(appservice, wanted, id));
        found.iter().filter_map(|entry| entry[name].as_str()).find(is_ours).map(ToOwned::to_owned)
    }
}

async fn ask(appservice: &Appservice, link: &Link, wanted: Wanted) -> Option<String> {
    let path = format!("/_matrix/app/v1/{}", wanted.segment());
    let query = format!("uri={}", encode(&link.uri));
    let call = Call {
        method: Method::GET,
        path: &path,
        legacy: None,
        query: Some(&query),
        body: None,
        timeout: TIMEOUT,
    };
    let answer = appservice.link()?.call(&call).await.ok().filter(|answer| answer.status.is_success())?;
    let answer: Value = serde_json::from_slice(&answer.body).ok()?;
    let id = answer[wanted.field()].as_str()?;
    owns(appservice, wanted, id).then(|| id.to_owned())
}

fn owns(appservice: &Appservice, wanted: Wanted, id: &str) -> bool {
    match wanted {
        Wanted::User => <&UserId>::try_from(id).is_ok_and(|user_id| appservice.may_act_as(user_id)),
        Wanted::Alias => <&RoomAliasId>::try_from(id).is_ok_and(|alias| appservice.may_own_alias(alias)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(uri: &str, wanted: Wanted) -> Option<String> {
        Link::parse(uri, wanted).map(|link| format!("{} {}", link.protocol, link.query()))
    }

    #[test]
    fn links_to_users_are_taken_apart_by_their_scheme() {
        for (uri, expected) in [
            ("tel:+49301234", Some("tel number=%2B49301234")),
            ("mailto:bob@example.org?subject=x", Some("mailto address=bob%40example.org")),
            ("irc://IRC.example.org/bob,isnick", Some("irc domain=irc.example.org&nick=bob")),
            ("ircs://irc.example.org:6697/bob", Some("irc domain=irc.example.org&nick=bob")),
            ("irc://irc.example.org/%23room", None),
            ("irc://irc.example.org/#room", None),
            ("irc://irc.example.org/", None),
            (
                "xmpp:juliet@example.com",
                Some("xmpp username=juliet&domain=example.com&jid=juliet%40example.com"),
            ),
            ("xmpp:room@rooms.example.com?join", None),
            (
                "sip:bob@example.com;transport=tcp",
                Some("sip username=bob&domain=example.com&address=bob%40example.com"),
            ),
            ("https://example.org/bob", None),
            ("tel:", None),
            ("nonsense", None),
        ] {
            assert_eq!(fields(uri, Wanted::User).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn only_links_to_public_rooms_lead_to_aliases() {
        for (uri, expected) in [
            ("irc://irc.example.org/#room", Some("irc domain=irc.example.org&channel=%23room")),
            ("irc://irc.example.org/%23room", Some("irc domain=irc.example.org&channel=%23room")),
            ("irc://irc.example.org/room", Some("irc domain=irc.example.org&channel=%23room")),
            ("irc://irc.example.org/bob,isnick", None),
            (
                "xmpp:room@r.example.com?join",
                Some("xmpp room=room&domain=r.example.com&jid=room%40r.example.com"),
            ),
            ("mailto:list@example.org", None),
            ("tel:+1", None),
            ("sip:room@example.org", None),
        ] {
            assert_eq!(fields(uri, Wanted::Alias).as_deref(), expected, "{uri}");
        }
    }
}
