//! What lines are read as, and that nothing makes two of one.

use proptest::prelude::*;

use super::{Line, Message, Source, decode};
use crate::irc::limits;

fn read(line: &str) -> Message {
    Message::parse(line.as_bytes()).unwrap_or_else(|| panic!("{line:?} has a command"))
}

fn params(line: &[u8]) -> Vec<Vec<u8>> {
    Message::parse(line).expect("a command").params.iter().map(|param| param.to_vec()).collect()
}

#[test]
fn a_line_is_taken_apart() {
    let message = read("@a=1;b :nick!user@host PRIVMSG #c :hello  there \r\n");
    assert_eq!(message.tags.get("a"), Some("1"));
    assert_eq!(message.source, Some(Source::parse("nick!user@host")));
    assert_eq!(&*message.command, "PRIVMSG");
    assert_eq!(message.params, ["#c", "hello  there "]);
}

#[test]
fn a_colon_before_the_last_parameter_means_nothing() {
    for (one, other) in [
        ("JOIN :#c", "JOIN #c"),
        ("AUTHENTICATE :+", "AUTHENTICATE +"),
        (":s MODE #c +H :20:1h", ":s MODE #c +H 20:1h"),
        ("PING  :x", "PING x  "),
        ("ping x", "PING x\r"),
        ("PING x", "\0PI\0NG x\r\n"),
        ("PING x", "   PING x"),
    ] {
        assert_eq!(read(one), read(other), "{one} / {other}");
    }
}

#[test]
fn parameters_keep_their_bytes() {
    for (line, expected) in [
        (&b"A b :"[..], vec![b"b".to_vec(), Vec::new()]),
        (b"A ::b", vec![b":b".to_vec()]),
        (b"A b:c :d", vec![b"b:c".to_vec(), b"d".to_vec()]),
        (b"A \xff\xfe :\xc3", vec![b"\xff\xfe".to_vec(), b"\xc3".to_vec()]),
        (b"A :one\rtwo\r\n", vec![b"one\rtwo".to_vec()]),
        (b"A\tb c", vec![b"c".to_vec()]),
        (b"A", vec![]),
    ] {
        assert_eq!(params(line), expected, "{line:?}");
    }
}

#[test]
fn lines_without_command_are_nothing() {
    for line in ["", "\r\n", "   ", ":server", "@a=b", "@a=b :nick", ":", "@", "\0\0\r\n"] {
        assert_eq!(Message::parse(line.as_bytes()), None, "{line:?}");
    }
    assert_eq!(read(": PING x").source, None);
}

#[test]
fn more_parameters_than_anybody_sends_are_one_in_the_end() {
    let many = format!("A{}", " x".repeat(limits::PARAMS + 10));
    let message = read(&many);
    assert_eq!(message.params.len(), limits::PARAMS);
    assert_eq!(message.last(), "x".to_owned() + &" x".repeat(10));
}

#[test]
fn sources_are_people_or_servers() {
    for (text, nick, user, host, server) in [
        ("bob!~b@ex.org", "bob", Some("~b"), Some("ex.org"), false),
        ("irc.example.org", "irc.example.org", None, None, true),
        ("NickServ", "NickServ", None, None, false),
        ("bob@ex.org", "bob", None, Some("ex.org"), false),
        ("smith/m!~u@", "smith/m", Some("~u"), Some(""), false),
    ] {
        let source = Source::parse(text);
        assert_eq!((source.nick(), source.user(), source.host()), (nick, user, host));
        assert_eq!(source.is_server(), server, "{text}");
        assert_eq!(source.to_string(), text);
    }
}

#[test]
fn text_that_is_not_utf8_is_read_as_old_clients_write_it() {
    assert_eq!(decode("grün".as_bytes()), "grün");
    assert_eq!(decode(b"gr\xfcn \x80"), "grün €");
    assert_eq!(decode(b"cut \xe2\x82"), "cut \u{fffd}");
}

#[test]
fn no_parameter_makes_a_second_line() {
    for bad in ["", ":x", "a b", "a\rb", "a\nb", "a\0b"] {
        let error = Line::new("KICK").middle("#c").expect("fine").middle(bad).expect_err(bad);
        assert_eq!((error.command.as_str(), error.index), ("KICK", 2));
        assert!(bad.is_empty() || !error.to_string().contains(bad));
    }
    let line = Line::new("topic\r\n").middle("#c").expect("fine").trailing("a\r\nb\0c\rd");
    assert_eq!(line.as_bytes(), b"TOPIC #c :abcd");
    assert_eq!(line.len_on_wire(), 16);
}

#[test]
fn a_typed_line_ends_where_it_would_begin_another() {
    assert_eq!(Line::raw(" MODE #c +i\nQUIT").expect("a command").as_bytes(), b"MODE #c +i");
    assert_eq!(Line::raw("MODE #c +i\rQUIT").expect("a command").as_bytes(), b"MODE #c +i");
    for nothing in ["", "\nQUIT", "  ", ":x", "@a=b "] {
        assert_eq!(Line::raw(nothing), None, "{nothing:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    for line in [
        "PASS hunter2",
        "AUTHENTICATE aHVudGVyMg== hunter2",
        "OPER root hunter2",
        "PRIVMSG NickServ :IDENTIFY hunter2",
        "PRIVMSG nickserv@services.example :IDENTIFY hunter2",
        "@label=1 NS IDENTIFY hunter2",
    ] {
        let line = Line::raw(line).expect("a command");
        assert!(!format!("{line:?} {line}").contains("hunter2"), "{line}");
    }
    assert_eq!(Line::raw("PRIVMSG #c :hi").expect("a command").to_string(), "PRIVMSG #c :hi");
}

prop_compose! {
    fn middle()(word in "[^ \r\n\0:][^ \r\n\0]{0,12}") -> Vec<u8> { word.into_bytes() }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        nick in "[a-z]{1,9}", command in "[A-Z]{1,8}", words in proptest::collection::vec(middle(), 0..5),
        text in "[^\r\n\0]{0,50}", key in "[a-z]{1,5}", value in "[^\0]{0,20}",
    ) {
        let mut message = Message::new(&command, words);
        message.params.push(text.into_bytes().into());
        message.source = Some(Source::parse(&format!("{nick}!u@h")));
        message.tags.insert(&key, &value);
        let line = message.to_line().expect("all words are fine");
        prop_assert!(!line.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        prop_assert_eq!(Message::parse(line.as_bytes()), Some(message));
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Some(message) = Message::parse(&bytes) {
            prop_assert!(message.params.len() <= limits::PARAMS);
            let _ = (message.to_string(), message.last(), message.numeric(), message.tags.time());
            if let Ok(line) = message.to_line() {
                prop_assert!(!line.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            }
        }
    }

    #[test]
    fn no_text_ends_a_line(target in ".{0,20}", text in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(line) = Line::new("PRIVMSG").middle(&target) {
            let line = line.trailing(&text);
            prop_assert!(!line.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            let message = Message::parse(line.as_bytes()).expect("a command");
            prop_assert_eq!(message.bytes(0), target.as_bytes());
            prop_assert_eq!(message.params.len(), 2);
        }
    }
}
