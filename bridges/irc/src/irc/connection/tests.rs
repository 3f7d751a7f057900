//! Connections to a peer that plays a script.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Keepalive, Lost, OpenError, Pace, Stream, Target, Writer, connect};
use crate::irc::message::{Line, Message};
use crate::irc::session::{Identity, Refusal};
use crate::mapping::WishedNick;

const DEADLINE: Duration = Duration::from_secs(20);

/// The other end.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the client takes it");
    }

    async fn hears(&mut self, expected: &str) {
        let mut line = String::new();
        timeout(DEADLINE, self.0.read_line(&mut line)).await.expect("in time").expect("a line");
        assert_eq!(line, format!("{expected}\r\n"));
    }

    async fn welcome(&mut self) {
        self.hears("CAP LS :302").await;
        self.hears("NICK :alice").await;
        self.hears("USER al 0 * :Alice").await;
        self.say(":s 001 alice :Welcome\r\n:s 005 alice NICKLEN=9 :are supported\r\n:s 422 alice :none\r\n")
            .await;
    }
}

fn identity() -> Identity {
    Identity {
        nick: WishedNick::exactly("alice"),
        nick_length: None,
        user: "al".to_owned(),
        realname: "Alice".to_owned(),
        password: None,
        account: None,
        account_required: false,
    }
}

fn keepalive() -> Keepalive {
    Keepalive { ask_after: Duration::from_mins(5), patience: Duration::from_mins(5) }
}

/// A connected pair: the peer, and the opening that goes on.
async fn pair(keepalive: Keepalive) -> (Peer, impl Future<Output = Result<(Stream, Writer), OpenError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().expect("an address").port(),
        tls: None,
        pace: Pace::default(),
        source: Some("127.0.0.1".parse().expect("an address")),
    };
    let (accepted, connected) = tokio::join!(listener.accept(), connect(&target));
    let (lines, writer) = connected.expect("the peer listens");
    let (stream, _) = accepted.expect("a client");
    let open = async move { Ok((Stream::open(identity(), lines, writer.clone(), keepalive).await?, writer)) };
    (Peer(BufReader::new(stream)), open)
}

async fn opened() -> (Peer, Stream, Writer) {
    let (mut peer, open) = pair(keepalive()).await;
    let ((), opened) = tokio::join!(peer.welcome(), open);
    let (stream, writer) = opened.expect("let in");
    (peer, stream, writer)
}

async fn next(stream: &mut Stream) -> Message {
    loop {
        let next = timeout(DEADLINE, stream.next()).await.expect("in time").expect("not lost");
        if let Some(message) = next {
            return message;
        }
    }
}

async fn lost(stream: &mut Stream) -> Lost {
    loop {
        if let Err(lost) = timeout(DEADLINE, stream.next()).await.expect("in time") {
            return lost;
        }
    }
}

#[tokio::test]
async fn a_peer_lets_us_in_and_we_talk() {
    let (mut peer, mut stream, writer) = opened().await;
    assert_eq!(stream.session().nick(), "alice");
    assert_eq!(stream.isupport().nick_length(), Some(9));
    peer.say(":alice!~al@example.org JOIN #c\r\n").await;
    assert_eq!(&*next(&mut stream).await.command, "JOIN");
    assert_eq!(stream.known().lock().userhost.as_deref(), Some("~al@example.org"));
    assert!(writer.write(Line::raw("PRIVMSG #c :hello").expect("a command")).await);
    peer.hears("PRIVMSG #c :hello").await;
    peer.say("PING :are you there\r\n:bob!b@h PRIVMSG #c :hi\r\n").await;
    assert_eq!(next(&mut stream).await.text(1), "hi");
    peer.hears("PONG :are you there").await;
}

#[tokio::test]
async fn whatever_a_peer_sends_the_next_line_is_read() {
    let (mut peer, mut stream, _writer) = opened().await;
    for (bytes, command, text) in [
        (
            [vec![b'x'; 64 * 1024], b"\r\n:b PRIVMSG a :after 64 KiB\r\n".to_vec()].concat(),
            "PRIVMSG",
            "after 64 KiB",
        ),
        (b":b PRIVMSG a :n\0u\0l\r\n".to_vec(), "PRIVMSG", "nul"),
        (b":b PRIVMSG a :lone\rCR\r\n".to_vec(), "PRIVMSG", "lone\rCR"),
        (b":b PRIVMSG a :gr\xfcn\n".to_vec(), "PRIVMSG", "gr\u{fc}n"),
        (b"\r\n\n   \r\n:b NOTICE a :\xe2\x82\r\n".to_vec(), "NOTICE", "\u{fffd}"),
        (b":only\r\n@a=b\r\nwallops :x\r\n".to_vec(), "WALLOPS", "x"),
    ] {
        peer.say(&bytes).await;
        let message = next(&mut stream).await;
        assert_eq!((&*message.command, &*message.last()), (command, text));
    }
}

#[tokio::test]
async fn text_that_arrives_byte_by_byte_is_put_together() {
    let (mut peer, mut stream, _writer) = opened().await;
    let feed = async {
        for byte in ":b PRIVMSG a :gr\u{fc}\u{df}e 🦀\r\n".as_bytes() {
            peer.say([*byte]).await;
            tokio::task::yield_now().await;
        }
    };
    let ((), message) = tokio::join!(feed, next(&mut stream));
    assert_eq!(message.text(1), "gr\u{fc}\u{df}e 🦀");
}

#[tokio::test]
async fn a_connection_that_is_closed_is_lost_and_says_why() {
    let (mut peer, mut stream, _writer) = opened().await;
    peer.say("ERROR :Closing link: (killed)\r\n").await;
    assert!(matches!(lost(&mut stream).await, Lost::Closing(text) if text == "Closing link: (killed)"));

    let (mut peer, mut stream, _writer) = opened().await;
    peer.say(":b PRIVMSG a :half a li").await;
    peer.0.shutdown().await.expect("half closed");
    assert!(matches!(lost(&mut stream).await, Lost::Closed), "half a line is none");

    let (peer, mut stream, writer) = opened().await;
    peer.0.get_ref().set_zero_linger().expect("a socket");
    drop(peer);
    assert!(matches!(lost(&mut stream).await, Lost::Broken(_) | Lost::Closed));
    drop(stream);
    let line = || Line::raw("PRIVMSG #c :lost").expect("a command");
    let refused = async { while writer.write(line()).await {} };
    timeout(DEADLINE, refused).await.expect("a dead socket takes nothing");
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_asked_and_then_given_up() {
    let keepalive = Keepalive { ask_after: Duration::from_millis(50), patience: Duration::from_millis(50) };
    let (mut peer, open) = pair(keepalive).await;
    let ((), opened) = tokio::join!(peer.welcome(), open);
    let (mut stream, _writer) = opened.expect("let in");
    assert!(matches!(lost(&mut stream).await, Lost::Silent));
    peer.hears("PING :keepalive").await;
}

#[tokio::test]
async fn a_peer_that_turns_us_away_is_quoted() {
    let (mut peer, open) = pair(keepalive()).await;
    peer.say("ERROR :Access denied: Bad password?\r\n").await;
    let Err(OpenError::Refused(Refusal::Closed(text))) = open.await else { panic!("let in") };
    assert_eq!(text, "Access denied: Bad password?");

    let (peer, open) = pair(keepalive()).await;
    drop(peer);
    assert!(matches!(open.await, Err(OpenError::Closed)));
}
