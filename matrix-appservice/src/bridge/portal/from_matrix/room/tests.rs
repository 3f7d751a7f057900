use serde_json::{Value, json};

use super::{MatrixEvent, member_action, power_levels};
use crate::bridge::{MemberAction, convert::object};

fn member(sender: &str, before: Option<&str>, now: &str) -> MatrixEvent {
    let unsigned = before.map_or(json!({}), |before| json!({ "prev_content": { "membership": before } }));
    serde_json::from_value(json!({
        "event_id": "$e", "room_id": "!r:hs", "sender": sender, "type": "m.room.member", "state_key": "@bob:hs",
        "content": { "membership": now }, "origin_server_ts": 1, "unsigned": unsigned,
    }))
    .expect("a valid event")
}

#[test]
fn a_membership_event_tells_who_did_what() {
    let bob = ruma::user_id!("@bob:hs");
    for (sender, before, now, expected) in [
        ("@bob:hs", None, "join", Some(MemberAction::Join)),
        ("@bob:hs", Some("invite"), "join", Some(MemberAction::Join)),
        ("@bob:hs", Some("join"), "join", None),
        ("@bob:hs", Some("join"), "leave", Some(MemberAction::Leave)),
        ("@bob:hs", Some("invite"), "leave", Some(MemberAction::Leave)),
        ("@eve:hs", Some("join"), "leave", Some(MemberAction::Kick)),
        ("@eve:hs", Some("ban"), "leave", Some(MemberAction::Unban)),
        ("@eve:hs", Some("join"), "ban", Some(MemberAction::Ban)),
        ("@eve:hs", None, "invite", Some(MemberAction::Invite)),
        ("@bob:hs", None, "knock", None),
    ] {
        assert_eq!(member_action(&member(sender, before, now), bob), expected, "{sender} {before:?} {now}");
    }
}

#[test]
fn power_levels_may_be_numbers_in_strings_and_nonsense_is_left_out() {
    let levels = power_levels(&object(
        json!({ "users": { "@a:hs": 50, "@b:hs": "25", "@c:hs": [] }, "users_default": 5 }),
    ));
    assert_eq!(
        [levels.of("@a:hs"), levels.of("@b:hs"), levels.of("@c:hs"), levels.of("@d:hs")],
        [50, 25, 5, 5]
    );
    assert_eq!(power_levels(&object(Value::Null)).of("@a:hs"), 0);
}
