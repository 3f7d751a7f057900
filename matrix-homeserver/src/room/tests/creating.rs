use super::*;

#[tokio::test]
async fn a_room_of_every_version_is_made_joined_spoken_in_and_read_again() {
    let fixture = Fixture::new();
    for version in Rooms::supported_versions() {
        let room = fixture.room_of_version("alice", version.clone()).await;
        assert_eq!(room.server_name().is_none(), version == RoomVersionId::V12, "{room}");
        fixture.join(&room, "bob").await.unwrap();
        let event_id = fixture.send(&room, "bob", "hello").await.unwrap();
        let chosen = matches!(version, RoomVersionId::V1 | RoomVersionId::V2);
        assert_eq!(event_id.server_name().is_some(), chosen, "{event_id}");
        assert_eq!(fixture.bodies(&room, "alice"), ["hello"], "{version}");
        let create = fixture.state_of(&room, "alice", "m.room.create", "");
        assert_eq!(create["room_version"], version.as_str());
        let has_creator = create.get("creator").is_some();
        assert_eq!(has_creator, !version.rules().unwrap().authorization.use_room_create_sender, "{version}");
    }
}

#[tokio::test]
async fn a_room_starts_with_everything_that_was_asked_for() {
    let fixture = Fixture::new();
    let request = CreateRoom {
        version: Some(RoomVersionId::V11),
        preset: Preset::TrustedPrivateChat,
        creator_profile: object(json!({ "displayname": "Alice" })),
        creation_content: object(json!({ "m.federate": false, "type": "m.space", "room_version": "1" })),
        power_level_content_override: object(json!({ "events_default": 7, "events": { "x": 1 } })),
        initial_state: vec![
            InitialState {
                event_type: "m.room.join_rules".into(),
                state_key: String::new(),
                content: raw(&json!({ "join_rule": "knock" })),
            },
            InitialState {
                event_type: "org.example".into(),
                state_key: "k".to_owned(),
                content: raw(&json!({ "v": 1 })),
            },
        ],
        name: Some("Name".to_owned()),
        topic: Some("Topic".to_owned()),
        alias: Some("#a:hs.test".try_into().unwrap()),
        invite: vec![(user("bob"), object(json!({ "displayname": "Bob" })))],
        is_direct: true,
        ..Fixture::request("alice")
    };
    let room = fixture.rooms.create(request).await.unwrap();
    let state = |event_type, key| fixture.state_of(&room, "alice", event_type, key);
    let create = state("m.room.create", "");
    assert_eq!(create, json!({ "m.federate": false, "type": "m.space", "room_version": "11" }));
    assert_eq!(
        state("m.room.member", "@alice:hs.test"),
        json!({ "membership": "join", "displayname": "Alice" })
    );
    let invited = json!({ "membership": "invite", "displayname": "Bob", "is_direct": true });
    assert_eq!(state("m.room.member", "@bob:hs.test"), invited);
    let levels = state("m.room.power_levels", "");
    assert_eq!(levels["users"], json!({ "@alice:hs.test": 100, "@bob:hs.test": 100 }));
    assert_eq!((&levels["events_default"], &levels["events"]), (&json!(7), &json!({ "x": 1 })));
    assert_eq!(state("m.room.join_rules", ""), json!({ "join_rule": "knock" }));
    assert_eq!(state("m.room.history_visibility", ""), json!({ "history_visibility": "shared" }));
    assert_eq!(state("m.room.guest_access", ""), json!({ "guest_access": "can_join" }));
    assert_eq!(state("m.room.canonical_alias", ""), json!({ "alias": "#a:hs.test" }));
    assert_eq!(state("m.room.name", ""), json!({ "name": "Name" }));
    assert_eq!(state("m.room.topic", "")["topic"], "Topic");
    assert_eq!(state("org.example", "k"), json!({ "v": 1 }));
}

#[tokio::test]
async fn in_version_12_creators_stand_above_the_power_levels() {
    let fixture = Fixture::new();
    let request = CreateRoom {
        preset: Preset::TrustedPrivateChat,
        invite: vec![(user("bob"), JsonObject::new())],
        ..Fixture::request("alice")
    };
    let room = fixture.rooms.create(request).await.unwrap();
    let create = fixture.state_of(&room, "alice", "m.room.create", "");
    assert_eq!(create["additional_creators"], json!(["@bob:hs.test"]));
    assert_eq!(fixture.state_of(&room, "alice", "m.room.power_levels", "")["users"], json!({}));
    fixture.join(&room, "bob").await.unwrap();
    fixture.set_state(&room, "bob", "m.room.tombstone", json!({ "body": "" })).await.unwrap();
}

#[tokio::test]
async fn a_room_that_cannot_start_as_asked_is_not_made_at_all() {
    let fixture = Fixture::new();
    let levels = object(json!({ "users": {}, "state_default": 50 }));
    let request = CreateRoom {
        version: Some(RoomVersionId::V11),
        power_level_content_override: levels,
        name: Some("Name".to_owned()),
        ..Fixture::request("alice")
    };
    let error = fixture.rooms.create(request).await.unwrap_err();
    assert!(matches!(error, RoomError::InvalidRoomState(_)), "{error}");
    assert!(fixture.rooms.joined_rooms(&user("alice")).unwrap().is_empty());
    assert_eq!(fixture.store.frontier(), crate::store::Position::ZERO);
    let request = CreateRoom {
        version: Some(RoomVersionId::try_from("org.example.13").unwrap()),
        ..Fixture::request("alice")
    };
    assert!(matches!(fixture.rooms.create(request).await, Err(RoomError::UnsupportedVersion(_))));
}

#[tokio::test]
async fn the_same_room_made_many_times_at_once_is_many_rooms() {
    let fixture = Fixture::new();
    let then = MilliSecondsSinceUnixEpoch(UInt::from(7_u32));
    let requests = (0..20).map(|_| {
        fixture.rooms.create(CreateRoom { origin_server_ts: Some(then), ..Fixture::request("alice") })
    });
    let rooms = futures_util::future::join_all(requests).await;
    let rooms: std::collections::BTreeSet<_> = rooms.into_iter().map(Result::unwrap).collect();
    assert_eq!(rooms.len(), 20);
}
