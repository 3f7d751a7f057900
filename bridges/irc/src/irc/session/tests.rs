//! Sessions played from transcripts: `>` is what the session sends, `<` what the server does, `!` what happened.

use proptest::prelude::*;

use super::{Credentials, Event, Identity, Refusal, Session};
use crate::irc::message::{Line, Message};
use crate::mapping::WishedNick;

fn identity() -> Identity {
    Identity {
        nick: WishedNick::exactly("alice"),
        nick_length: None,
        user: "al".to_owned(),
        realname: "Alice :)".to_owned(),
        password: None,
        account: None,
        account_required: false,
    }
}

fn with_account(required: bool) -> Identity {
    let account = Credentials::Password { account: "a".to_owned(), password: "secret".to_owned() };
    Identity { account: Some(account), account_required: required, ..identity() }
}

fn wire(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| format!("> {}", String::from_utf8_lossy(line.as_bytes()))).collect()
}

/// Plays a transcript and checks each step.
fn play(identity: Identity, transcript: &str) -> Session {
    let (mut session, first) = Session::begin(identity).expect("a user name");
    let mut said = wire(&first);
    let mut steps = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mut step = "the beginning".to_owned();
    loop {
        let expected: Vec<&str> =
            std::iter::from_fn(|| steps.next_if(|line| !line.starts_with('<'))).collect();
        assert_eq!(said, expected, "after {step}");
        let Some(line) = steps.next() else { return session };
        step = line.to_owned();
        let message = Message::parse(&line.as_bytes()[2..]).expect("a command");
        let reaction = session.receive(&message);
        said = wire(&reaction.send);
        said.extend(reaction.event.map(|event| format!("! {event:?}")));
    }
}

#[test]
fn a_network_from_before_capabilities_lets_us_in() {
    let session = play(
        Identity { password: Some("pass word".to_owned()), ..identity() },
        "> CAP LS :302
         > PASS :pass word
         > NICK :alice
         > USER al 0 * :Alice :)
         < :irc.test.local 421 * CAP :Unknown command
         < PING :1234
         > PONG :1234
         < :irc.test.local 001 alice :Welcome to the Internet Relay Network alice!~al@localhost
         < :irc.test.local 005 alice CASEMAPPING=ascii NICKLEN=31 :are supported on this server
         < :irc.test.local 422 alice :No MOTD file
         ! Welcomed
         < PING irc.test.local
         > PONG :irc.test.local",
    );
    assert_eq!((session.nick(), session.userhost()), ("alice", None));
    assert_eq!(session.isupport().nick_length(), Some(31));
}

#[test]
fn capabilities_are_settled_before_the_negotiation_ends() {
    let session = play(
        identity(),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS * :batch sasl=PLAIN extended-join
         < :s CAP * LS :server-time standard-replies
         > CAP REQ :batch extended-join server-time
         < :s CAP * NAK :batch extended-join server-time
         > CAP REQ :batch
         > CAP REQ :extended-join
         > CAP REQ :server-time
         < :s CAP * ACK :batch
         < :s CAP * NAK :extended-join
         < :s CAP * ACK :server-time
         > CAP END
         < :s 001 alice2 :Welcome
         < :s 376 alice2 :End of MOTD
         ! Welcomed
         < :s CAP alice2 NEW :chghost
         > CAP REQ :chghost
         < :s CAP alice2 ACK :chghost
         < :s CAP alice2 DEL :batch",
    );
    assert_eq!(session.nick(), "alice2", "the server has the last word");
    assert_eq!(session.capabilities().iter().collect::<Vec<_>>(), ["chghost", "server-time"]);
    assert!(session.has("chghost"));
}

#[test]
fn an_account_is_used_where_it_is_offered() {
    let session = play(
        with_account(true),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :sasl=PLAIN,EXTERNAL
         > CAP REQ :sasl
         < :s CAP * ACK :sasl
         > AUTHENTICATE PLAIN
         < AUTHENTICATE :+
         > AUTHENTICATE YQBhAHNlY3JldA==
         < :s 900 * *!*@* a :You are now logged in as a
         ! LoggedIn(\"a\")
         < :s 903 * :SASL authentication successful
         > CAP END",
    );
    assert_eq!(session.account(), Some("a"));
    assert!(!format!("{session:?}").contains("secret"));
}

#[test]
fn a_refused_account_keeps_nobody_out_who_can_do_without() {
    let session = play(
        with_account(false),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :sasl
         > CAP REQ :sasl
         < :s CAP * ACK :sasl
         > AUTHENTICATE PLAIN
         < AUTHENTICATE +
         > AUTHENTICATE YQBhAHNlY3JldA==
         < :s 904 * :SASL authentication failed
         > CAP END
         ! LoggedOut(Some(\"SASL authentication failed\"))",
    );
    assert_eq!(session.login_failure(), Some("SASL authentication failed"));
}

#[test]
fn a_required_account_fails_closed() {
    play(
        with_account(true),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :batch
         > CAP REQ :batch
         < :s CAP * ACK :batch
         ! Refused(Account(\"it offers no accounts now\"))",
    );
    play(
        with_account(true),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :sasl=ECDSA-NIST256P-CHALLENGE
         > CAP REQ :sasl
         < :s CAP * ACK :sasl
         ! Refused(Account(\"it offers no way to log in that the bridge knows\"))",
    );
}

#[test]
fn services_that_come_back_are_logged_in_to_again() {
    let session = play(
        with_account(false),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :batch
         > CAP REQ :batch
         < :s CAP * NEW :sasl=SCRAM-SHA-256,PLAIN
         > CAP REQ :sasl
         < :s CAP * DEL :sasl
         < :s CAP * ACK :batch
         > CAP END
         < :s 001 alice :Welcome
         < :s 422 alice :no motd
         ! Welcomed
         < :s CAP alice NEW :sasl=PLAIN
         > CAP REQ :sasl
         < :s CAP alice ACK :sasl
         > AUTHENTICATE PLAIN
         < AUTHENTICATE +
         > AUTHENTICATE YQBhAHNlY3JldA==
         < :s 900 alice alice!al@h a :You are now logged in as a
         ! LoggedIn(\"a\")
         < :s 903 alice :yes
         < :s 901 alice alice!al@h :You are now logged out
         ! LoggedOut(None)",
    );
    assert_eq!(session.account(), None);
}

#[test]
fn another_mechanism_is_tried_when_one_is_not_there() {
    play(
        with_account(false),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s CAP * LS :sasl=SCRAM-SHA-256,PLAIN
         > CAP REQ :sasl
         < :s CAP * ACK :sasl
         > AUTHENTICATE SCRAM-SHA-256
         < :s 908 * PLAIN,EXTERNAL :are available SASL mechanisms
         < :s 904 * :SASL authentication failed
         > AUTHENTICATE PLAIN
         < :s 902 * :You must use a nick assigned to you
         > CAP END
         ! LoggedOut(Some(\"You must use a nick assigned to you\"))",
    );
}

#[test]
fn taken_nicks_are_numbered_and_refused_ones_shortened() {
    let nick = WishedNick::exactly("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    play(
        Identity { nick, nick_length: Some(40), ..identity() },
        "> CAP LS :302
         > NICK :abcdefghijklmnopqrstuvwxyzabcdefghijklmn
         > USER al 0 * :Alice :)
         < :s 432 * abc :Erroneous Nickname
         > NICK :abcdefghijklmnopqrstuvwxyzabcd
         < :s 433 * abc :Nickname is already in use
         > NICK :abcdefghijklmnopqrstuvwxyzabc2
         < :s 432 * abc :Erroneous Nickname
         > NICK :abcdefghijklmnopqrs2
         < :s 437 * abc :Nick is temporarily unavailable
         > NICK :abcdefghijklmnopqrs3
         < :s 432 * abc :x
         > NICK :abcdefghijklmn3
         < :s 432 * abc :x
         > NICK :abcdefgh3
         < :s 432 * abc :x
         > NICK :guest3
         < :s 432 * abc :x
         ! Refused(Nick)",
    );
}

#[test]
fn the_search_for_a_nick_ends() {
    let (mut session, _) = Session::begin(identity()).expect("a user name");
    let taken = Message::parse(b":s 433 * x :taken").expect("a command");
    let ended = (0..100).position(|_| session.receive(&taken).event == Some(Event::Refused(Refusal::Nick)));
    assert_eq!(ended, Some(19));
}

#[test]
fn who_is_turned_away_knows_whether_to_come_back() {
    for (line, refusal) in [
        (":s 464 alice :Password incorrect", Refusal::Barred("Password incorrect".to_owned())),
        (":s 465 alice :Begone", Refusal::Barred("Begone".to_owned())),
        ("ERROR :Closing link: (x) [No more connections allowed from your host via this connect class (local)]",
            Refusal::Closed("Closing link: (x) [No more connections allowed from your host via this connect class (local)]".to_owned())),
        ("ERROR :Access denied: Bad password?", Refusal::Closed("Access denied: Bad password?".to_owned())),
    ] {
        let (mut session, _) = Session::begin(identity()).expect("a user name");
        let reaction = session.receive(&Message::parse(line.as_bytes()).expect("a command"));
        assert_eq!(reaction.event, Some(Event::Refused(refusal)), "{line}");
        assert!(reaction.internal);
    }
}

#[test]
fn the_own_name_and_host_are_followed() {
    let session = play(
        identity(),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s 001 alice :Welcome
         < :s 376 alice :End
         ! Welcomed
         < :s 396 alice cloak.example :is now your displayed host
         < :bob!b@h JOIN #c
         < :Alice!~al@127.0.0.1 JOIN #c
         < :s 396 alice hidden.example :is now your displayed host
         < :bob!b@h CHGHOST x y
         < :alice!~al@h NICK :Guest12345
         ! Renamed
         < :alice!~al@h NICK :eve
         < :s 433 * Guest12345 alice :taken
         < :s 005 Guest12345 NICKLEN=9 :are supported
         ! Features
         < ERROR :Closing link
         ! Closing(\"Closing link\")",
    );
    assert_eq!(session.nick(), "Guest12345");
    assert_eq!(session.userhost(), Some("~al@hidden.example"));
    let mut session = session;
    for (line, userhost) in [
        (":s 396 x u@v.w :is now", "u@v.w"),
        (":Guest12345!a@b CHGHOST ~c d", "~c@d"),
        (":s 396 x e.f :is", "~c@e.f"),
    ] {
        session.receive(&Message::parse(line.as_bytes()).expect("a command"));
        assert_eq!(session.userhost(), Some(userhost), "{line}");
    }
}

#[test]
fn only_lines_for_the_session_are_kept_from_others() {
    let mut session = play(
        identity(),
        "> CAP LS :302
         > NICK :alice
         > USER al 0 * :Alice :)
         < :s 001 alice :Welcome
         < :s 376 alice :End
         ! Welcomed",
    );
    for (line, internal) in [
        ("PING x", true),
        (":s CAP alice NEW :x", true),
        ("AUTHENTICATE +", true),
        (":bob!b@h PRIVMSG alice :hi", false),
        (":alice!b@h NICK :alice3", false),
        (":s 404 alice #c :no", false),
        (":s 433 alice x :no", false),
    ] {
        let reaction = session.receive(&Message::parse(line.as_bytes()).expect("a command"));
        assert_eq!(reaction.internal, internal, "{line}");
    }
}

#[test]
fn nothing_in_an_identity_makes_a_second_line() {
    let strange = Identity {
        nick: WishedNick::exactly("a\r\nQUIT"),
        realname: "x\r\nQUIT".to_owned(),
        password: Some("p\nQUIT".to_owned()),
        ..identity()
    };
    let (_, lines) = Session::begin(strange).expect("a user name");
    assert!(lines.iter().all(|line| !line.as_bytes().contains(&b'\n')));
    assert!(Session::begin(Identity { user: "a b".to_owned(), ..identity() }).is_err());
}

proptest! {
    #[test]
    fn no_server_is_too_strange(lines in proptest::collection::vec(
        "(:s |:alice!a@b )?(CAP|AUTHENTICATE|PING|NICK|JOIN|ERROR|CHGHOST|001|005|376|396|43[236]|46[45]|90[0-8])( (alice|\\*|LS|ACK|NAK|NEW|DEL|#c|sasl|:sasl batch|\\+|PREFIX=x)){0,4}",
        0..30,
    )) {
        let (mut session, _) = Session::begin(with_account(false)).expect("a user name");
        for line in lines {
            let reaction = session.receive(&Message::parse(line.as_bytes()).expect("a command"));
            prop_assert!(reaction.send.len() < 8);
        }
    }
}
