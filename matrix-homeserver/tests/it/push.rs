//! Push rules, what is unread, notifications and pushers.

use matrix_homeserver::testing::TestUser;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn unread(user: &TestUser, room: &str) -> (u64, u64) {
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:1%7D%7D%7D";
    let sync = user.get(&format!("{V3}/sync?filter={filter}")).await.unwrap();
    let counts = &sync["rooms"]["join"][room]["unread_notifications"];
    (counts["notification_count"].as_u64().unwrap(), counts["highlight_count"].as_u64().unwrap())
}

async fn read(user: &TestUser, room: &str, event: &str, body: Value) {
    user.post(&format!("{V3}/rooms/{room}/receipt/m.read/{event}"), body).await.unwrap();
}

struct Pair {
    _server: Server,
    alice: TestUser,
    bob: TestUser,
    room: String,
}

async fn pair() -> Pair {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap().to_string();
    bob.join(&room).await.unwrap();
    Pair { _server: server, alice, bob, room }
}

#[tokio::test]
async fn rules_and_pushers_of_a_user_have_a_bounded_size() {
    let Pair { _server: server, alice, .. } = &pair().await;
    let put = |number: usize, size: usize| {
        let path = format!("{V3}/pushrules/global/content/rule{number}");
        let body = json!({"pattern": "x".repeat(size), "actions": []});
        async move { server.put(&path, alice.access_token(), body).await }
    };
    put(1, 200_000).await.ok();
    put(2, 100_000).await.refused(413, "M_TOO_LARGE");
    put(1, 100).await.ok();
    put(2, 100_000).await.ok();
    let pusher = |pushkey: String, filler: usize| {
        let data = json!({"url": "https://push.test/_matrix/push/v1/notify", "x": "x".repeat(filler)});
        let body = json!({"app_id": "a", "pushkey": pushkey, "kind": "http", "app_display_name": "a",
            "device_display_name": "d", "lang": "en", "data": data});
        async move { server.post(&format!("{V3}/pushers/set"), alice.access_token(), body).await }
    };
    pusher("0".into(), 20_000).await.refused(413, "M_TOO_LARGE");
    for number in 0..100 {
        pusher(number.to_string(), 0).await.ok();
    }
    pusher("100".into(), 0).await.refused(413, "M_TOO_LARGE");
    pusher("99".into(), 1).await.ok();
}

#[tokio::test]
async fn what_others_say_is_unread_until_a_receipt_covers_it() {
    let Pair { alice, bob, room, .. } = &pair().await;
    assert_eq!(unread(alice, room).await.1, 0);
    let start = unread(alice, room).await.0;
    bob.send_text(room, "one").await.unwrap();
    let mention =
        json!({"msgtype": "m.text", "body": "alice", "m.mentions": {"user_ids": [alice.user_id()]}});
    let second = bob.send_event(room, "m.room.message", mention).await.unwrap();
    alice.send_text(room, "my own").await.unwrap();
    assert_eq!(unread(alice, room).await, (start + 2, 1));
    let third = bob.send_text(room, "three").await.unwrap();
    assert_eq!(unread(alice, room).await, (start + 3, 1));
    read(alice, room, second.as_str(), json!({})).await;
    assert_eq!(unread(alice, room).await, (1, 0));
    read(alice, room, third.as_str(), json!({})).await;
    assert_eq!(unread(alice, room).await, (0, 0));
    let bob_own = unread(bob, room).await;
    assert_eq!(bob_own, (1, 0), "bob has not read what alice said");
}

#[tokio::test]
async fn a_thread_is_counted_apart_and_read_apart() {
    let Pair { alice, bob, room, .. } = &pair().await;
    let root = alice.send_text(room, "root").await.unwrap();
    read(alice, room, root.as_str(), json!({})).await;
    let reply = json!({"msgtype": "m.text", "body": "in the thread",
        "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
    let reply = bob.send_event(room, "m.room.message", reply).await.unwrap();
    bob.send_text(room, "outside").await.unwrap();
    assert_eq!(unread(alice, room).await.0, 2);
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22unread_thread_notifications%22:true%7D%7D%7D";
    let sync = alice.get(&format!("{V3}/sync?filter={filter}")).await.unwrap();
    let joined = &sync["rooms"]["join"][room];
    assert_eq!(joined["unread_notifications"]["notification_count"], 1);
    assert_eq!(joined["unread_thread_notifications"][root.as_str()]["notification_count"], 1);
    read(alice, room, reply.as_str(), json!({"thread_id": root})).await;
    assert_eq!(unread(alice, room).await.0, 1);
}

#[tokio::test]
async fn rules_are_made_changed_obeyed_and_deleted() {
    let Pair { alice, bob, room, .. } = &pair().await;
    let rules = alice.get(&format!("{V3}/pushrules/")).await.unwrap();
    assert_eq!(rules["global"]["override"][0]["rule_id"], ".m.rule.master");
    let sync = alice.get(&format!("{V3}/sync")).await.unwrap();
    let events = sync["account_data"]["events"].as_array().unwrap();
    let told = events.iter().find(|event| event["type"] == "m.push_rules").expect("the rules are told");
    assert_eq!(told["content"], rules);
    let since = sync["next_batch"].as_str().unwrap();

    let quiet = format!("{V3}/pushrules/global/room/{room}");
    alice.put(&quiet, json!({"actions": []})).await.unwrap();
    let sync = alice.get(&format!("{V3}/sync?since={since}")).await.unwrap();
    assert_eq!(sync["account_data"]["events"][0]["type"], "m.push_rules");
    let before = unread(alice, room).await.0;
    bob.send_text(room, "nobody hears").await.unwrap();
    assert_eq!(unread(alice, room).await.0, before);

    let loud = format!("{V3}/pushrules/global/content/word");
    alice
        .put(&loud, json!({"actions": ["notify", {"set_tweak": "highlight"}], "pattern": "teapot"}))
        .await
        .unwrap();
    bob.send_text(room, "a TEAPOT!").await.unwrap();
    assert_eq!(unread(alice, room).await.1, 1);
    assert_eq!(alice.get(&format!("{loud}/enabled")).await.unwrap(), json!({"enabled": true}));
    alice.put(&format!("{loud}/enabled"), json!({"enabled": false})).await.unwrap();
    bob.send_text(room, "another teapot").await.unwrap();
    assert_eq!(alice.get(&loud).await.unwrap()["enabled"], false);
    alice.put(&format!("{loud}/actions"), json!({"actions": ["notify"]})).await.unwrap();
    assert_eq!(alice.get(&format!("{loud}/actions")).await.unwrap(), json!({"actions": ["notify"]}));
    alice.delete(&loud).await.unwrap();
    assert_eq!(alice.get(&loud).await.unwrap_err().errcode(), Some("M_NOT_FOUND"));
}

#[tokio::test]
async fn malformed_rules_and_pushers_are_refused_by_name() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let token = alice.access_token();
    let rule = |rest: &str| format!("{V3}/pushrules/global/{rest}");
    for (path, body, status, errcode) in [
        (rule("override/.mine"), json!({"actions": []}), 400, "M_INVALID_PARAM"),
        (rule("strange/mine"), json!({"actions": []}), 400, "M_INVALID_PARAM"),
        (rule("content/mine"), json!({"actions": []}), 400, "M_MISSING_PARAM"),
        (rule("room/nowhere"), json!({"actions": []}), 400, "M_INVALID_PARAM"),
        (rule("sender/nobody"), json!({"actions": []}), 400, "M_INVALID_PARAM"),
        (rule("override/mine"), json!({"actions": 7}), 400, "M_BAD_JSON"),
        (rule("override/mine?before=none"), json!({"actions": []}), 404, "M_NOT_FOUND"),
        (rule("override/none/enabled"), json!({"enabled": true}), 404, "M_NOT_FOUND"),
        (rule("override/none/actions"), json!({"actions": []}), 404, "M_NOT_FOUND"),
    ] {
        server.put(&path, token, body).await.refused(status, errcode);
    }
    let answer = server.raw(Method::DELETE, &rule("override/.m.rule.master"), Some(token), None).await;
    answer.refused(400, "M_INVALID_PARAM");
    let pusher = json!({"app_id": "a", "pushkey": "k", "kind": "http", "app_display_name": "A",
        "device_display_name": "D", "lang": "en", "data": {"url": "https://push.test/_matrix/push/v1/notify"}});
    let set = format!("{V3}/pushers/set");
    for (member, value, errcode) in [
        ("app_id", json!(null), "M_MISSING_PARAM"),
        ("kind", json!("pigeon"), "M_INVALID_PARAM"),
        ("data", json!({"url": "http://push.test/"}), "M_INVALID_PARAM"),
        ("data", json!({}), "M_MISSING_PARAM"),
    ] {
        let mut wrong = pusher.clone();
        wrong[member] = value;
        server.post(&set, token, wrong).await.refused(400, errcode);
    }
    server.post(&set, token, pusher.clone()).await.ok();
    server.post(&set, token, pusher.clone()).await.ok();
    let pushers = server.get(&format!("{V3}/pushers"), token).await.ok();
    assert_eq!(pushers, json!({ "pushers": [pusher] }));
    server.post(&set, token, json!({"app_id": "a", "pushkey": "k", "kind": null})).await.ok();
    assert_eq!(server.get(&format!("{V3}/pushers"), token).await.ok(), json!({"pushers": []}));
}

#[tokio::test]
async fn notifications_are_listed_from_the_newest_in_pages() {
    let Pair { alice, bob, room, .. } = &pair().await;
    for text in ["one", "two", "three"] {
        bob.send_text(room, text).await.unwrap();
    }
    let page = alice.get(&format!("{V3}/notifications?limit=2")).await.unwrap();
    let texts = |page: &Value| -> Vec<String> {
        let list = page["notifications"].as_array().unwrap().iter();
        list.filter_map(|n| n["event"]["content"]["body"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(texts(&page), ["three", "two"]);
    assert_eq!(page["notifications"][0]["room_id"], room.as_str());
    assert_eq!(page["notifications"][0]["read"], false);
    let next = page["next_token"].as_str().unwrap();
    let page = alice.get(&format!("{V3}/notifications?limit=2&from={next}")).await.unwrap();
    assert_eq!(texts(&page)[0], "one");
    let loud = alice.get(&format!("{V3}/notifications?only=highlight")).await.unwrap();
    assert_eq!(texts(&loud), [""; 0]);
    let refused = alice.get(&format!("{V3}/notifications?from=nonsense")).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"));
}

#[tokio::test]
async fn rules_are_put_in_the_place_that_is_asked_for() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let order = || async {
        let rules = alice.get(&format!("{V3}/pushrules/global/")).await.unwrap();
        let own = rules["content"].as_array().unwrap().iter();
        own.filter(|rule| rule["default"] == false)
            .map(|rule| rule["rule_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let put = |rule: &'static str| {
        let (alice, path) = (alice.clone(), format!("{V3}/pushrules/global/content/{rule}"));
        async move { alice.put(&path, json!({"actions": ["notify"], "pattern": "x"})).await }
    };
    put("first").await.unwrap();
    put("second").await.unwrap();
    assert_eq!(order().await, ["second", "first"], "a new rule comes before the others");
    put("third?after=second").await.unwrap();
    assert_eq!(order().await, ["second", "third", "first"]);
    put("first?before=second").await.unwrap();
    assert_eq!(order().await, ["first", "second", "third"]);
    let missing = put("fourth?before=none").await.unwrap_err();
    assert_eq!(missing.errcode(), Some("M_NOT_FOUND"));
    // Rules of the server can be silenced, but not replaced or deleted.
    let default = format!("{V3}/pushrules/global/override/.m.rule.suppress_notices");
    alice.put(&format!("{default}/enabled"), json!({"enabled": false})).await.unwrap();
    assert_eq!(alice.get(&default).await.unwrap()["enabled"], false);
    let refused = alice.delete(&default).await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(400), Some("M_INVALID_PARAM")));
}

#[tokio::test]
async fn a_new_name_reads_nothing() {
    let Pair { alice, bob, room, .. } = &pair().await;
    let carol_side = bob.create_room(json!({"preset": "public_chat"})).await.unwrap().to_string();
    alice.join(&carol_side).await.unwrap();
    bob.send_text(&carol_side, "one").await.unwrap();
    bob.send_text(room, "one").await.unwrap();
    let before = (unread(alice, room).await, unread(alice, &carol_side).await);
    assert_eq!(before.1, (1, 0));
    let name = format!("{V3}/profile/@alice:hs.test/displayname");
    alice.put(&name, json!({"displayname": "Alice"})).await.unwrap();
    assert_eq!((unread(alice, room).await, unread(alice, &carol_side).await), before);
    let told = alice.get(&format!("{V3}/notifications")).await.unwrap();
    let texts = told["notifications"].as_array().unwrap().iter();
    assert_eq!(texts.filter(|told| told["event"]["content"]["body"] == "one").count(), 2);
}
