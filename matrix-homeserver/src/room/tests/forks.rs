//! Histories that fork and come together again.

use sha1::{Digest, Sha1};

use super::*;

#[tokio::test]
async fn in_every_version_a_ban_on_one_side_of_a_fork_undoes_what_the_banned_user_did_on_the_other() {
    for version in Rooms::supported_versions() {
        let fixture = Fixture::new();
        let room = fixture.room_of_version("alice", version.clone()).await;
        fixture.join(&room, "bob").await.unwrap();
        let mut levels = fixture.state_of(&room, "alice", "m.room.power_levels", "");
        levels["users"]["@bob:hs.test"] = json!(50);
        fixture.set_state(&room, "alice", "m.room.power_levels", levels).await.unwrap();
        fixture.set_state(&room, "alice", "m.room.topic", json!({ "topic": "old" })).await.unwrap();
        let fork = fixture.send(&room, "alice", "the fork").await.unwrap();

        let topic = json!({ "topic": "bob's" });
        fixture.send_after(&room, &[&fork], "bob", "m.room.topic", Some(""), topic).await.unwrap();
        assert_eq!(fixture.state_of(&room, "alice", "m.room.topic", "")["topic"], "bob's");
        let ban = json!({ "membership": "ban" });
        fixture
            .send_after(&room, &[&fork], "alice", "m.room.member", Some("@bob:hs.test"), ban)
            .await
            .unwrap();

        let live = fixture.rooms.get(&room).unwrap().unwrap();
        assert_eq!(live.view().extremities.len(), 2, "{version}");
        assert_eq!(fixture.state_of(&room, "alice", "m.room.topic", "")["topic"], "old", "{version}");
        assert!(!fixture.rooms.is_joined(&room, &user("bob")).unwrap());
        assert!(is_forbidden(fixture.send(&room, "bob", "x").await));

        let merge = fixture.send(&room, "alice", "merge").await.unwrap();
        let (merge, _) = fixture.rooms.events().by_id(&merge).unwrap().unwrap();
        assert_eq!(merge.pdu.prev_events.len(), 2);
        assert_eq!(live.view().extremities.len(), 1);
        assert_eq!(fixture.state_of(&room, "alice", "m.room.topic", "")["topic"], "old", "{version}");

        // The same from the rows alone.
        let again = Fixture { rooms: rooms_in(fixture.store.clone()), store: fixture.store.clone() };
        assert_eq!(again.state_of(&room, "alice", "m.room.topic", "")["topic"], "old");
        assert!(!again.rooms.is_joined(&room, &user("bob")).unwrap());
        again.send(&room, "alice", "on").await.unwrap();
    }
}

#[tokio::test]
async fn of_two_topics_at_the_same_time_the_later_one_holds_whichever_came_first() {
    for first in [0, 1] {
        let fixture = Fixture::new();
        let room = fixture.room("alice").await;
        fixture.join(&room, "bob").await.unwrap();
        let fork = fixture.send(&room, "alice", "the fork").await.unwrap();
        for n in [first, 1 - first] {
            let topic = json!({ "topic": n.to_string() });
            fixture.send_after(&room, &[&fork], "alice", "m.room.topic", Some(""), topic).await.unwrap();
        }
        let topic = fixture.state_of(&room, "alice", "m.room.topic", "");
        assert_eq!(topic["topic"], (1 - first).to_string());
    }
}

#[tokio::test]
async fn in_version_1_the_deeper_topic_holds_and_of_equally_deep_ones_the_one_with_the_lower_hash() {
    let fixture = Fixture::new();
    let room = fixture.room_of_version("alice", RoomVersionId::V1).await;
    let topic = |n: u32| json!({ "topic": n.to_string() });
    let fork = fixture.send(&room, "alice", "the fork").await.unwrap();
    let mut equal = Vec::new();
    for n in 0..4 {
        let sent =
            fixture.send_after(&room, &[&fork], "alice", "m.room.topic", Some(""), topic(n)).await.unwrap();
        equal.push((Sha1::digest(sent.as_bytes()), n));
    }
    let (_, lowest) = *equal.iter().min().unwrap();
    assert_eq!(fixture.state_of(&room, "alice", "m.room.topic", ""), topic(lowest));

    let deep = fixture.send_after(&room, &[&fork], "alice", "m.room.message", None, json!({})).await.unwrap();
    fixture.send_after(&room, &[&deep], "alice", "m.room.topic", Some(""), topic(9)).await.unwrap();
    assert_eq!(fixture.state_of(&room, "alice", "m.room.topic", ""), topic(9));
}

#[tokio::test]
async fn since_version_2_a_demotion_holds_against_what_the_demoted_user_did_at_the_same_time() {
    for version in Rooms::supported_versions().into_iter().skip(1) {
        a_demotion_holds(version).await;
    }
}

async fn a_demotion_holds(version: RoomVersionId) {
    let fixture = Fixture::new();
    let creator_has_a_level = version != RoomVersionId::V12;
    let room = fixture.room_of_version("alice", version).await;
    fixture.join(&room, "bob").await.unwrap();
    fixture.join(&room, "carol").await.unwrap();
    let levels = |bob: u32| {
        let mut users = json!({ "@bob:hs.test": bob });
        if creator_has_a_level {
            users["@alice:hs.test"] = json!(100);
        }
        json!({ "users": users })
    };
    fixture.set_state(&room, "alice", "m.room.power_levels", levels(50)).await.unwrap();
    let fork = fixture.send(&room, "alice", "the fork").await.unwrap();
    let kick = json!({ "membership": "leave" });
    fixture.send_after(&room, &[&fork], "bob", "m.room.member", Some("@carol:hs.test"), kick).await.unwrap();
    fixture.send_after(&room, &[&fork], "alice", "m.room.power_levels", Some(""), levels(0)).await.unwrap();
    assert_eq!(fixture.state_of(&room, "alice", "m.room.power_levels", "")["users"]["@bob:hs.test"], 0);
    assert!(fixture.rooms.is_joined(&room, &user("carol")).unwrap());
}
