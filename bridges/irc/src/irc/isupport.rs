//! What a server says it supports: numeric 005
//! ([ISUPPORT](https://modern.ircdocs.horse/#feature-advertisement)).

use std::collections::BTreeMap;
use std::fmt;

use super::casemapping::CaseMapping;
use super::limits;
use super::message::Message;
use super::mode::ModeKind;

/// What a server says it supports, with the defaults of RFC 1459 where it says nothing.
///
/// Tokens may come in several messages, at any time, and be taken back by a `-` before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isupport {
    tokens: BTreeMap<String, String>,
    casemapping: CaseMapping,
    /// Letters and signs of the ranks, the highest first.
    ranks: Vec<(char, char)>,
}

impl Default for Isupport {
    fn default() -> Self {
        let mut isupport =
            Self { tokens: BTreeMap::new(), casemapping: CaseMapping::default(), ranks: Vec::new() };
        isupport.refresh();
        isupport
    }
}

impl Isupport {
    /// Reads tokens between spaces, as `Display` writes them.
    pub fn parse(text: &str) -> Self {
        let mut isupport = Self::default();
        isupport.apply(text.split(' '));
        isupport
    }

    /// Takes in a 005. What stands in other messages is ignored.
    pub fn receive(&mut self, message: &Message) {
        if message.numeric() != Some(super::numeric::Numeric::RPL_ISUPPORT) || message.params.len() < 3 {
            return;
        }
        // The first parameter is our nick, the last a sentence.
        let tokens: Vec<_> = (1..message.params.len() - 1).map(|at| message.text(at).into_owned()).collect();
        self.apply(tokens.iter().map(String::as_str));
    }

    /// Takes in tokens: `KEY`, `KEY=value`, `-KEY`.
    pub fn apply<'a>(&mut self, tokens: impl IntoIterator<Item = &'a str>) {
        for token in tokens.into_iter().filter(|token| !token.is_empty()) {
            if let Some(key) = token.strip_prefix('-') {
                self.tokens.remove(&key.to_ascii_uppercase());
                continue;
            }
            let (key, value) = token.split_once('=').unwrap_or((token, ""));
            if !key.is_empty() {
                self.tokens.insert(key.to_ascii_uppercase(), unescape(value));
            }
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        self.casemapping = self.get("CASEMAPPING").map_or(CaseMapping::default(), CaseMapping::from_token);
        let prefix = self.get("PREFIX").unwrap_or("(ov)@+");
        let (modes, signs) =
            prefix.strip_prefix('(').and_then(|rest| rest.split_once(')')).unwrap_or(("", ""));
        self.ranks = modes.chars().zip(signs.chars()).collect();
    }

    /// A token's value; empty if it has none, `None` if the server did not say it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.tokens.get(key).map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<usize> {
        self.get(key)?.parse().ok()
    }

    /// How names are compared.
    pub fn casemapping(&self) -> CaseMapping {
        self.casemapping
    }

    /// The signs that channels begin with.
    pub fn channel_types(&self) -> &str {
        self.get("CHANTYPES").unwrap_or("#&")
    }

    /// Whether a name is a channel's.
    pub fn is_channel(&self, name: &str) -> bool {
        let mut rest = name.chars();
        let named = rest.next().is_some_and(|sign| self.channel_types().contains(sign)) && name.len() > 1;
        named && rest.all(|c| !c.is_ascii_control() && !matches!(c, ' ' | ','))
    }

    /// Letters and signs of the ranks, the highest first: `('o', '@')`.
    pub fn ranks(&self) -> &[(char, char)] {
        &self.ranks
    }

    /// The rank that a sign before a nick stands for.
    pub fn mode_of_sign(&self, sign: char) -> Option<char> {
        self.ranks.iter().find(|(_, known)| *known == sign).map(|(mode, _)| *mode)
    }

    /// The sign of a rank.
    pub fn sign_of_mode(&self, mode: char) -> Option<char> {
        self.ranks.iter().find(|(known, _)| *known == mode).map(|(_, sign)| *sign)
    }

    /// Whether a mode is a rank of a member.
    pub fn is_rank(&self, mode: char) -> bool {
        self.sign_of_mode(mode).is_some()
    }

    /// How a channel mode treats its argument.
    pub fn mode_kind(&self, mode: char) -> ModeKind {
        if self.is_rank(mode) {
            return ModeKind::Rank;
        }
        let kinds = [ModeKind::List, ModeKind::Always, ModeKind::WhenSet];
        let mut groups = self.get("CHANMODES").unwrap_or("beI,k,l,imnpst").split(',');
        kinds
            .into_iter()
            .find(|_| groups.next().is_some_and(|group| group.contains(mode)))
            .unwrap_or(ModeKind::Flag)
    }

    /// Takes the signs of ranks off a name in a list of names: `@+alice` is alice, operator and voiced.
    pub fn strip_ranks<'a>(&self, name: &'a str) -> (Vec<char>, &'a str) {
        let nick = name.trim_start_matches(|sign| self.mode_of_sign(sign).is_some());
        let signs = &name[..name.len() - nick.len()];
        (signs.chars().filter_map(|sign| self.mode_of_sign(sign)).collect(), nick)
    }

    /// The channel of a target that means only those of a rank in it: `@#channel`.
    pub fn status_target<'a>(&self, target: &'a str) -> Option<&'a str> {
        let signs = self.get("STATUSMSG").unwrap_or_default();
        let channel = target.trim_start_matches(|sign| signs.contains(sign));
        (channel.len() < target.len() && self.is_channel(channel)).then_some(channel)
    }

    /// The longest nick, if the server says. In bytes.
    pub fn nick_length(&self) -> Option<usize> {
        self.number("NICKLEN").or_else(|| self.number("MAXNICKLEN")).filter(|length| *length > 0)
    }

    /// The longest topic, if the server says. In bytes.
    pub fn topic_length(&self) -> Option<usize> {
        self.number("TOPICLEN")
    }

    /// The longest reason of a kick, if the server says. In bytes.
    pub fn kick_length(&self) -> Option<usize> {
        self.number("KICKLEN")
    }

    /// The longest line, its end included.
    pub fn line_length(&self) -> usize {
        self.number("LINELEN")
            .map_or(limits::LINE, |length| length.clamp(limits::LINE, limits::TAGS_RECEIVED))
    }

    /// How many modes with an argument fit into one `MODE`.
    pub fn modes_per_line(&self) -> usize {
        match self.get("MODES") {
            None => 3,
            Some("") => 20,
            Some(count) => count.parse().unwrap_or(3).clamp(1, 20),
        }
    }

    /// The network's name, if the server says.
    pub fn network(&self) -> Option<&str> {
        self.get("NETWORK").filter(|name| !name.is_empty())
    }

    /// The user mode that marks programs, if there is one.
    pub fn bot_mode(&self) -> Option<char> {
        self.get("BOT")?.chars().next()
    }
}

/// Writes the tokens between spaces.
impl fmt::Display for Isupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.tokens.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            let equals = if value.is_empty() { "" } else { "=" };
            write!(f, "{space}{key}{equals}{}", escape(value))?;
        }
        Ok(())
    }
}

/// `\x20` is a space.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\x") {
        let hex = rest.get(at + 2..at + 4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        out.push_str(&rest[..at]);
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push_str("\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\x5C").replace(' ', "\\x20").replace('=', "\\x3D")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Isupport;
    use crate::irc::casemapping::CaseMapping;
    use crate::irc::message::Message;

    #[test]
    fn the_lines_of_a_real_server_are_understood() {
        let mut isupport = Isupport::default();
        for line in [
            ":irc.test.local 005 x AWAYLEN=200 CASEMAPPING=ascii CHANTYPES=#&+ MODES NICKLEN=31 :are supported by this server",
            ":irc.test.local 005 x PREFIX=(qaohv)~&@%+ STATUSMSG=~&@%+ NETWORK=Test\\x20Net CHANMODES=Ibe,k,Hl,imnt BOT=B :are supported by this server",
        ] {
            isupport.receive(&Message::parse(line.as_bytes()).expect("a command"));
        }
        assert_eq!(isupport.casemapping(), CaseMapping::Ascii);
        assert_eq!(isupport.nick_length(), Some(31));
        assert_eq!(isupport.network(), Some("Test Net"));
        assert_eq!(isupport.modes_per_line(), 20);
        assert_eq!(isupport.bot_mode(), Some('B'));
        assert!(isupport.is_channel("+x") && isupport.is_channel("#x") && !isupport.is_channel("!x"));
        assert!(!["#", "", "#a b", "#a,b", "#a\x07"].iter().any(|name| isupport.is_channel(name)));
        assert_eq!(isupport.strip_ranks("~@+bob"), (vec!['q', 'o', 'v'], "bob"));
        assert_eq!(isupport.status_target("@#c"), Some("#c"));
        assert_eq!(isupport.status_target("#c"), None);
        assert_eq!(isupport.mode_of_sign('%'), Some('h'));
        assert_eq!(Isupport::parse(&isupport.to_string()), isupport);
    }

    #[test]
    fn a_token_that_is_taken_back_falls_to_its_default() {
        let mut isupport = Isupport::parse("CASEMAPPING=ascii PREFIX=(o)@ NICKLEN=9");
        isupport.apply(["-CASEMAPPING", "-NICKLEN", "-PREFIX", "-NEVER", ""]);
        assert_eq!(isupport, Isupport::default());
        assert_eq!(isupport.casemapping(), CaseMapping::Rfc1459);
        assert_eq!(isupport.ranks(), [('o', '@'), ('v', '+')]);
    }

    #[test]
    fn values_that_make_no_sense_fall_to_the_defaults() {
        let isupport = Isupport::parse("NICKLEN=many LINELEN=3 MODES=x PREFIX=ov NICKLEN= =x");
        assert_eq!((isupport.nick_length(), isupport.line_length()), (None, 512));
        assert_eq!(isupport.modes_per_line(), 3);
        assert!(isupport.ranks().is_empty());
        assert_eq!(Isupport::parse("LINELEN=99999").line_length(), 8191);
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_back(tokens in proptest::collection::vec("[A-Za-z]{1,8}(=.{0,12})?", 0..8)) {
            let mut isupport = Isupport::default();
            isupport.apply(tokens.iter().map(String::as_str));
            prop_assert_eq!(Isupport::parse(&isupport.to_string()), isupport);
        }
    }
}
