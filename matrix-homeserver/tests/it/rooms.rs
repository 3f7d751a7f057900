//! Rooms: creation, membership, events, state, history.

use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

fn contents<'v>(state: &'v [Value], kind: &str) -> Vec<&'v Value> {
    state.iter().filter(|event| event["type"] == kind).map(|event| &event["content"]).collect()
}

#[tokio::test]
async fn a_room_starts_with_everything_that_its_creator_asked_for() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.user("bob").await.unwrap();
    let room = alice
        .create_room(json!({
            "name": "Name", "topic": "Topic", "room_alias_name": "here", "preset": "public_chat",
            "invite": ["@bob:hs.test"], "creation_content": {"m.federate": false},
            "initial_state": [{"type": "x.y", "content": {"a": 1}}, {"type": "x.z", "state_key": "k", "content": {}}],
            "power_level_content_override": {"events_default": 7},
        }))
        .await
        .unwrap();
    let state = alice.full_state(&room).await.unwrap();
    assert_eq!(contents(&state, "m.room.name")[0]["name"], "Name");
    assert_eq!(contents(&state, "m.room.topic")[0]["topic"], "Topic");
    assert_eq!(contents(&state, "m.room.join_rules")[0]["join_rule"], "public");
    assert_eq!(contents(&state, "m.room.canonical_alias")[0]["alias"], "#here:hs.test");
    assert_eq!(contents(&state, "m.room.create")[0]["m.federate"], false);
    assert_eq!(contents(&state, "m.room.power_levels")[0]["events_default"], 7);
    assert_eq!(contents(&state, "x.y")[0]["a"], 1);
    assert_eq!(contents(&state, "x.z").len(), 1);
    let memberships: Vec<_> =
        contents(&state, "m.room.member").iter().map(|content| content["membership"].clone()).collect();
    assert!(memberships.contains(&"join".into()) && memberships.contains(&"invite".into()));
}

#[tokio::test]
async fn rooms_are_made_in_every_supported_version() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let capabilities = alice.get(&format!("{V3}/capabilities")).await.unwrap();
    let available = capabilities["capabilities"]["m.room_versions"]["available"].as_object().unwrap().clone();
    for version in available.keys() {
        let room = alice.create_room(json!({"room_version": version})).await.unwrap();
        alice.send_text(&room, "hello").await.unwrap();
        let create = alice.state(&room, "m.room.create", "").await.unwrap().unwrap();
        assert_eq!(create["room_version"], version.as_str());
    }
    let mut numbers: Vec<u32> = available.keys().map(|version| version.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    for version in ["999", "", "x"] {
        let refused = alice.create_room(json!({"room_version": version})).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_UNSUPPORTED_ROOM_VERSION"), "{version}");
    }
}

#[tokio::test]
async fn rooms_of_the_first_versions_are_used_as_any_other_and_outlive_a_restart() {
    for version in ["1", "2"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::with(|builder| builder.data_dir(dir.path())).await;
        let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
        let room =
            alice.create_room(json!({"room_version": version, "preset": "public_chat"})).await.unwrap();
        bob.join(&room).await.unwrap();
        let event_id = bob.send_text(&room, "hello").await.unwrap();
        let event_id = event_id.to_string();
        assert!(event_id.ends_with(":hs.test"), "{event_id}");
        let path = format!("{V3}/rooms/{room}/redact/{}/1", event_id.replace('$', "%24"));
        let redacted = server.put(&path, bob.access_token(), json!({"reason": "spam"})).await.ok();
        let path = format!("{V3}/rooms/{room}/event/{}", event_id.replace('$', "%24"));
        let event = server.get(&path, alice.access_token()).await.ok();
        assert_eq!(event["content"], json!({}));
        assert_eq!(event["unsigned"]["redacted_because"]["event_id"], redacted["event_id"]);
        server.stop().await;

        let server = Server::with(|builder| builder.data_dir(dir.path())).await;
        let bob = server.hs.user("bob").await.unwrap();
        bob.send_text(&room, "again").await.unwrap();
        assert_eq!(server.get(&path, bob.access_token()).await.ok()["content"], json!({}));
    }
}

#[tokio::test]
async fn an_alias_can_be_taken_once() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    alice.create_room(json!({"room_alias_name": "here"})).await.unwrap();
    let taken = alice.create_room(json!({"room_alias_name": "here"})).await.unwrap_err();
    assert_eq!((taken.status(), taken.errcode()), (Some(400), Some("M_ROOM_IN_USE")));
    let bad = alice.create_room(json!({"room_alias_name": "a:b"})).await.unwrap_err();
    assert_eq!(bad.errcode(), Some("M_INVALID_PARAM"));
}

#[tokio::test]
async fn the_same_transaction_id_gives_the_same_event() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let content = json!({"msgtype": "m.text", "body": "once"});
    let first = alice.send_event_as(&room, "m.room.message", "t", content.clone()).await.unwrap();
    let again = alice.send_event_as(&room, "m.room.message", "t", content.clone()).await.unwrap();
    let other = alice.send_event_as(&room, "m.room.message", "u", content.clone()).await.unwrap();
    let kind = alice.send_event_as(&room, "x.y", "t", content).await.unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_ne!(first, kind);
    let messages = alice.messages(&room, 20).await.unwrap();
    assert_eq!(messages.iter().filter(|event| event["type"] == "m.room.message").count(), 2);
}

#[tokio::test]
async fn members_come_and_go_as_the_room_lets_them() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "private_chat"})).await.unwrap();
    assert_eq!(bob.join(&room).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    alice.invite(&room, "@bob:hs.test").await.unwrap();
    assert_eq!(bob.join(&room).await.unwrap(), room);
    assert_eq!(bob.join(&room).await.unwrap(), room, "joining again changes nothing");
    assert_eq!(alice.joined_members(&room).await.unwrap(), ["@alice:hs.test", "@bob:hs.test"]);
    alice.kick(&room, "@bob:hs.test", "enough").await.unwrap();
    assert_eq!(alice.joined_members(&room).await.unwrap(), ["@alice:hs.test"]);
    assert_eq!(bob.join(&room).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    alice.ban(&room, "@bob:hs.test", "really").await.unwrap();
    assert_eq!(alice.invite(&room, "@bob:hs.test").await.unwrap_err().status(), Some(403));
    alice.unban(&room, "@bob:hs.test").await.unwrap();
    alice.invite(&room, "@bob:hs.test").await.unwrap();
    bob.leave(&room).await.unwrap();
    bob.post(&format!("{V3}/rooms/{room}/forget"), json!({})).await.unwrap();
    let rooms = bob.get(&format!("{V3}/joined_rooms")).await.unwrap();
    assert_eq!(rooms["joined_rooms"], json!([]));
}

#[tokio::test]
async fn state_is_read_by_type_and_key_and_as_a_whole_event() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let event_id = alice.set_state(&room, "x.y", "a/b #c%", json!({"n": 1})).await.unwrap();
    assert_eq!(alice.state(&room, "x.y", "a/b #c%").await.unwrap(), Some(json!({"n": 1})));
    assert_eq!(alice.state(&room, "x.y", "").await.unwrap(), None);
    let path = format!("{V3}/rooms/{room}/state/x.y/a%2Fb%20%23c%25?format=event");
    let event = alice.get(&path).await.unwrap();
    assert_eq!(event["event_id"], event_id.as_str());
    assert_eq!(event["state_key"], "a/b #c%");
    alice.put(&format!("{V3}/rooms/{room}/state/m.room.topic/"), json!({"topic": "1"})).await.unwrap();
    assert_eq!(alice.get(&format!("{V3}/rooms/{room}/state/m.room.topic")).await.unwrap()["topic"], "1");
    alice.put(&format!("{V3}/rooms/{room}/state/m.room.topic"), json!({"topic": "2"})).await.unwrap();
    assert_eq!(alice.get(&format!("{V3}/rooms/{room}/state/m.room.topic/")).await.unwrap()["topic"], "2");
}

#[tokio::test]
async fn a_redacted_event_loses_its_content_and_says_why() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let event_id = alice.send_text(&room, "oops").await.unwrap();
    alice.redact(&room, &event_id, "typo").await.unwrap();
    let event = alice.get(&format!("{V3}/rooms/{room}/event/{event_id}")).await.unwrap();
    assert_eq!(event["content"], json!({}));
    assert_eq!(event["unsigned"]["redacted_because"]["content"]["reason"], "typo");
}

#[tokio::test]
async fn a_redacted_member_event_tells_no_name_any_more() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let named = json!({"membership": "join", "displayname": "Oops"});
    let event_id = bob.set_state(&room, "m.room.member", "@bob:hs.test", named).await.unwrap();
    let members =
        async || alice.get(&format!("{V3}/rooms/{room}/joined_members")).await.unwrap()["joined"].clone();
    assert_eq!(members().await["@bob:hs.test"]["display_name"], "Oops");
    bob.redact(&room, &event_id, "").await.unwrap();
    assert_eq!(members().await["@bob:hs.test"]["display_name"], json!(null));
}

#[tokio::test]
async fn history_is_paged_in_both_directions_and_ends() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    for number in 0..25 {
        alice.send_text(&room, &number.to_string()).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let path = format!("{V3}/rooms/{room}/messages?dir=b&limit=10{from}");
        let page = alice.get(&path).await.unwrap();
        seen.extend(page["chunk"].as_array().unwrap().iter().cloned());
        match page["end"].as_str() {
            Some(end) => from = format!("&from={end}"),
            None => break,
        }
    }
    let bodies: Vec<_> = seen.iter().filter_map(|event| event["content"]["body"].as_str()).collect();
    let expected: Vec<String> = (0..25).rev().map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
    let forward = alice.get(&format!("{V3}/rooms/{room}/messages?dir=f&limit=3")).await.unwrap();
    assert_eq!(forward["chunk"][0]["type"], "m.room.create");
    let middle = seen[10]["event_id"].as_str().unwrap();
    let path = format!("{V3}/rooms/{room}/context/{middle}?limit=4");
    let context = alice.get(&path).await.unwrap();
    assert_eq!(context["event"]["event_id"], seen[10]["event_id"]);
    assert_eq!(context["events_before"][0]["event_id"], seen[11]["event_id"]);
    assert_eq!(context["events_after"][0]["event_id"], seen[9]["event_id"]);
}

#[tokio::test]
async fn outsiders_see_nothing_of_a_private_room() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let eve = server.hs.user("eve").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let event_id = alice.send_text(&room, "secret").await.unwrap();
    for path in ["state", "members", "joined_members", "messages?dir=b", "state/m.room.create", "aliases"] {
        let refused = eve.get(&format!("{V3}/rooms/{room}/{path}")).await.unwrap_err();
        assert_eq!((refused.status(), refused.errcode()), (Some(403), Some("M_FORBIDDEN")), "{path}");
    }
    let hidden = eve.get(&format!("{V3}/rooms/{room}/event/{event_id}")).await.unwrap_err();
    assert!(matches!(hidden.status(), Some(403 | 404)));
    assert_eq!(eve.send_text(&room, "x").await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    assert_eq!(eve.send_text("!none:hs.test", "x").await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn a_canonical_alias_has_to_lead_to_its_room() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"room_alias_name": "a"})).await.unwrap();
    alice.create_room(json!({"room_alias_name": "b"})).await.unwrap();
    let set =
        |alias: &'static str| alice.set_state(&room, "m.room.canonical_alias", "", json!({"alias": alias}));
    assert_eq!(set("#b:hs.test").await.unwrap_err().errcode(), Some("M_BAD_ALIAS"));
    assert_eq!(set("#c:hs.test").await.unwrap_err().errcode(), Some("M_BAD_ALIAS"));
    assert_eq!(set("nonsense").await.unwrap_err().errcode(), Some("M_INVALID_PARAM"));
    set("#a:hs.test").await.unwrap();
}

#[tokio::test]
async fn receipts_typing_and_markers_need_membership_and_a_known_kind() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let eve = server.hs.user("eve").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let event_id = alice.send_text(&room, "x").await.unwrap();
    let receipt = |kind: &str| format!("{V3}/rooms/{room}/receipt/{kind}/{event_id}");
    alice.post(&receipt("m.read"), json!({})).await.unwrap();
    alice.post(&receipt("m.read.private"), json!({"thread_id": "main"})).await.unwrap();
    let unknown = format!("{V3}/rooms/{room}/receipt/m.read/$unknown");
    alice.post(&unknown, json!({"thread_id": "main"})).await.unwrap();
    let made_up = alice.post(&unknown, json!({"thread_id": "$made_up"})).await.unwrap_err();
    assert_eq!(made_up.errcode(), Some("M_INVALID_PARAM"));
    alice.post(&receipt("m.fully_read"), json!({})).await.unwrap();
    assert_eq!(alice.post(&receipt("x"), json!({})).await.unwrap_err().errcode(), Some("M_INVALID_PARAM"));
    assert_eq!(eve.post(&receipt("m.read"), json!({})).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    let marker = json!({"m.fully_read": event_id, "m.read": event_id});
    alice.post(&format!("{V3}/rooms/{room}/read_markers"), marker).await.unwrap();
    let data = alice.get(&format!("{V3}/user/@alice:hs.test/rooms/{room}/account_data/m.fully_read")).await;
    assert_eq!(data.unwrap()["event_id"], event_id.as_str());
    let typing = |user: &str| format!("{V3}/rooms/{room}/typing/{user}");
    alice.put(&typing("@alice:hs.test"), json!({"typing": true, "timeout": 1000})).await.unwrap();
    let other = alice.put(&typing("@eve:hs.test"), json!({"typing": true})).await.unwrap_err();
    assert_eq!(other.errcode(), Some("M_FORBIDDEN"));
    let outsider = eve.put(&typing("@eve:hs.test"), json!({"typing": true})).await.unwrap_err();
    assert_eq!(outsider.errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn account_data_and_tags_are_kept_for_oneself() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let own = format!("{V3}/user/@alice:hs.test");
    alice.put(&format!("{own}/account_data/x.y"), json!({"a": 1})).await.unwrap();
    assert_eq!(alice.get(&format!("{own}/account_data/x.y")).await.unwrap(), json!({"a": 1}));
    assert_eq!(
        alice.get(&format!("{own}/account_data/no")).await.unwrap_err().errcode(),
        Some("M_NOT_FOUND")
    );
    let refused = alice.put(&format!("{own}/account_data/m.fully_read"), json!({})).await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(405), Some("M_BAD_JSON")));
    let refused = alice.put(&format!("{own}/account_data/x"), json!([])).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_BAD_JSON"));
    let tags = format!("{own}/rooms/{room}/tags");
    alice.put(&format!("{tags}/u.x"), json!({"order": 0.5})).await.unwrap();
    assert_eq!(alice.get(&tags).await.unwrap(), json!({"tags": {"u.x": {"order": 0.5}}}));
    alice.delete(&format!("{tags}/u.x")).await.unwrap();
    assert_eq!(alice.get(&tags).await.unwrap(), json!({"tags": {}}));
    let foreign = alice.get(&format!("{V3}/user/@bob:hs.test/account_data/x")).await.unwrap_err();
    assert_eq!(foreign.errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn related_events_are_found_by_kind_paged_and_followed() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let eve = server.hs.user("eve").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let parent = alice.send_text(&room, "parent").await.unwrap();
    let relate = |kind: &str, to: &str, event_type: &'static str| {
        let content = json!({"body": "x", "m.relates_to": {"rel_type": kind, "event_id": to}});
        alice.send_event(&room, event_type, content)
    };
    let edit = relate("m.replace", parent.as_str(), "m.room.message").await.unwrap();
    let reaction = relate("m.annotation", parent.as_str(), "m.reaction").await.unwrap();
    let nested = relate("m.annotation", edit.as_str(), "m.reaction").await.unwrap();
    let gone = relate("m.annotation", parent.as_str(), "m.reaction").await.unwrap();
    alice.redact(&room, &gone, "").await.unwrap();
    let found = |rest: String| {
        let path = format!("/_matrix/client/v1/rooms/{room}/relations/{parent}{rest}");
        let alice = alice.clone();
        async move {
            let answer = alice.get(&path).await.unwrap();
            let ids: Vec<_> =
                answer["chunk"].as_array().unwrap().iter().map(|e| e["event_id"].clone()).collect();
            (ids, answer)
        }
    };
    assert_eq!(found(String::new()).await.0, [reaction.as_str(), edit.as_str()]);
    assert_eq!(found("?dir=f".into()).await.0, [edit.as_str(), reaction.as_str()]);
    assert_eq!(found("/m.replace".into()).await.0, [edit.as_str()]);
    assert_eq!(found("/m.annotation/m.reaction".into()).await.0, [reaction.as_str()]);
    assert_eq!(found("/m.annotation/x.y".into()).await.0, [""; 0]);
    let (ids, answer) = found("?recurse=true".into()).await;
    assert_eq!(ids, [nested.as_str(), reaction.as_str(), edit.as_str()]);
    assert!(answer["recursion_depth"].as_u64() >= Some(2));
    let (first, answer) = found("?limit=1".into()).await;
    let next = answer["next_batch"].as_str().unwrap();
    let (second, answer) = found(format!("?limit=1&from={next}")).await;
    assert_eq!([first, second].concat(), [reaction.as_str(), edit.as_str()]);
    assert!(answer.get("next_batch").is_none());
    let path = format!("/_matrix/client/v1/rooms/{room}/relations/{parent}");
    assert_eq!(eve.get(&path).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn an_upgraded_room_moves_its_state_aliases_bans_and_listing() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    for (from, to) in [("10", "11"), ("11", "12")] {
        let name = format!("v{to}");
        let room = alice
            .create_room(json!({
                "room_version": from, "name": "Name", "topic": "Topic", "room_alias_name": name,
                "preset": "public_chat", "visibility": "public",
            }))
            .await
            .unwrap();
        bob.join(&room).await.unwrap();
        alice.ban(&room, "@eve:hs.test", "").await.unwrap();
        let path = format!("{V3}/rooms/{room}/upgrade");
        let refused = bob.post(&path, json!({"new_version": to})).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_FORBIDDEN"));
        let refused = alice.post(&path, json!({"new_version": "77"})).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_UNSUPPORTED_ROOM_VERSION"));
        let upgraded = alice.post(&path, json!({"new_version": to})).await.unwrap();
        let new = upgraded["replacement_room"].as_str().unwrap();
        let tombstone = alice.state(&room, "m.room.tombstone", "").await.unwrap().unwrap();
        assert_eq!(tombstone["replacement_room"], new);
        let create = alice.state(new, "m.room.create", "").await.unwrap().unwrap();
        assert_eq!((&create["room_version"], &create["predecessor"]["room_id"]), (&json!(to), &json!(room)));
        assert_eq!(alice.state(new, "m.room.name", "").await.unwrap(), Some(json!({"name": "Name"})));
        assert_eq!(alice.state(new, "m.room.join_rules", "").await.unwrap().unwrap()["join_rule"], "public");
        let eve = alice.state(new, "m.room.member", "@eve:hs.test").await.unwrap().unwrap();
        assert_eq!(eve["membership"], "ban");
        assert_eq!(bob.join(&format!("#{name}:hs.test")).await.unwrap(), new);
        assert_eq!(bob.send_text(&room, "x").await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
        let listed = server.get(&format!("{V3}/directory/list/room/{new}"), "").await.ok();
        assert_eq!(listed["visibility"], "public");
        let listed = server.get(&format!("{V3}/directory/list/room/{room}"), "").await.ok();
        assert_eq!(listed["visibility"], "private");
    }
}

#[tokio::test]
async fn creators_keep_their_power_in_an_upgrade_to_a_version_that_does_not_favour_them() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let options = json!({
        "room_version": "12", "preset": "trusted_private_chat", "invite": [bob.user_id()], "topic": "Topic",
    });
    let room = alice.create_room(options).await.unwrap();
    let answer =
        alice.post(&format!("{V3}/rooms/{room}/upgrade"), json!({"new_version": "10"})).await.unwrap();
    let new = answer["replacement_room"].as_str().unwrap();
    let levels = alice.state(new, "m.room.power_levels", "").await.unwrap().unwrap();
    let (tombstone, users) = (&levels["events"]["m.room.tombstone"], &levels["users"]);
    assert_eq!((&users["@alice:hs.test"], &users["@bob:hs.test"]), (tombstone, tombstone), "{levels}");
    assert_eq!(alice.state(new, "m.room.topic", "").await.unwrap().unwrap()["topic"], "Topic");
}

#[tokio::test]
async fn summaries_and_mutual_rooms_tell_what_one_may_know() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let open = alice.create_room(json!({"name": "open", "preset": "public_chat"})).await.unwrap();
    let closed = alice.create_room(json!({"name": "closed"})).await.unwrap();
    let path = |room: &str| format!("/_matrix/client/v1/room_summary/{room}");
    let seen = bob.get(&path(open.as_str())).await.unwrap();
    assert_eq!((&seen["name"], &seen["room_version"]), (&json!("open"), &json!("12")));
    assert_eq!(bob.get(&path(closed.as_str())).await.unwrap_err().errcode(), Some("M_NOT_FOUND"));
    assert_eq!(alice.get(&path(closed.as_str())).await.unwrap()["membership"], "join");
    bob.join(&open).await.unwrap();
    let mutual = "/_matrix/client/v1/mutual_rooms";
    let both = bob.get(&format!("{mutual}?user_id=@alice:hs.test")).await.unwrap();
    assert_eq!(both, json!({"joined": [open], "count": 1}));
    let own = bob.get(&format!("{mutual}?user_id=@bob:hs.test")).await.unwrap_err();
    assert_eq!(own.errcode(), Some("M_INVALID_PARAM"));
    assert_eq!(bob.get(mutual).await.unwrap_err().errcode(), Some("M_MISSING_PARAM"));
}
