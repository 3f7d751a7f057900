//! The ledger itself: it has to notice what it is there to notice.

use std::panic::catch_unwind;

use super::*;

fn texts(letter: char, numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| format!("{letter}{number}")).collect()
}

fn line(raw: &str) -> Line {
    Line::parse(raw.as_bytes())
}

/// Three messages each way; the bridge, two connections, dies after Bob's second.
fn exact() -> Ledger {
    let stream = [
        ":bot!u@h JOIN #c",
        ":alice!u@h JOIN #c",
        ":bob!u@h PRIVMSG #c :i0",
        ":bob!u@h PRIVMSG #c :i1",
        ":alice!u@h QUIT :gone",
        ":bot!u@h QUIT :gone",
        ":bot!u@h JOIN #c",
        ":alice!u@h JOIN #c",
        ":bob!u@h PRIVMSG #c :i2",
    ]
    .map(line);
    let sent = |number| Sent { event_id: format!("${number}"), text: format!("m{number}") };
    Ledger {
        sent: (0..3).map(sent).collect(),
        on_irc: texts('m', &[0, 1, 2]),
        said_by_bob: texts('i', &[0, 1, 2]),
        lives: lives(&stream, 2),
        on_matrix: texts('i', &[0, 1, 2]),
        events: (0..3).map(|number| (format!("${number}"), 1)).collect(),
        reported: Vec::new(),
    }
}

fn holds(ledger: Ledger) -> bool {
    catch_unwind(move || {
        ledger.assert_acknowledged_events_are_there();
        ledger.assert_matrix_to_irc_is_exact();
        ledger.assert_irc_to_matrix_is_exact(1);
    })
    .is_ok()
}

#[test]
fn an_exact_ledger_holds() {
    assert!(holds(exact()));
}

#[test]
fn a_message_may_be_missing_on_irc_only_if_it_was_reported_once() {
    assert!(!holds(Ledger { on_irc: texts('m', &[0, 2]), ..exact() }));
    let once = vec!["$1".to_owned()];
    assert!(holds(Ledger { on_irc: texts('m', &[0, 2]), reported: once.clone(), ..exact() }));
    assert!(holds(Ledger { reported: once.clone(), ..exact() }));
    assert!(!holds(Ledger { reported: [once.clone(), once].concat(), ..exact() }));
}

#[test]
fn nothing_may_be_doubled_overtaken_or_invented() {
    for numbers in [[0, 1, 1, 2].as_slice(), &[0, 2, 1], &[0, 1, 2, 3], &[0, 1, 0, 2]] {
        assert!(!holds(Ledger { on_irc: texts('m', numbers), ..exact() }), "{numbers:?} on IRC");
        assert!(!holds(Ledger { on_matrix: texts('i', numbers), ..exact() }), "{numbers:?} in the room");
    }
}

#[test]
fn only_the_last_lines_before_a_death_may_be_missing_in_the_room() {
    assert!(holds(Ledger { on_matrix: texts('i', &[0, 2]), ..exact() }), "unread when it died");
    assert!(holds(Ledger { on_matrix: texts('i', &[2]), ..exact() }), "both unread when it died");
    assert!(!holds(Ledger { on_matrix: texts('i', &[1, 2]), ..exact() }), "a later one was read");
    assert!(!holds(Ledger { on_matrix: texts('i', &[0, 1]), ..exact() }), "nobody died after it");
}

#[test]
fn an_acknowledged_event_must_be_in_the_room_once() {
    for count in [0, 2] {
        let mut ledger = exact();
        ledger.events.insert("$1".to_owned(), count);
        assert!(!holds(ledger));
    }
}
