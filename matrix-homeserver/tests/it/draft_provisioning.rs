//! Rooms and users that are made from the answers of application services, by the worked IRC example of the early draft.

use http::StatusCode;
use matrix_homeserver::testing::{TestUser, encode};
use serde_json::{Value, json};

use crate::{
    fake_appservice::{FakeAppservice, Request},
    support::Server,
};

const ALIAS: &str = "#irc.freenode.net/#matrix:hs.test";
const ROOM: &str = "!irc.freenode.net/#matrix:hs.test";
const BOB: &str = "@irc.freenode.net/Bob:hs.test";
const STARTED: u64 = 1_421_416_883_133;

/// The room as the draft tells it, with more state.
fn room(state: &Value) -> Value {
    let mut all = vec![json!({
        "content": {"name": "#matrix"}, "user_id": BOB, "state_key": "", "type": "m.room.name",
    })];
    all.extend(state.as_array().cloned().unwrap_or_default());
    json!({
        "events": [
            {
                "content": {"body": "hello?", "msgtype": "m.text"}, "origin_server_ts": STARTED,
                "user_id": BOB, "type": "m.room.message",
            },
            {
                "content": {"body": "anybody?", "msgtype": "m.text"}, "origin_server_ts": STARTED + 5,
                "user_id": BOB, "type": "m.room.message",
            },
        ],
        "state": all,
    })
}

async fn answering(room: Value) -> FakeAppservice {
    FakeAppservice::scripted(move |request: Request| {
        let body = if request.path.starts_with("/rooms/") {
            Some(room.clone())
        } else if request.path.starts_with("/users/") && request.id() == BOB {
            Some(json!({"profile": {"display_name": "Bob"}}))
        } else {
            request.path.starts_with("/transactions/").then(|| json!({}))
        };
        Box::pin(
            async move { body.map_or((StatusCode::NOT_FOUND, Value::Null), |body| (StatusCode::OK, body)) },
        )
    })
    .await
}

async fn register(server: &Server, appservice: &FakeAppservice) {
    let body = json!({
        "url": appservice.url, "as_token": "T_a",
        "namespaces": {
            "users": ["@irc\\.freenode\\.net/.*"],
            "aliases": ["#irc\\.freenode\\.net/.*"],
            "rooms": ["!irc\\.freenode\\.net/.*"],
        },
    });
    server.post("/register", "", body).await.ok();
}

async fn server_for(appservice: &FakeAppservice) -> Server {
    let server = Server::with(|b| b.drafts(true).draft_provisioning(true)).await;
    register(&server, appservice).await;
    server
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    // Newest first.
    messages.iter().rev().filter_map(|event| event["content"]["body"].as_str()).collect()
}

#[tokio::test]
async fn a_room_is_made_with_a_fixed_id_from_the_answer_to_its_alias() {
    let appservice = answering(room(&json!([]))).await;
    let server = server_for(&appservice).await;
    let mut joining = Vec::new();
    for number in 0..4 {
        let user = server.hs.user(&format!("u{number}")).await.unwrap();
        joining.push(tokio::spawn(async move { user.join(ALIAS).await }));
    }
    for joined in joining {
        assert_eq!(joined.await.unwrap().unwrap(), ROOM);
    }
    let alice = server.hs.user("alice").await.unwrap();
    alice.join(ALIAS).await.unwrap();
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.name?format=event", encode(ROOM));
    let name = alice.get(&path).await.unwrap();
    assert_eq!((&name["content"]["name"], &name["sender"]), (&json!("#matrix"), &json!(BOB)));
    assert_eq!(
        name["origin_server_ts"], STARTED,
        "state is as old as the first message, unless it says so itself"
    );
    let create = alice.state(ROOM, "m.room.create", "").await.unwrap().unwrap();
    assert_eq!(create["room_version"], "11", "later versions do not leave the choice of the ID");
    assert_eq!(alice.state(ROOM, "m.room.join_rules", "").await.unwrap().unwrap()["join_rule"], "public");
    let levels = alice.state(ROOM, "m.room.power_levels", "").await.unwrap().unwrap();
    assert!(levels["users"].get(BOB).is_none(), "whoever set the name has no power left");
    let messages = alice.messages(ROOM, 50).await.unwrap();
    assert_eq!(bodies(&messages), ["hello?", "anybody?"]);
    let hello = messages.iter().find(|event| event["content"]["body"] == "hello?").unwrap();
    assert_eq!((&hello["sender"], hello["origin_server_ts"].as_u64()), (&json!(BOB), Some(STARTED)));
    let profile = server.get(&format!("/_matrix/client/v3/profile/{}", encode(BOB)), "").await.ok();
    assert_eq!(profile["displayname"], "Bob");
    alice.send_text(ROOM, "hi!").await.unwrap();
    let hi = |request: &Request| request.events().iter().any(|event| event["content"]["body"] == "hi!");
    let pushed = appservice.next(hi).await.events();
    assert!(pushed.iter().all(|event| event["room_id"] == ROOM));
}

#[tokio::test]
async fn state_in_the_answer_overrides_the_rules_and_what_is_not_allowed_is_left_out() {
    let state = json!([
        {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "invite"}, "origin_server_ts": 7},
        {"type": "m.room.power_levels", "content": {"users": {"@as:hs.test": 1}, "users_default": 0}},
        {"type": "m.room.topic", "content": {"topic": "x"}, "user_id": "@stranger:hs.test"},
        {"type": "m.room.create", "content": {"room_version": "1"}},
        {"type": "m.room.encryption", "user_id": BOB, "content": {"algorithm": "x"}},
    ]);
    let appservice = answering(room(&state)).await;
    let server = server_for(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    let refused = alice.join(ALIAS).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_FORBIDDEN"), "the room is made, and only who is invited may join");
    let directory = format!("/_matrix/client/v3/directory/room/{}", encode(ALIAS));
    assert_eq!(server.get(&directory, "").await.ok()["room_id"], ROOM);
    let bob = TestUser::masqueraded(server.hs.url(), ruma::OwnedUserId::try_from(BOB).unwrap(), "T_a");
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.join_rules?format=event", encode(ROOM));
    let rules = bob.get(&path).await.unwrap();
    assert_eq!((&rules["content"]["join_rule"], &rules["origin_server_ts"]), (&json!("invite"), &json!(7)));
    assert_eq!(bob.state(ROOM, "m.room.topic", "").await.unwrap(), None);
    let encryption = bob.state(ROOM, "m.room.encryption", "").await.unwrap().unwrap();
    assert_eq!(encryption["algorithm"], "x", "what Bob may not set, the application service may");
    assert_eq!(bodies(&bob.messages(ROOM, 50).await.unwrap()), ["hello?", "anybody?"]);
}

#[tokio::test]
async fn a_room_that_was_made_halfway_is_made_whole_when_it_is_asked_for_again() {
    let appservice = answering(room(&json!([]))).await;
    let server = server_for(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    alice.join(ALIAS).await.unwrap();
    // As after a crash before the alias was there.
    let directory = format!("/_matrix/client/v3/directory/room/{}", encode(ALIAS));
    server.raw(reqwest::Method::DELETE, &directory, Some("T_a"), None).await.ok();
    let carol = server.hs.user("carol").await.unwrap();
    assert_eq!(carol.join(ALIAS).await.unwrap(), ROOM);
    assert_eq!(
        bodies(&carol.messages(ROOM, 50).await.unwrap()),
        ["hello?", "anybody?"],
        "nothing is said twice"
    );
}

#[tokio::test]
async fn a_user_is_made_from_the_answer_to_its_query() {
    let appservice = answering(room(&json!([]))).await;
    let server = server_for(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    let own = alice.create_room(json!({"invite": [BOB]})).await.unwrap();
    let member = alice.state(&own, "m.room.member", BOB).await.unwrap().unwrap();
    assert_eq!((&member["membership"], &member["displayname"]), (&json!("invite"), &json!("Bob")));
}

#[tokio::test]
async fn without_the_option_answers_make_nothing() {
    let appservice = answering(room(&json!([]))).await;
    let server = Server::with(|b| b.drafts(true)).await;
    register(&server, &appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    let refused = alice.join(ALIAS).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_NOT_FOUND"));
    appservice.next(|request| request.path.starts_with("/rooms/")).await;
}

#[tokio::test]
async fn a_malformed_room_makes_nothing() {
    for body in [json!({"state": 3}), json!({"events": [{"type": "m.room.message"}]}), json!({"state": [[]]})]
    {
        let appservice = answering(body).await;
        let server = server_for(&appservice).await;
        let alice = server.hs.user("alice").await.unwrap();
        assert_eq!(alice.join(ALIAS).await.unwrap_err().errcode(), Some("M_NOT_FOUND"));
    }
}
