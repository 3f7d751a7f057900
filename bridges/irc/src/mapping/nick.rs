//! Matrix users as nicks.

use super::translit::transliterate;

/// The longest nick that is tried before the network says its limit.
const LONGEST: usize = 30;
/// The longest user name that all networks take.
const LONGEST_USER: usize = 9;

/// How a Matrix user's nick is made: `ircClients.nickTemplate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NickTemplate(String);

/// A nick that somebody would like to have. What is in the template after the name is kept when the name is cut or
/// numbered: `verylongname[m]` becomes `verylong[m]`, then `verylon2[m]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishedNick {
    stem: String,
    suffix: String,
}

impl NickTemplate {
    /// From the configuration: `$DISPLAY[m]`, with `$DISPLAY`, `$LOCALPART` and `$USERID`.
    pub fn new(template: &str) -> Self {
        Self(template.to_owned())
    }

    /// The nick for a user. `user_id` is `@localpart:server`.
    ///
    /// Where nothing of the display name can stand in a nick, the localpart takes its place.
    pub fn wish(&self, user_id: &str, display_name: Option<&str>) -> WishedNick {
        let id = user_id.strip_prefix('@').unwrap_or(user_id);
        let localpart = id.split_once(':').map_or(id, |(localpart, _)| localpart);
        let display = display_name.filter(|name| allowed(name).any(|c| c.is_ascii_alphanumeric()));
        let display = display.unwrap_or(localpart);
        let expand = |part: &str| {
            part.replace("$DISPLAY", display).replace("$LOCALPART", localpart).replace("$USERID", id)
        };
        let fixed_from = ["$DISPLAY", "$LOCALPART", "$USERID"]
            .iter()
            .filter_map(|name| self.0.rfind(name).map(|at| at + name.len()))
            .max()
            .unwrap_or(self.0.len());
        let (named, suffix) = self.0.split_at(fixed_from);
        WishedNick { stem: or_guest(sanitize_nick(&expand(named))), suffix: allowed(suffix).collect() }
    }
}

impl WishedNick {
    /// A nick that was chosen by hand.
    pub fn exactly(nick: &str) -> Self {
        Self { stem: or_guest(sanitize_nick(nick)), suffix: String::new() }
    }

    /// The nick to try: the first attempt is the wish itself, later ones are numbered.
    ///
    /// Never longer than `length` bytes (30 if the network has not said). Later attempts are shorter than that as
    /// well, as long as the network has not said: it may have refused the length.
    pub fn candidate(&self, attempt: usize, length: Option<usize>) -> String {
        let number = if attempt == 0 { String::new() } else { (attempt + 1).to_string() };
        let length = length.unwrap_or(LONGEST).max(1);
        let tail = format!("{number}{}", self.suffix);
        // A limit that leaves no room for what follows the name takes it away first.
        let tail = if tail.len() < length { tail } else { number };
        let room = length.saturating_sub(tail.len());
        let stem: String = self.stem.chars().take(room.max(1)).collect();
        let mut nick = format!("{stem}{tail}");
        nick.truncate(length);
        nick
    }
}

/// A nick that all networks take ([RFC 2812, section 2.3.1]): letters of other scripts in ASCII where that is
/// common, blanks as `_`, everything else left out. Empty if nothing is left; the length is the network's affair.
///
/// [RFC 2812, section 2.3.1]: https://www.rfc-editor.org/rfc/rfc2812#section-2.3.1
pub fn sanitize_nick(wish: &str) -> String {
    let mut nick: String = allowed(wish.trim()).collect();
    if nick.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        nick.insert(0, '_');
    }
    nick
}

fn or_guest(nick: String) -> String {
    if nick.is_empty() { "guest".to_owned() } else { nick }
}

/// What of a text can stand in a nick, though perhaps not at its beginning.
fn allowed(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(|c| {
        let mut ascii = [0; 4];
        let plain: &str = match c {
            'a'..='z'
            | 'A'..='Z'
            | '0'..='9'
            | '['
            | ']'
            | '\\'
            | '`'
            | '_'
            | '^'
            | '{'
            | '|'
            | '}'
            | '-' => c.encode_utf8(&mut ascii),
            c if c.is_whitespace() => "_",
            '.' | ':' | '/' | '@' => "-",
            c => transliterate(c).unwrap_or_default(),
        };
        plain.chars().collect::<Vec<_>>()
    })
}

/// A user name (ident) for a Matrix user: letters, digits, `-`, `.` and `_`, at most nine. Never empty.
pub fn user_name(localpart: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let name: String = localpart.chars().filter(fine).take(LONGEST_USER).collect();
    let name = name.trim_start_matches(['-', '.']);
    if name.is_empty() { "matrix".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NickTemplate, WishedNick, sanitize_nick, user_name};

    #[test]
    fn a_nick_is_made_by_the_template() {
        for (template, display, expected) in [
            ("$DISPLAY[m]", Some("Alice"), "Alice[m]"),
            ("$DISPLAY[m]", Some("Alice Liddell"), "Alice_Liddell[m]"),
            ("$DISPLAY[m]", Some("Jürgen Groß"), "Juergen_Gross[m]"),
            ("$DISPLAY[m]", Some("Мария"), "Mariya[m]"),
            ("$DISPLAY[m]", Some("🦀🦀"), "alice-l[m]"),
            ("$DISPLAY[m]", None, "alice-l[m]"),
            ("M-$LOCALPART", Some("Alice"), "M-alice-l"),
            ("$USERID", None, "alice-l-example-org"),
            ("$DISPLAY[m]", Some("1337"), "_1337[m]"),
            ("$DISPLAY[m]", Some("x\r\nQUIT :bye"), "x__QUIT_-bye[m]"),
            ("fixed", Some("Alice"), "fixed"),
        ] {
            let wish = NickTemplate::new(template).wish("@alice.l:example.org", display);
            assert_eq!(wish.candidate(0, Some(60)), expected, "{template} {display:?}");
        }
    }

    #[test]
    fn what_follows_the_name_is_kept_as_long_as_it_fits() {
        let wish = NickTemplate::new("$DISPLAY[m]").wish("@a:b", Some("abcdefghijkl"));
        for (attempt, length, expected) in [
            (0, Some(9), "abcdef[m]"),
            (1, Some(9), "abcde2[m]"),
            (98, Some(9), "abcd99[m]"),
            (0, Some(3), "abc"),
            (1, Some(3), "ab2"),
            (0, Some(1), "a"),
            (0, None, "abcdefghijkl[m]"),
        ] {
            assert_eq!(wish.candidate(attempt, length), expected, "{attempt} {length:?}");
        }
        assert_eq!(WishedNick::exactly("al ice").candidate(0, None), "al_ice");
    }

    #[test]
    fn user_names_are_short_and_plain() {
        for (localpart, expected) in [
            ("alice", "alice"),
            ("Alice.Liddell", "Alice.Lid"),
            ("=f0=9f", "f09f"),
            ("-x", "x"),
            ("", "matrix"),
        ] {
            assert_eq!(user_name(localpart), expected);
        }
    }

    fn is_nick(nick: &str) -> bool {
        let special = |c: char| "[]\\`_^{|}".contains(c);
        nick.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || special(c))
            && nick.chars().all(|c| c.is_ascii_alphanumeric() || special(c) || c == '-')
    }

    proptest! {
        #[test]
        fn every_wish_becomes_a_nick(template in ".{0,20}", display in ".{0,20}", attempt in 0..200_usize, length in 1..40_usize) {
            let template = NickTemplate::new(&format!("{template}$DISPLAY{display}"));
            let nick = template.wish("@a:b", Some(&display)).candidate(attempt, Some(length));
            prop_assert!(is_nick(&nick), "{}", nick);
            prop_assert!(nick.len() <= length);
            let plain = sanitize_nick(&display);
            prop_assert!(plain.is_empty() || is_nick(&plain));
            prop_assert_eq!(sanitize_nick(&plain), plain);
        }

        #[test]
        fn attempts_differ(name in "[a-z]{1,40}", one in 0..90_usize, other in 0..90_usize, length in 5..40_usize) {
            let wish = NickTemplate::new("$DISPLAY[m]").wish("@a:b", Some(&name));
            if one != other {
                prop_assert_ne!(wish.candidate(one, Some(length)), wish.candidate(other, Some(length)));
            }
        }
    }
}
