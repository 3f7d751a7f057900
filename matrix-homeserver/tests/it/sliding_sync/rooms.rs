//! What a client is told of a room.

use serde_json::{Value, json};

use super::{Connection, V3, bodies, fields, places};
use crate::support::Server;

#[tokio::test]
async fn a_room_is_told_whole_at_first_and_then_by_what_changes() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let required = [("m.room.create", ""), ("m.room.topic", ""), ("m.room.member", "$ME"), ("m.none", "*")];
    let mut bobs = Connection::all(&bob, 1, &required);
    let first = bobs.room(&room).await;
    assert_eq!(places(&first["required_state"]), ["m.room.create|", "m.room.member|@bob:hs.test"]);
    let hero = json!({ "user_id": "@alice:hs.test", "displayname": "alice" });
    assert_eq!(first["heroes"], json!([hero]));
    assert_eq!((&first["joined_count"], &first["invited_count"]), (&json!(2), &json!(0)));
    assert_eq!((first.get("name"), first.get("avatar"), first.get("is_dm")), (None, None, None));

    alice.set_state(&room, "m.room.topic", "", json!({"topic": "t"})).await.unwrap();
    let changed = bobs.room(&room).await;
    assert_eq!(places(&changed["required_state"]), ["m.room.topic|"]);
    assert_eq!((changed.get("heroes"), changed.get("joined_count")), (None, None));
    alice.set_state(&room, "m.room.name", "", json!({"name": "Here"})).await.unwrap();
    alice.set_state(&room, "m.room.avatar", "", json!({"url": "mxc://hs.test/a"})).await.unwrap();
    let named = bobs.room(&room).await;
    assert_eq!((&named["name"], &named["avatar"]), (&json!("Here"), &json!("mxc://hs.test/a")));
    assert_eq!(named.get("required_state"), None);
    for state in ["m.room.name", "m.room.avatar"] {
        alice.set_state(&room, state, "", json!({})).await.unwrap();
    }
    let unnamed = bobs.room(&room).await;
    assert_eq!((unnamed.get("name"), unnamed.get("avatar")), (Some(&Value::Null), Some(&Value::Null)));
    assert_eq!(unnamed["heroes"], json!([hero]));
    alice.invite(&room, "@carol:hs.test").await.unwrap();
    assert_eq!(bobs.room(&room).await["invited_count"], 1);
}

#[tokio::test]
async fn messages_bump_a_room_and_reactions_do_not() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 1, &[]);
    let created = bobs.room(&room).await["bump_stamp"].as_u64().unwrap();
    let said = alice.send_text(&room, "hello").await.unwrap();
    let bumped = bobs.room(&room).await["bump_stamp"].as_u64().unwrap();
    assert!(bumped > created);
    let annotation = json!({"rel_type": "m.annotation", "event_id": said, "key": "+"});
    alice.send_event(&room, "m.reaction", json!({"m.relates_to": annotation})).await.unwrap();
    assert_eq!(bobs.room(&room).await.get("bump_stamp"), None);
    assert_eq!(Connection::all(&bob, 1, &[]).room(&room).await["bump_stamp"], bumped);
}

#[tokio::test]
async fn state_is_required_by_type_and_key_with_wildcards() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    alice.set_state(&room, "x.y", "a", json!({})).await.unwrap();
    alice.set_state(&room, "x.y", "b", json!({})).await.unwrap();
    alice.send_text(&room, "hello").await.unwrap();
    let told = async |required: &[(&str, &str)]| {
        places(&Connection::all(&bob, 1, required).room(&room).await["required_state"])
    };
    let (alices, bobs) = ("m.room.member|@alice:hs.test", "m.room.member|@bob:hs.test");
    assert_eq!(told(&[("x.y", "*")]).await, ["x.y|a", "x.y|b"]);
    assert_eq!(told(&[("x.y", "b"), ("*", "a")]).await, ["x.y|a", "x.y|b"]);
    assert_eq!(told(&[("m.room.member", "$ME")]).await, [bobs]);
    assert_eq!(told(&[("m.room.member", "*")]).await, [alices, bobs]);
    // Of those who spoke in the one event of the timeline.
    assert_eq!(told(&[("m.room.member", "$LAZY")]).await, [alices]);
    let all = told(&[("*", "*")]).await;
    assert!(all.len() > 7 && all.contains(&alices.to_owned()) && all.contains(&bobs.to_owned()), "{all:?}");
    let all_but_members = told(&[("*", "*"), ("m.room.member", "$LAZY")]).await;
    assert_eq!(all_but_members.len(), all.len() - 1);
    assert!(!all_but_members.contains(&bobs.to_owned()));
    assert_eq!(told(&[]).await, [""; 0]);
}

#[tokio::test]
async fn members_are_told_as_they_speak_and_as_they_change() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let carol = server.hs.user("carol").await.unwrap();
    carol.join(&room).await.unwrap();
    alice.send_text(&room, "hello").await.unwrap();
    let mut bobs = Connection::all(&bob, 1, &[("m.room.member", "$LAZY")]);
    let members = |room: &Value| places(&room["required_state"]);
    let (alices, carols) = ("m.room.member|@alice:hs.test", "m.room.member|@carol:hs.test");
    assert_eq!(members(&bobs.room(&room).await), [alices]);
    alice.send_text(&room, "again").await.unwrap();
    assert_eq!(members(&bobs.room(&room).await), [""; 0], "she is known");
    carol.send_text(&room, "hello").await.unwrap();
    assert_eq!(members(&bobs.room(&room).await), [carols]);
    let name = format!("{V3}/profile/@alice:hs.test/displayname");
    alice.put(&name, json!({"displayname": "Alice"})).await.unwrap();
    let renamed = bobs.room(&room).await;
    assert_eq!(members(&renamed), [alices]);
    assert_eq!(renamed["required_state"][0]["content"]["displayname"], "Alice");
    // Behind a gap nobody is known for sure.
    carol.send_text(&room, "one").await.unwrap();
    carol.send_text(&room, "two").await.unwrap();
    let gap = bobs.room(&room).await;
    assert_eq!((&gap["limited"], members(&gap)), (&json!(true), vec![carols.to_owned()]));
}

#[tokio::test]
async fn more_events_and_more_state_are_told_when_they_are_asked_for() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    for text in ["1", "2", "3", "4"] {
        alice.send_text(&room, text).await.unwrap();
    }
    let mut bobs = Connection::all(&bob, 1, &[("m.room.create", "")]);
    assert_eq!(bodies(&bobs.room(&room).await), ["4"]);
    let more = json!({ "timeline_limit": 3, "required_state": [["m.room.create", ""], ["m.room.power_levels", ""]] });
    bobs.body["room_subscriptions"] = json!({ &room: more });
    let grown = bobs.ask(20_000).await.unwrap();
    bobs.pos = Some(grown["pos"].as_str().unwrap().to_owned());
    let grown = &grown["rooms"][&room];
    assert_eq!(bodies(grown), ["2", "3", "4"]);
    assert_eq!((&grown["unstable_expanded_timeline"], &grown["num_live"]), (&json!(true), &json!(0)));
    assert_eq!(grown.get("initial"), None);
    assert_eq!(places(&grown["required_state"]), ["m.room.power_levels|"]);
    assert_eq!(bobs.next().await["rooms"], json!({}));

    // What is known without a gap is not told again.
    bobs.body.as_object_mut().unwrap().remove("room_subscriptions");
    alice.send_text(&room, "5").await.unwrap();
    assert_eq!(bodies(&bobs.room(&room).await), ["5"]);
    bobs.body["room_subscriptions"] = json!({ &room: more });
    let back = bobs.room(&room).await;
    assert_eq!(
        (bodies(&back), places(&back["required_state"])),
        (vec![], vec!["m.room.power_levels|".to_owned()])
    );
    // A room without more events does not grow.
    bobs.body["room_subscriptions"][&room]["timeline_limit"] = json!(100);
    let whole = bobs.room(&room).await;
    assert_eq!((&whole["limited"], bodies(&whole).len()), (&json!(false), 5));
    bobs.body["room_subscriptions"][&room]["timeline_limit"] = json!(1000);
    assert_eq!(bobs.next().await["rooms"], json!({}));
}

#[tokio::test]
async fn rooms_that_several_rules_match_are_told_what_each_of_them_wants() {
    let server = Server::start().await;
    let (_, bob, room) = server.room_of_two().await;
    let list = |limit: u64, kind: &str| json!({ "ranges": [[0, 9]], "timeline_limit": limit, "required_state": [[kind, ""]] });
    let body = json!({
        "lists": { "a": list(1, "m.room.create"), "b": list(3, "m.room.join_rules") },
        "room_subscriptions": {
            &room: { "timeline_limit": 2, "required_state": [["m.room.member", "$ME"]] },
            "!elsewhere:hs.test": { "timeline_limit": 2, "required_state": [] },
        },
    });
    let told = Connection::new(&bob, body).next().await;
    assert_eq!(fields(&told["rooms"]), [&room]);
    let told = &told["rooms"][&room];
    assert_eq!(told["timeline"].as_array().unwrap().len(), 3);
    let expected = ["m.room.create|", "m.room.join_rules|", "m.room.member|@bob:hs.test"];
    assert_eq!(places(&told["required_state"]), expected);
}

#[tokio::test]
async fn nobody_is_told_of_rooms_of_others() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let eve = server.hs.user("eve").await.unwrap();
    let private = alice.create_room(json!({"preset": "private_chat"})).await.unwrap().to_string();
    let banned = alice.create_room(json!({"preset": "private_chat"})).await.unwrap().to_string();
    alice.ban(&banned, "@eve:hs.test", "").await.unwrap();
    let rule = json!({ "timeline_limit": 10, "required_state": [["*", "*"]] });
    let mut list = rule.clone();
    list["ranges"] = json!([[0, 99]]);
    let body = json!({ "lists": { "all": list }, "room_subscriptions": { &private: rule, &banned: rule } });
    let told = Connection::new(&eve, body).next().await;
    assert_eq!((&told["rooms"], &told["lists"]["all"]["count"]), (&json!({}), &json!(0)));
}

#[tokio::test]
async fn who_is_invited_is_shown_what_the_room_is_and_all_of_it_after_joining() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let mut bobs = Connection::all(&bob, 10, &[("*", "*")]);
    bobs.next().await;
    let options = json!({"name": "Come", "invite": ["@bob:hs.test"], "preset": "private_chat"});
    let room = alice.create_room(options).await.unwrap().to_string();
    let invited = bobs.room(&room).await;
    let expected = ["bump_stamp", "highlight_count", "initial", "invite_state", "name", "notification_count"];
    assert_eq!(fields(&invited), expected);
    assert_eq!(invited["name"], "Come");
    let shown = places(&invited["invite_state"]);
    for place in
        ["m.room.create|", "m.room.member|@alice:hs.test", "m.room.member|@bob:hs.test", "m.room.name|"]
    {
        assert!(shown.iter().any(|shown| shown == place), "{shown:?}");
    }
    alice.send_text(&room, "a secret").await.unwrap();
    assert_eq!(bobs.next().await["rooms"], json!({}));
    bob.join(&room).await.unwrap();
    let joined = bobs.room(&room).await;
    assert_eq!((&joined["initial"], joined.get("invite_state")), (&json!(true), None));
    assert_eq!((&joined["num_live"], &joined["joined_count"]), (&json!(1), &json!(2)));
    assert!(places(&joined["required_state"]).len() > 7);

    let declined = json!({"invite": ["@bob:hs.test"]});
    let declined = alice.create_room(declined).await.unwrap().to_string();
    assert_eq!(bobs.room(&declined).await["initial"], true);
    bob.leave(&declined).await.unwrap();
    let told = bobs.next().await;
    let left = &told["rooms"][&declined];
    assert_eq!(left["timeline"].as_array().unwrap().len(), 1);
    assert_eq!(left["required_state"][0]["content"]["membership"], "leave");
    assert_eq!(bobs.next().await["lists"]["all"]["count"], 1);
}

#[tokio::test]
async fn who_knocks_is_shown_what_the_room_is() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let knocking = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
    let options = json!({"name": "Knock", "initial_state": [knocking]});
    let room = alice.create_room(options).await.unwrap().to_string();
    let mut bobs = Connection::all(&bob, 10, &[]);
    bobs.next().await;
    bob.post(&format!("{V3}/knock/{room}"), json!({})).await.unwrap();
    let knocked = bobs.room(&room).await;
    let own = knocked["invite_state"].as_array().unwrap().last().unwrap();
    assert_eq!(own["content"]["membership"], "knock");
    alice.invite(&room, "@bob:hs.test").await.unwrap();
    let own = bobs.room(&room).await["invite_state"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(own["content"]["membership"], "invite");
}

#[tokio::test]
async fn who_comes_back_is_told_everything_anew() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 3, &[("m.room.topic", "")]);
    bobs.next().await;
    bob.leave(&room).await.unwrap();
    bobs.next().await;
    alice.set_state(&room, "m.room.topic", "", json!({"topic": "missed"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let back = bobs.room(&room).await;
    assert_eq!(back["initial"], true);
    assert_eq!(places(&back["required_state"]), ["m.room.topic|"]);
}

#[tokio::test]
async fn counts_and_direct_rooms_are_told_when_they_change() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 5, &[]);
    bobs.next().await;
    let said = alice.send_text(&room, "hello, bob").await.unwrap();
    assert_eq!(bobs.room(&room).await["notification_count"], 1);
    bob.post(&format!("{V3}/rooms/{room}/receipt/m.read/{said}"), json!({})).await.unwrap();
    let read = bobs.room(&room).await;
    assert_eq!((&read["notification_count"], bodies(&read).len()), (&json!(0), 0));
    let data = format!("{V3}/user/@bob:hs.test/account_data/m.direct");
    bob.put(&data, json!({"@alice:hs.test": [&room]})).await.unwrap();
    assert_eq!(bobs.room(&room).await["is_dm"], true);
    assert_eq!(bobs.next().await["rooms"], json!({}));
    bob.put(&data, json!({})).await.unwrap();
    assert_eq!(bobs.room(&room).await["is_dm"], false);
}

#[tokio::test]
async fn events_come_with_what_is_known_from_others_and_ignored_users_are_not_heard() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let said = alice.send_text(&room, "helo").await.unwrap();
    let edit = json!({
        "msgtype": "m.text", "body": "* hello", "m.new_content": {"msgtype": "m.text", "body": "hello"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": said},
    });
    alice.send_event(&room, "m.room.message", edit).await.unwrap();
    let mut bobs = Connection::all(&bob, 2, &[]);
    let told = bobs.room(&room).await;
    let event = &told["timeline"][0];
    assert_eq!(event["unsigned"]["m.relations"]["m.replace"]["content"]["body"], "* hello");
    assert_eq!((event.get("room_id"), &event["unsigned"]["membership"]), (None, &json!("join")));
    let own = bob.send_event_as(&room, "m.room.message", "txn", json!({"body": "own"})).await.unwrap();
    let told = bobs.room(&room).await;
    assert_eq!(told["timeline"][0]["event_id"], own.as_str());
    assert_eq!(told["timeline"][0]["unsigned"]["transaction_id"], "txn");

    let ignored = format!("{V3}/user/@bob:hs.test/account_data/m.ignored_user_list");
    bob.put(&ignored, json!({"ignored_users": {"@alice:hs.test": {}}})).await.unwrap();
    bobs.next().await;
    alice.send_text(&room, "unheard").await.unwrap();
    let invite = json!({"invite": ["@bob:hs.test"]});
    alice.create_room(invite).await.unwrap();
    let told = bobs.next().await;
    assert_eq!((&told["rooms"], &told["lists"]["all"]["count"]), (&json!({}), &json!(1)));
}
