//! The bridge's IRC core alone on real servers: being let in, accounts, lines that arrive whole.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use matrix_irc_bridge::format;
use matrix_irc_bridge::irc::casemapping::CaseMapping;
use matrix_irc_bridge::irc::connection::{self, Keepalive, OpenError, Pace, Stream, Target, Writer};
use matrix_irc_bridge::irc::limits;
use matrix_irc_bridge::irc::message::{Line, Message};
use matrix_irc_bridge::irc::sasl::Credentials;
use matrix_irc_bridge::irc::session::{Identity, Refusal};
use matrix_irc_bridge::mapping::WishedNick;
use rcgen::{CertificateParams, KeyPair};
use tests::irc::IrcClient;
use tests::require;
use tests::servers::{Atheme, InspIrcd, NgIrcd};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

fn identity(nick: &str) -> Identity {
    Identity {
        nick: WishedNick::exactly(nick),
        nick_length: None,
        user: "user".to_owned(),
        realname: "A Name: with : colons".to_owned(),
        password: None,
        account: None,
        account_required: false,
    }
}

fn with_password(nick: &str, password: &str) -> Identity {
    let account = Credentials::Password { account: "carol".to_owned(), password: password.to_owned() };
    Identity { account: Some(account), account_required: true, ..identity(nick) }
}

/// A connection, and what is sent on it.
struct Client {
    stream: Stream,
    writer: Writer,
}

impl Client {
    async fn open(server: SocketAddr, identity: Identity) -> Result<Self, OpenError> {
        Self::open_as(server, identity, None).await
    }

    /// With TLS and a certificate of its own.
    async fn open_as(server: SocketAddr, identity: Identity, own: Option<&Path>) -> Result<Self, OpenError> {
        let tls = own.map(|own| connection::client_config_as(None, true, Some(own)).unwrap());
        let target = Target {
            host: server.ip().to_string(),
            port: server.port(),
            tls,
            pace: Pace::default(),
            source: None,
        };
        let (lines, writer) = connection::connect(&target).await.unwrap();
        let keepalive = Keepalive { ask_after: DEADLINE, patience: DEADLINE };
        let opening = Stream::open(identity, lines, writer.clone(), keepalive);
        let stream = timeout(DEADLINE, opening).await.expect("an answer in time")?;
        Ok(Self { stream, writer })
    }

    async fn send(&self, line: &str) {
        assert!(self.writer.write(Line::raw(line).unwrap()).await);
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        let found = async {
            loop {
                if let Some(message) = self.stream.next().await.unwrap().filter(|message| wanted(message)) {
                    return message;
                }
            }
        };
        timeout(DEADLINE, found).await.expect("the line in time")
    }

    async fn join(&mut self, channel: &str) {
        self.send(&format!("JOIN {channel}")).await;
        self.wait_for(|message| &*message.command == "366").await;
    }

    fn budget(&self, target: &str) -> usize {
        let (session, known) = (self.stream.session(), self.stream.known());
        let known = known.lock();
        assert!(known.userhost.is_some(), "the own JOIN told it");
        let userhost = known.userhost.as_deref();
        limits::text_budget(known.line_length, session.nick(), userhost, "PRIVMSG", target)
    }
}

/// The longest line that the budget allows arrives whole, and one byte more does not.
async fn the_budget_is_exact(server: SocketAddr) {
    let mut bob = IrcClient::connect(server, "bob").await;
    bob.join("#budget").await;
    let mut client = Client::open(server, identity("alice")).await.unwrap();
    client.join("#budget").await;
    let budget = client.budget("#budget");
    let text: String = format!("begin {}", "ä€🦀 ".repeat(200));
    let lines = format::split(&text, budget);
    assert!(lines.len() > 2 && lines.iter().any(|line| line.len() + 4 > budget));
    for line in &lines {
        client.send(&format!("PRIVMSG #budget :{line}")).await;
        bob.wait_for_message(line).await;
    }
    let exact = format!("{}.", "x".repeat(budget - 1));
    client.send(&format!("PRIVMSG #budget :{exact}")).await;
    bob.wait_for_message(&exact).await;
    client.send(&format!("PRIVMSG #budget :y{exact}")).await;
    let cut = bob.wait_for("the line that is too long", |line| line.parameter(1).starts_with('y')).await;
    assert!(!cut.parameter(1).ends_with('.'), "the server had room for more: the budget is too small");
}

#[tokio::test]
async fn ngircd_lets_us_in_without_capabilities_and_the_budget_is_exact() {
    let server = require!(NgIrcd::start().await);
    let client = Client::open(server.address, identity(&"n".repeat(40))).await.unwrap();
    assert!(client.stream.session().nick().len() < 40);
    assert_eq!(client.stream.isupport().casemapping(), CaseMapping::Ascii);
    assert!(!client.stream.session().has("server-time"));
    the_budget_is_exact(server.address).await;
}

#[tokio::test]
async fn inspircd_grants_capabilities_and_the_budget_is_exact() {
    let server = require!(InspIrcd::start().await);
    let client = Client::open(server.address, identity(&"n".repeat(40))).await.unwrap();
    assert_eq!(client.stream.session().nick(), "n".repeat(30), "432 was answered by a shorter nick");
    let taken = Client::open(server.address, identity(&"n".repeat(40))).await.unwrap();
    assert_eq!(taken.stream.session().nick(), format!("{}2", "n".repeat(29)));
    assert_eq!(client.stream.isupport().casemapping(), CaseMapping::Rfc1459);
    for capability in ["server-time", "message-tags", "echo-message", "labeled-response", "batch"] {
        assert!(client.stream.session().has(capability), "{capability}");
    }
    the_budget_is_exact(server.address).await;
}

#[tokio::test]
async fn an_account_is_logged_in_to_by_password_and_by_certificate() {
    let server = require!(InspIrcd::start().await);
    let _services = require!(Atheme::start(&server).await);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.pem");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    fs::write(&own, certificate.pem() + &key.serialize_pem()).unwrap();

    let mut carol = Client::open_as(server.tls_address, identity("carol"), Some(&own)).await.unwrap();
    carol.send("PRIVMSG NickServ :REGISTER pass carol@example.org").await;
    carol.wait_for(|message| &*message.command == "900").await;
    assert_eq!(carol.stream.session().account(), Some("carol"));
    carol.send("PRIVMSG NickServ :CERT ADD").await;
    carol.wait_for(|message| &*message.command == "NOTICE" && message.nick() == "NickServ").await;

    let by_password = Client::open(server.address, with_password("another", "pass")).await.unwrap();
    assert_eq!(by_password.stream.session().account(), Some("carol"));

    let wrong = Client::open(server.address, with_password("wrong", "guess")).await;
    assert!(matches!(wrong.err(), Some(OpenError::Refused(Refusal::Account(_)))));

    let external = Credentials::Certificate { account: "carol".to_owned() };
    let external = Identity { account: Some(external), account_required: true, ..identity("third") };
    let by_certificate = Client::open_as(server.tls_address, external, Some(&own)).await.unwrap();
    assert_eq!(by_certificate.stream.session().account(), Some("carol"));
}
