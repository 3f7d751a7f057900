//! How long things may be.

/// The longest line without tags, its end included, that a server must take and relay
/// ([RFC 1459, section 2.3](https://www.rfc-editor.org/rfc/rfc1459#section-2.3)). `LINELEN` may allow more.
pub const LINE: usize = 512;

/// The longest tag section that a client may send, `@` and the space included
/// ([message-tags](https://ircv3.net/specs/extensions/message-tags#size-limit)).
pub const TAGS_SENT: usize = 4096;

/// The longest tag section that a server may send, `@` and the space included.
pub const TAGS_RECEIVED: usize = 8191;

/// The longest line that is read. Longer ones are skipped up to their end. Above what the specifications allow,
/// because servers are generous.
pub const RECEIVED: usize = 16 * 1024;

/// Parameters of one message. RFC 1459 allows 15; more are read because servers are generous.
pub const PARAMS: usize = 64;

/// The longest host that networks are known to show. Used where the own one is not known.
pub const HOST: usize = 63;

/// The longest user name that networks are known to show, with the `~` of an unverified one.
pub const USER: usize = 11;

/// The longest chunk of an `AUTHENTICATE` ([SASL](https://ircv3.net/specs/extensions/sasl-3.1)).
pub const SASL_CHUNK: usize = 400;

/// How many bytes of text fit into one message so that all receive it whole.
///
/// The server relays `:nick!user@host COMMAND target :text` and cuts it at `line` bytes. Where the own user name
/// and host are not known, the longest are assumed.
///
/// ```
/// use matrix_irc_bridge::irc::limits::text_budget;
///
/// let budget = text_budget(512, "alice", Some("~al@example.org"), "PRIVMSG", "#rust");
/// let frame = ":alice!~al@example.org PRIVMSG #rust :\r\n".len();
/// assert_eq!(budget, 512 - frame);
/// ```
pub fn text_budget(line: usize, nick: &str, userhost: Option<&str>, command: &str, target: &str) -> usize {
    let userhost = userhost.map_or(USER + 1 + HOST, str::len);
    let marks = ":!   :\r\n".len();
    line.saturating_sub(marks + nick.len() + userhost + command.len() + target.len())
}
