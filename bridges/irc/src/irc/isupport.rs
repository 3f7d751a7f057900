//! What a network says of itself: numeric 005 ([ISUPPORT]).
//!
//! [ISUPPORT]: https://modern.ircdocs.horse/#rplisupport-005

use std::collections::BTreeMap;
use std::fmt;

use super::casemapping::CaseMapping;

/// The features of a network. What it did not say has the defaults of RFC 2812.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isupport {
    tokens: BTreeMap<String, String>,
}

impl Isupport {
    /// Reads tokens as `Display` writes them.
    pub fn parse(text: &str) -> Self {
        let mut isupport = Self::default();
        text.split(' ').for_each(|token| isupport.set(token));
        isupport
    }

    /// Takes in one token: `NAME`, `NAME=value` or `-NAME`.
    pub fn set(&mut self, token: &str) {
        if let Some(name) = token.strip_prefix('-') {
            self.tokens.remove(name);
        } else if !token.is_empty() {
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            self.tokens.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The value of a token.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tokens.get(name).map(String::as_str)
    }

    /// How names are compared.
    pub fn casemapping(&self) -> CaseMapping {
        self.get("CASEMAPPING").map(CaseMapping::named).unwrap_or_default()
    }

    /// Whether a name is a channel's.
    pub fn is_channel(&self, name: &str) -> bool {
        let types = self.get("CHANTYPES").unwrap_or("#&");
        let mut rest = name.chars();
        let fits = |c: char| !c.is_ascii_control() && c != ' ' && c != ',';
        rest.next().is_some_and(|sign| types.contains(sign)) && name.len() > 1 && rest.all(fits)
    }

    /// The ranks in a channel, from high to low: mode letters and the signs before nicks.
    pub fn ranks(&self) -> impl Iterator<Item = (char, char)> {
        let value = self.get("PREFIX").unwrap_or("(ov)@+");
        let (modes, signs) =
            value.strip_prefix('(').and_then(|rest| rest.split_once(')')).unwrap_or_default();
        modes.chars().zip(signs.chars())
    }

    /// The rank that a sign before a nick stands for.
    pub fn mode_of_sign(&self, sign: char) -> Option<char> {
        self.ranks().find(|(_, other)| *other == sign).map(|(mode, _)| mode)
    }

    /// Whether a channel mode is a rank of a member.
    pub fn is_rank(&self, mode: char) -> bool {
        self.ranks().any(|(rank, _)| rank == mode)
    }

    /// Which kind of channel mode a letter is: 0 is a list, 1 always has an argument, 2 has one when it is set, 3 has
    /// none.
    pub fn mode_kind(&self, mode: char) -> usize {
        let kinds = self.get("CHANMODES").unwrap_or("beI,k,l,imnpst");
        kinds.split(',').position(|letters| letters.contains(mode)).unwrap_or(3)
    }

    /// The longest nick, if the network says.
    pub fn nick_length(&self) -> Option<usize> {
        self.get("NICKLEN").or_else(|| self.get("MAXNICKLEN"))?.parse().ok()
    }

    /// The longest line, if the network says.
    pub fn line_length(&self) -> Option<usize> {
        self.get("LINELEN")?.parse().ok()
    }
}

impl fmt::Display for Isupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.tokens.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            let equals = if value.is_empty() { "" } else { "=" };
            write!(f, "{blank}{name}{equals}{value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_says_is_read_and_what_it_does_not_say_has_defaults() {
        let silent = Isupport::default();
        assert!(silent.is_channel("#c") && !silent.is_channel("+c") && !silent.is_channel("#"));
        assert_eq!(silent.mode_of_sign('@'), Some('o'));
        let isupport = Isupport::parse(
            "PREFIX=(qaohv)~&@%+ CHANTYPES=#&+ CASEMAPPING=ascii NICKLEN=31 CHANMODES=be,k,l,im",
        );
        assert!(isupport.is_channel("+c"));
        assert_eq!(isupport.mode_of_sign('~'), Some('q'));
        assert!(isupport.is_rank('h') && !isupport.is_rank('b'));
        assert_eq!(isupport.casemapping(), CaseMapping::Ascii);
        assert_eq!(isupport.nick_length(), Some(31));
        assert_eq!("bklix".chars().map(|mode| isupport.mode_kind(mode)).collect::<Vec<_>>(), [0, 1, 2, 3, 3]);
    }

    #[test]
    fn a_token_can_be_taken_back_and_all_of_them_written_and_read_again() {
        let mut isupport = Isupport::parse("A=1 B C=");
        isupport.set("-A");
        assert_eq!(isupport.get("A"), None);
        assert_eq!(Isupport::parse(&isupport.to_string()), isupport);
        assert_eq!(Isupport::parse(""), Isupport::default());
    }

    #[test]
    fn nonsense_does_no_harm() {
        for text in ["PREFIX=", "PREFIX=(ov", "PREFIX=)(", "CHANMODES=", "NICKLEN=x", "=", "-", "CHANTYPES="]
        {
            let isupport = Isupport::parse(text);
            let _ = (isupport.ranks().count(), isupport.mode_kind('b'), isupport.nick_length());
            let _ = (isupport.is_channel(""), isupport.is_channel("é"));
        }
    }
}
