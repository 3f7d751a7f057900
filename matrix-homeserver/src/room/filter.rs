//! Which events a client wants to see ([filtering]).
//!
//! [filtering]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::filter::{RoomEventFilter, UrlFilter},
};

use crate::event::Pdu;

/// Whether a filter lets an event of a room through.
pub(crate) fn lets_through(filter: &RoomEventFilter, pdu: &Pdu) -> bool {
    lets_type_through(filter.types.as_deref(), &filter.not_types, || pdu.event_type.to_string())
        && lets_user_through(filter.senders.as_deref(), &filter.not_senders, &pdu.sender)
        && lets_room_through(filter.rooms.as_deref(), &filter.not_rooms, &pdu.room_id)
        && match filter.url_filter {
            None => true,
            Some(UrlFilter::EventsWithUrl) => pdu.content_text("url").is_some(),
            Some(UrlFilter::EventsWithoutUrl) => pdu.content_text("url").is_none(),
        }
}

/// Whether lists of wanted and unwanted types let an event of a type through. `*` stands for any text.
pub(crate) fn lets_type_through(
    types: Option<&[String]>,
    not_types: &[String],
    event_type: impl FnOnce() -> String,
) -> bool {
    if types.is_none() && not_types.is_empty() {
        return true;
    }
    let event_type = event_type();
    let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, &event_type));
    types.is_none_or(any) && !any(not_types)
}

/// Whether lists of wanted and unwanted users let an event of a user through.
pub(crate) fn lets_user_through(
    users: Option<&[OwnedUserId]>,
    not_users: &[OwnedUserId],
    user_id: &UserId,
) -> bool {
    users.is_none_or(|users| users.iter().any(|user| user == user_id))
        && !not_users.iter().any(|user| user == user_id)
}

/// Whether lists of wanted and unwanted rooms let a room through.
pub(crate) fn lets_room_through(
    rooms: Option<&[OwnedRoomId]>,
    not_rooms: &[OwnedRoomId],
    room_id: &RoomId,
) -> bool {
    rooms.is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
        && !not_rooms.iter().any(|room| room == room_id)
}

/// Whether a text is what a pattern describes, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
            ("m.room.*", "m.room.", true),
            ("m.*.member", "m.room.member", true),
            ("m.*.member", "m.member", false),
            ("*", "", true),
            ("*.member", "m.room.member", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_with_parts_replaced_by_stars_matches(text in "[a-c.]{0,12}", from in 0_usize..12, to in 0_usize..12) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(matches(&pattern, &text));
        }
    }
}
