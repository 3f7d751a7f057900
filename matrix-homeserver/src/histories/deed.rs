//! What somebody does somewhere in the graph of a room.

use proptest::{prelude::*, sample::Index};
use ruma::{CanonicalJsonObject, OwnedUserId};
use serde_json::{Value, json};

use super::user;
use crate::event::ServerKey;

/// Who takes part; the first creates the room.
pub(crate) const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What somebody does, somewhere in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Which of the events so far it follows; the newest are the likeliest.
    pub(crate) parents: Vec<Index>,
    pub(crate) sender: usize,
    pub(crate) deed: Deed,
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Say,
    Topic(u8),
    /// Another state, under one of several keys.
    Note(u8),
    Power {
        of: usize,
        level: Value,
    },
    /// What it takes to do something.
    Threshold {
        name: &'static str,
        level: i64,
    },
    /// What it takes to send a type of event.
    Needed {
        event_type: &'static str,
        level: i64,
    },
    JoinRule(&'static str),
    Membership {
        of: usize,
        membership: &'static str,
    },
    /// A join that somebody in the room vouches for.
    JoinThrough(usize),
    /// An invitation for whoever turns out to be behind an address.
    Offer,
    /// The invitation of somebody who has shown that the address is theirs.
    Redeem(usize),
    /// The aliases of a server, which only that server may change in the first versions.
    Aliases(&'static str),
}

/// The event of a deed, before it has a place.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) event_type: &'static str,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Value,
}

impl Deed {
    /// What `sender` sends. Power levels are those before, with one changed; `key` is that of who knows addresses.
    pub(crate) fn done(&self, sender: usize, levels: &Value, key: &ServerKey) -> Done {
        let of_room = |event_type, content| Done { event_type, state_key: Some(String::new()), content };
        let of_user = |user_id: OwnedUserId, content| Done {
            event_type: "m.room.member",
            state_key: Some(user_id.to_string()),
            content,
        };
        match self {
            Self::Say => {
                Done { event_type: "m.room.message", state_key: None, content: json!({ "body": "x" }) }
            }
            Self::Topic(n) => of_room("m.room.topic", json!({ "topic": n.to_string() })),
            Self::Note(n) => Done {
                event_type: "org.example.note",
                state_key: Some((n % 3).to_string()),
                content: json!({ "n": n }),
            },
            Self::Power { of, level } => {
                of_room("m.room.power_levels", changed(levels, &["users", user(*of).as_str()], level.clone()))
            }
            Self::Threshold { name, level } => {
                of_room("m.room.power_levels", changed(levels, &[name], json!(level)))
            }
            Self::Needed { event_type, level } => {
                of_room("m.room.power_levels", changed(levels, &["events", event_type], json!(level)))
            }
            Self::JoinRule(rule) => {
                let allow = json!([{ "type": "m.room_membership", "room_id": "!elsewhere:hs.test" }]);
                of_room("m.room.join_rules", json!({ "join_rule": rule, "allow": allow }))
            }
            Self::Membership { of, membership } => of_user(user(*of), json!({ "membership": membership })),
            Self::JoinThrough(by) => of_user(
                user(sender),
                json!({ "membership": "join", "join_authorised_via_users_server": user(*by) }),
            ),
            Self::Offer => Done {
                event_type: "m.room.third_party_invite",
                state_key: Some("token".to_owned()),
                content: json!({ "display_name": "d", "public_key": key.public() }),
            },
            Self::Redeem(of) => of_user(user(*of), redeemed(&user(*of), key)),
            Self::Aliases(server) => Done {
                event_type: "m.room.aliases",
                state_key: Some((*server).to_owned()),
                content: json!({ "aliases": [] }),
            },
        }
    }
}

/// Power levels with a level changed.
fn changed(levels: &Value, path: &[&str], level: Value) -> Value {
    let mut levels = levels.clone();
    let mut place = &mut levels;
    for name in path {
        place = &mut place[*name];
    }
    *place = level;
    levels
}

/// An invitation with the proof that it is for this user.
fn redeemed(user_id: &OwnedUserId, key: &ServerKey) -> Value {
    let mut signed = CanonicalJsonObject::new();
    signed.insert("mxid".to_owned(), user_id.as_str().into());
    signed.insert("token".to_owned(), "token".into());
    key.sign(&mut signed).expect("an object without signatures can be signed");
    json!({ "membership": "invite", "third_party_invite": { "display_name": "d", "signed": signed } })
}

/// What is a level in some versions, or in none. Texts are in the versions before 10; what else Python takes for a number,
/// as `true` and `5_0`, is left out.
fn strange_levels() -> Vec<Value> {
    vec![
        json!("50"),
        json!(" 075"),
        json!("+100"),
        json!("-0"),
        json!("1.0"),
        json!("much"),
        json!(""),
        json!(-5),
        json!(9_007_199_254_740_991_i64),
        json!(null),
        json!({}),
        json!([]),
    ]
}

/// Anything that somebody might do, the common things most often.
pub(crate) fn deed() -> impl Strategy<Value = Deed> {
    let anyone = 0..USERS.len();
    let membership = proptest::sample::select(vec!["join", "leave", "ban", "invite", "knock"]);
    let number = proptest::sample::select(vec![0, 50, 75, 100]);
    let level = prop_oneof![
        8 => number.clone().prop_map(|level| json!(level)),
        2 => proptest::sample::select(strange_levels()),
    ];
    let threshold = proptest::sample::select(vec![
        "ban",
        "kick",
        "invite",
        "redact",
        "state_default",
        "events_default",
        "users_default",
    ]);
    let event_type =
        proptest::sample::select(vec!["m.room.topic", "m.room.power_levels", "m.room.join_rules"]);
    let rule = proptest::sample::select(vec![
        "public",
        "public",
        "invite",
        "knock",
        "restricted",
        "knock_restricted",
        "private",
        "nonsense",
    ]);
    prop_oneof![
        2 => Just(Deed::Say),
        2 => any::<u8>().prop_map(Deed::Topic),
        2 => any::<u8>().prop_map(Deed::Note),
        3 => (anyone.clone(), level).prop_map(|(of, level)| Deed::Power { of, level }),
        1 => (threshold, number.clone()).prop_map(|(name, level)| Deed::Threshold { name, level }),
        1 => (event_type, number).prop_map(|(event_type, level)| Deed::Needed { event_type, level }),
        2 => rule.prop_map(Deed::JoinRule),
        5 => (anyone.clone(), membership).prop_map(|(of, membership)| Deed::Membership { of, membership }),
        1 => anyone.clone().prop_map(Deed::JoinThrough),
        1 => Just(Deed::Offer),
        1 => anyone.prop_map(Deed::Redeem),
        1 => proptest::sample::select(vec!["hs.test", "elsewhere.test"]).prop_map(Deed::Aliases),
    ]
}

/// A number of steps; who may do more does more.
pub(crate) fn steps(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let parents = proptest::collection::vec(any::<Index>(), 1..4);
    let sender = proptest::sample::select(vec![0, 0, 0, 0, 1, 1, 1, 2, 2, 3]);
    let step = (parents, sender, deed()).prop_map(|(parents, sender, deed)| Step { parents, sender, deed });
    proptest::collection::vec(step, len)
}
