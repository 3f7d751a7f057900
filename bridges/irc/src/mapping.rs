//! Names of one world in the other: nicks and user IDs, channels and aliases.
//!
//! Both directions are pure: what was made of a name once is made of it for ever.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The user IDs of a network's users: `@irc_$SERVER_$NICK`.
#[derive(Debug, Clone)]
pub struct UserTemplate {
    before: String,
    after: String,
}

impl UserTemplate {
    /// The template of the network `server`.
    pub fn new(template: &str, server: &str) -> Self {
        let (before, after) = halves(template.trim_start_matches('@'), server, "$NICK");
        Self { before: before.to_lowercase(), after: after.to_lowercase() }
    }

    /// The localpart of a folded nick.
    pub fn localpart(&self, nick: &str) -> String {
        format!("{}{}{}", self.before, escape(nick), self.after)
    }

    /// The nick of a localpart, if it is one of this network's.
    pub fn nick(&self, localpart: &str) -> Option<String> {
        unescape(localpart.strip_prefix(&self.before)?.strip_suffix(&self.after)?)
    }
}

/// The aliases of a network's channels: `#irc_$SERVER_$CHANNEL`.
#[derive(Debug, Clone)]
pub struct AliasTemplate {
    before: String,
    after: String,
}

impl AliasTemplate {
    /// The template of the network `server`.
    pub fn new(template: &str, server: &str) -> Self {
        let (before, after) = halves(template.strip_prefix('#').unwrap_or(template), server, "$CHANNEL");
        Self { before, after }
    }

    /// The localpart of a channel's alias. The channel keeps its sign.
    pub fn localpart(&self, channel: &str) -> String {
        format!("{}{channel}{}", self.before, self.after)
    }

    /// The localpart for what somebody and a nick say to each other. It names neither, and can be no channel's.
    pub fn private_localpart(&self, nick: &str, receiver: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(nick);
        digest.update([0]);
        digest.update(receiver);
        let mut name = "private=".to_owned();
        for byte in &digest.finalize()[..16] {
            let _ = write!(name, "{byte:02x}");
        }
        self.localpart(&name)
    }

    /// The channel of a localpart, if it can be one of this network's.
    pub fn channel(&self, localpart: &str) -> Option<String> {
        let channel = localpart.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (!channel.is_empty()).then(|| channel.to_owned())
    }
}

/// What stands before and after the variable.
fn halves(template: &str, server: &str, variable: &str) -> (String, String) {
    let template = template.replace("$SERVER", server);
    let (before, after) = template.split_once(variable).unwrap_or((&template, ""));
    (before.to_owned(), after.to_owned())
}

/// A nick in the characters of a localpart. Capital letters cannot occur: nicks are folded. Anything else that
/// is not allowed is `=` and two hexadecimal digits ([mapping]); `_` stays, for it is common in nicks.
///
/// [mapping]: https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets
fn escape(nick: &str) -> String {
    let mut localpart = String::with_capacity(nick.len());
    for byte in nick.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => localpart.push(char::from(byte)),
            _ => {
                let _ = write!(localpart, "={byte:02x}");
            }
        }
    }
    localpart
}

/// The nick that [`escape`] was given; `None` if it cannot have produced this.
fn unescape(localpart: &str) -> Option<String> {
    let mut nick = Vec::with_capacity(localpart.len());
    let mut bytes = localpart.bytes();
    while let Some(byte) = bytes.next() {
        nick.push(match byte {
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let nick = String::from_utf8(nick).ok()?;
    (!nick.is_empty() && escape(&nick) == localpart).then_some(nick)
}

/// The nick of a Matrix user.
///
/// `template` has `$DISPLAY`, `$LOCALPART` or `$USERID`. What IRC does not allow is left out; a display name of
/// which nothing remains gives way to the localpart.
pub fn nick(template: &str, display_name: &str, user: &ruma::UserId) -> String {
    let display = match sanitize_nick(display_name) {
        empty if empty.is_empty() => sanitize_nick(user.localpart()),
        display => display,
    };
    let wanted = template
        .replace("$DISPLAY", &display)
        .replace("$LOCALPART", user.localpart())
        .replace("$USERID", user.as_str());
    match sanitize_nick(&wanted) {
        empty if empty.is_empty() => "guest".to_owned(),
        nick => nick,
    }
}

/// The nearest nick that IRC allows: letters, digits and ``[]\`_^{|}-``, no digit and no `-` first (RFC 2812,
/// section 2.3.1). Letters with marks lose them; other characters go.
pub fn sanitize_nick(wanted: &str) -> String {
    let mut nick = String::new();
    for c in wanted.chars() {
        if c.is_ascii_alphanumeric() || "[]\\`_^{|}-".contains(c) {
            nick.push(c);
        } else if c == ' ' {
            nick.push('_');
        } else {
            nick.push_str(without_mark(c));
        }
    }
    let nick = nick.trim_start_matches('-').trim_matches('_');
    // Nicks that were only underscores, or that begin with a digit.
    match nick.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("_{nick}"),
        Some(_) => nick.to_owned(),
        None => String::new(),
    }
}

/// The usual spelling of a letter without its mark.
fn without_mark(c: char) -> &'static str {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'Ä' | 'Æ' => "Ae",
        'À' | 'Á' | 'Â' | 'Ã' | 'Å' => "A",
        'ç' | 'ć' | 'č' => "c",
        'Ç' | 'Ć' | 'Č' => "C",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'È' | 'É' | 'Ê' | 'Ë' => "E",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ł' => "l",
        'Ł' => "L",
        'ñ' | 'ń' | 'ň' => "n",
        'Ñ' => "N",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' => "o",
        'ö' | 'œ' => "oe",
        'Ö' | 'Œ' => "Oe",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ø' => "O",
        'ř' => "r",
        'ß' => "ss",
        'ś' | 'š' | 'ş' => "s",
        'Ś' | 'Š' | 'Ş' => "S",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' => "u",
        'ü' => "ue",
        'Ü' => "Ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'Ź' | 'Ż' | 'Ž' => "Z",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nicks_become_valid_localparts_and_come_back() {
        let users = UserTemplate::new("@irc_$SERVER_$NICK", "irc.A.net");
        for (nick, localpart) in [
            ("bob", "irc_irc.a.net_bob"),
            ("b{o}b|", "irc_irc.a.net_b=7bo=7db=7c"),
            ("a_b", "irc_irc.a.net_a_b"),
        ] {
            assert_eq!(users.localpart(nick), localpart);
            assert_eq!(users.nick(localpart).as_deref(), Some(nick));
        }
        for nobody in
            ["irc_irc.a.net_", "irc_irc.a.net_A", "irc_irc.a.net_=61", "irc_irc.a.net_=", "other_bob"]
        {
            assert_eq!(users.nick(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn the_names_of_the_draft_can_be_had() {
        let users = UserTemplate::new("@irc.freenode.net/$NICK", "irc.freenode.net");
        let aliases = AliasTemplate::new("#irc.freenode.net/$CHANNEL", "irc.freenode.net");
        assert_eq!(users.localpart("bob"), "irc.freenode.net/bob");
        assert_eq!(aliases.localpart("#matrix"), "irc.freenode.net/#matrix");
        assert_eq!(aliases.channel("irc.freenode.net/#matrix").as_deref(), Some("#matrix"));
        let private = aliases.private_localpart("bob", "alice");
        assert!(private.starts_with("irc.freenode.net/private=") && !private.contains("bob"));
    }

    #[test]
    fn display_names_become_nicks() {
        let user = ruma::UserId::parse("@alice:example.org").expect("an ID");
        for (template, display, expected) in [
            ("$DISPLAY[m]", "Alice", "Alice[m]"),
            ("$DISPLAY[m]", "Jürgen Groß", "Juergen_Gross[m]"),
            ("$DISPLAY[m]", "爱丽丝", "alice[m]"),
            ("$DISPLAY", "42", "_42"),
            ("$LOCALPART", "x", "alice"),
            ("$USERID", "x", "aliceexampleorg"),
            ("$DISPLAY", "a\r\nQUIT :x", "aQUIT_x"),
        ] {
            assert_eq!(nick(template, display, &user), expected, "{template} {display}");
        }
    }

    proptest! {
        #[test]
        fn every_folded_nick_comes_back(nick in "[a-z0-9{}|^_`-]{1,30}") {
            let users = UserTemplate::new("@irc_$NICK", "x");
            let localpart = users.localpart(&nick);
            prop_assert!(localpart.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b)));
            prop_assert_eq!(users.nick(&localpart), Some(nick));
        }

        #[test]
        fn every_wish_becomes_a_nick_or_nothing(wish in ".*") {
            let nick = sanitize_nick(&wish);
            prop_assert!(!nick.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
            prop_assert_eq!(sanitize_nick(&nick), nick);
        }
    }
}
