//! Who sent a message.

use std::fmt;

/// `nick!user@host`, or the name of a server. Not unique: nicks change hands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    nick: Box<str>,
    user: Option<Box<str>>,
    host: Option<Box<str>>,
}

impl Source {
    /// Reads what stands between the colon and the space.
    pub fn parse(text: &str) -> Self {
        let (front, host) = match text.split_once('@') {
            Some((front, host)) => (front, Some(host)),
            None => (text, None),
        };
        let (nick, user) = match front.split_once('!') {
            Some((nick, user)) => (nick, Some(user)),
            None => (front, None),
        };
        Self { nick: nick.into(), user: user.map(Into::into), host: host.map(Into::into) }
    }

    /// The nick, or the server's name.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// The user name; a `~` before it says that nobody vouches for it.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host as the network shows it.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// `user@host`, if both are there.
    pub fn userhost(&self) -> Option<String> {
        Some(format!("{}@{}", self.user()?, self.host()?))
    }

    /// Whether a server sent it: no user name, and a dot, which no nick has.
    pub fn is_server(&self) -> bool {
        self.user.is_none() && self.host.is_none() && self.nick.contains('.')
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nick.is_empty() && self.user.is_none() && self.host.is_none()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.nick)?;
        if let Some(user) = &self.user {
            write!(f, "!{user}")?;
        }
        if let Some(host) = &self.host {
            write!(f, "@{host}")?;
        }
        Ok(())
    }
}
