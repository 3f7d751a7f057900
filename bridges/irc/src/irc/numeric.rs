//! Numeric replies ([list](https://modern.ircdocs.horse/#numerics), [IRCv3](https://ircv3.net/registry)).

use std::fmt;

/// A reply's number, 0 to 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numeric(pub u16);

macro_rules! numerics {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)*) => {
        impl Numeric {
            $($(#[doc = $doc])+ pub const $name: Self = Self($number);)*
        }
    };
}

numerics! {
    /// Let in; the first parameter is the nick that the server gave.
    RPL_WELCOME = 1;
    /// What the server supports, token by token.
    RPL_ISUPPORT = 5;
    /// User modes after a change.
    RPL_UMODEIS = 221;
    /// Answer to `USERHOST`.
    RPL_USERHOST = 302;
    /// Who somebody is: nick, user, host.
    RPL_WHOISUSER = 311;
    /// The end of `WHOIS`.
    RPL_ENDOFWHOIS = 318;
    /// Modes of a channel.
    RPL_CHANNELMODEIS = 324;
    /// When a channel was made.
    RPL_CREATIONTIME = 329;
    /// A channel has no topic.
    RPL_NOTOPIC = 331;
    /// A channel's topic.
    RPL_TOPIC = 332;
    /// Who set the topic and when.
    RPL_TOPICWHOTIME = 333;
    /// Some of the names in a channel.
    RPL_NAMREPLY = 353;
    /// The end of the names.
    RPL_ENDOFNAMES = 366;
    /// The end of the message of the day.
    RPL_ENDOFMOTD = 376;
    /// The host that is shown for us.
    RPL_HOSTHIDDEN = 396;
    /// No such nick.
    ERR_NOSUCHNICK = 401;
    /// No such channel.
    ERR_NOSUCHCHANNEL = 403;
    /// A message was not let into its channel.
    ERR_CANNOTSENDTOCHAN = 404;
    /// In too many channels.
    ERR_TOOMANYCHANNELS = 405;
    /// A message without text.
    ERR_NOTEXTTOSEND = 412;
    /// A line that is too long.
    ERR_INPUTTOOLONG = 417;
    /// The server does not know a command.
    ERR_UNKNOWNCOMMAND = 421;
    /// There is no message of the day.
    ERR_NOMOTD = 422;
    /// `NICK` without a nick.
    ERR_NONICKNAMEGIVEN = 431;
    /// Not a nick: a character, or the length.
    ERR_ERRONEUSNICKNAME = 432;
    /// Somebody has the nick.
    ERR_NICKNAMEINUSE = 433;
    /// Two servers have somebody with the nick.
    ERR_NICKCOLLISION = 436;
    /// The nick, or the channel, is held back for a while.
    ERR_UNAVAILRESOURCE = 437;
    /// Not in that channel.
    ERR_NOTONCHANNEL = 442;
    /// Nicks cannot be changed now.
    ERR_CANTCHANGENICK = 447;
    /// Not let in yet.
    ERR_NOTREGISTERED = 451;
    /// Let in already.
    ERR_ALREADYREGISTERED = 462;
    /// No permission for this host.
    ERR_NOPERMFORHOST = 463;
    /// The server's password is wrong.
    ERR_PASSWDMISMATCH = 464;
    /// Banned from the server.
    ERR_YOUREBANNEDCREEP = 465;
    /// About to be banned from the server.
    ERR_YOUWILLBEBANNED = 466;
    /// Sent to another channel than asked for.
    ERR_LINKCHANNEL = 470;
    /// The channel is full.
    ERR_CHANNELISFULL = 471;
    /// Only with an invitation.
    ERR_INVITEONLYCHAN = 473;
    /// Banned from the channel.
    ERR_BANNEDFROMCHAN = 474;
    /// The channel has a key.
    ERR_BADCHANNELKEY = 475;
    /// Not a channel.
    ERR_BADCHANMASK = 476;
    /// Only for registered nicks.
    ERR_NEEDREGGEDNICK = 477;
    /// Only for operators of the channel.
    ERR_CHANOPRIVSNEEDED = 482;
    /// The connection is restricted: no changes of nick, no operators.
    ERR_RESTRICTED = 484;
    /// Unknown user mode.
    ERR_UMODEUNKNOWNFLAG = 501;
    /// Logged in to an account.
    RPL_LOGGEDIN = 900;
    /// Logged out of the account.
    RPL_LOGGEDOUT = 901;
    /// The account is locked.
    ERR_NICKLOCKED = 902;
    /// SASL worked.
    RPL_SASLSUCCESS = 903;
    /// SASL failed: wrong credentials.
    ERR_SASLFAIL = 904;
    /// A SASL message was too long.
    ERR_SASLTOOLONG = 905;
    /// SASL was given up.
    ERR_SASLABORTED = 906;
    /// SASL worked before.
    ERR_SASLALREADY = 907;
    /// The mechanisms that there are.
    RPL_SASLMECHS = 908;
}

impl Numeric {
    /// Reads a command that consists of three digits.
    pub fn parse(command: &str) -> Option<Self> {
        let digits = command.len() == 3 && command.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| command.parse().ok()).flatten().map(Self)
    }

    /// Whether it says that something went wrong.
    pub fn is_error(self) -> bool {
        matches!(self.0, 400..=599 | 716 | 902 | 904..=907)
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Numeric;

    #[test]
    fn three_digits_are_a_numeric_and_nothing_else_is() {
        for (command, expected) in [
            ("001", Some(1)),
            ("999", Some(999)),
            ("01", None),
            ("0001", None),
            ("+12", None),
            ("PING", None),
        ] {
            assert_eq!(Numeric::parse(command).map(|numeric| numeric.0), expected, "{command}");
        }
        assert_eq!(Numeric::RPL_WELCOME.to_string(), "001");
        assert!(Numeric::ERR_SASLFAIL.is_error() && !Numeric::RPL_SASLSUCCESS.is_error());
    }
}
