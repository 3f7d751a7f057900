//! What moves with a room into the one that replaces it.

use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn a_space_keeps_its_children_and_who_upgrades_it_keeps_his_level() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let child = alice.create_room(json!({})).await.unwrap();
    let space = alice
        .create_room(json!({
            "room_version": "10", "preset": "public_chat", "creation_content": {"type": "m.space"},
            "room_alias_name": "space",
            "power_level_content_override": {
                "users": {"@alice:hs.test": 100, "@bob:hs.test": 50}, "events": {"m.room.tombstone": 50},
            },
        }))
        .await
        .unwrap();
    alice.set_state(&space, "m.space.child", child.as_str(), json!({"via": ["hs.test"]})).await.unwrap();
    alice.ban(&space, "@eve:hs.test", "").await.unwrap();
    bob.join(&space).await.unwrap();
    let levels = alice.state(&space, "m.room.power_levels", "").await.unwrap().unwrap();
    let upgraded =
        bob.post(&format!("{V3}/rooms/{space}/upgrade"), json!({"new_version": "11"})).await.unwrap();
    let new = upgraded["replacement_room"].as_str().unwrap();
    let create = bob.state(new, "m.room.create", "").await.unwrap().unwrap();
    assert_eq!(create["type"], "m.space");
    let kept = bob.state(new, "m.space.child", child.as_str()).await.unwrap();
    assert_eq!(kept, Some(json!({"via": ["hs.test"]})));
    assert_eq!(bob.state(new, "m.room.power_levels", "").await.unwrap(), Some(levels));
    let eve = bob.state(new, "m.room.member", "@eve:hs.test").await.unwrap().unwrap();
    assert_eq!(eve["membership"], "ban");
    let alias = bob.state(new, "m.room.canonical_alias", "").await.unwrap().unwrap();
    assert_eq!(alias["alias"], "#space:hs.test");
    assert_eq!(alice.state(&space, "m.room.canonical_alias", "").await.unwrap(), Some(json!({})));
}

#[tokio::test]
async fn tags_and_direct_chats_follow_who_joins_the_new_room() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let user = |name: &str| format!("{V3}/user/@{name}:hs.test");
    for (person, name) in [(&alice, "alice"), (&bob, "bob")] {
        let tag = format!("{}/rooms/{room}/tags/m.favourite", user(name));
        person.put(&tag, json!({"order": 0.5})).await.unwrap();
    }
    bob.put(&format!("{}/account_data/m.direct", user("bob")), json!({"@alice:hs.test": [room]}))
        .await
        .unwrap();
    let upgraded =
        alice.post(&format!("{V3}/rooms/{room}/upgrade"), json!({"new_version": "12"})).await.unwrap();
    let new = upgraded["replacement_room"].as_str().unwrap();
    bob.join(new).await.unwrap();
    for (person, name) in [(&alice, "alice"), (&bob, "bob")] {
        let tags = person.get(&format!("{}/rooms/{new}/tags", user(name))).await.unwrap();
        assert_eq!(tags, json!({"tags": {"m.favourite": {"order": 0.5}}}));
    }
    let direct = bob.get(&format!("{}/account_data/m.direct", user("bob"))).await.unwrap();
    assert_eq!(direct, json!({"@alice:hs.test": [room, new]}));
}

#[tokio::test]
async fn push_rules_follow_who_joins_the_new_room() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let rules = format!("{V3}/pushrules/global");
    bob.put(&format!("{rules}/room/{room}"), json!({"actions": ["notify"]})).await.unwrap();
    let muted = json!({
        "actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": room}],
    });
    bob.put(&format!("{rules}/override/{room}"), muted).await.unwrap();
    let upgraded =
        alice.post(&format!("{V3}/rooms/{room}/upgrade"), json!({"new_version": "12"})).await.unwrap();
    let new = upgraded["replacement_room"].as_str().unwrap();
    let since = bob.get(&format!("{V3}/sync?timeout=0")).await.unwrap()["next_batch"].clone();
    bob.join(new).await.unwrap();
    let about = bob.get(&format!("{rules}/room/{new}")).await.unwrap();
    assert_eq!((&about["actions"], &about["enabled"]), (&json!(["notify"]), &json!(true)));
    let muted = bob.get(&format!("{rules}/override/{new}")).await.unwrap();
    assert_eq!(muted["conditions"][0]["pattern"], new);
    let told = bob.get(&format!("{V3}/sync?timeout=0&since={}", since.as_str().unwrap())).await.unwrap();
    assert_eq!(told["account_data"]["events"][0]["type"], "m.push_rules");
    bob.get(&format!("{rules}/room/{room}")).await.expect("the old room keeps its rule");
}

#[tokio::test]
async fn additional_creators_are_named_anew_in_every_upgrade() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"room_version": "11"})).await.unwrap();
    let path = |room: &str| format!("{V3}/rooms/{room}/upgrade");
    let body = json!({"new_version": "12", "additional_creators": ["@bob:hs.test"]});
    let first = alice.post(&path(room.as_str()), body).await.unwrap();
    let first = first["replacement_room"].as_str().unwrap();
    let create = alice.state(first, "m.room.create", "").await.unwrap().unwrap();
    assert_eq!(create["additional_creators"], json!(["@bob:hs.test"]));
    let second = alice.post(&path(first), json!({"new_version": "12"})).await.unwrap();
    let create = alice
        .state(second["replacement_room"].as_str().unwrap(), "m.room.create", "")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(create["additional_creators"], Value::Null);
    assert_eq!(create["predecessor"]["room_id"], first);
}
