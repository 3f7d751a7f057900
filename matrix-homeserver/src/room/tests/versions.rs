//! What the room versions allow differently.

use super::*;

/// Whether an attempt succeeds in each version, written as the versions in which it does.
async fn versions_in_which<F, Fut>(attempt: F) -> Vec<String>
where
    F: Fn(Fixture, OwnedRoomId) -> Fut,
    Fut: Future<Output = bool>,
{
    let mut versions = Vec::new();
    for version in Rooms::supported_versions() {
        let fixture = Fixture::new();
        let room = fixture.room_of_version("alice", version.clone()).await;
        if attempt(fixture, room).await {
            versions.push(version.to_string());
        }
    }
    versions
}

fn from(first: usize) -> Vec<String> {
    (first..=12).map(|version| version.to_string()).collect()
}

#[tokio::test]
async fn knocking_came_with_version_7() {
    let versions = versions_in_which(|fixture, room| async move {
        fixture
            .set_state(&room, "alice", "m.room.join_rules", json!({ "join_rule": "knock" }))
            .await
            .unwrap();
        fixture.change(&room, "bob", MembershipAction::Knock, "bob").await.is_ok()
    });
    assert_eq!(versions.await, from(7));
}

#[tokio::test]
async fn restricted_rooms_came_with_version_8_and_those_to_knock_on_with_version_10() {
    for (join_rule, first) in [("restricted", 8), ("knock_restricted", 10)] {
        let versions = versions_in_which(|fixture, room| async move {
            let club = fixture.room("alice").await;
            fixture.join(&club, "bob").await.unwrap();
            let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
            let rules = json!({ "join_rule": join_rule, "allow": allow });
            fixture.set_state(&room, "alice", "m.room.join_rules", rules).await.unwrap();
            fixture.join(&room, "bob").await.is_ok()
        });
        assert_eq!(versions.await, from(first), "{join_rule}");
    }
}

#[tokio::test]
async fn power_levels_are_numbers_since_version_10() {
    let versions = versions_in_which(|fixture, room| async move {
        let mut levels = fixture.state_of(&room, "alice", "m.room.power_levels", "");
        levels["kick"] = json!("50");
        fixture.set_state(&room, "alice", "m.room.power_levels", levels).await.is_err()
    });
    assert_eq!(versions.await, from(10));
}

#[tokio::test]
async fn who_may_notify_the_room_is_protected_since_version_6() {
    let versions = versions_in_which(|fixture, room| async move {
        fixture.join(&room, "bob").await.unwrap();
        let mut levels = fixture.state_of(&room, "alice", "m.room.power_levels", "");
        levels["users"]["@bob:hs.test"] = json!(50);
        levels["events"]["m.room.power_levels"] = json!(50);
        fixture.set_state(&room, "alice", "m.room.power_levels", levels.clone()).await.unwrap();
        levels["notifications"] = json!({ "room": 100 });
        fixture.set_state(&room, "bob", "m.room.power_levels", levels).await.is_err()
    });
    assert_eq!(versions.await, from(6));
}

#[tokio::test]
async fn aliases_belong_to_servers_until_version_5() {
    let versions = versions_in_which(|fixture, room| async move {
        // Not in the room, but for his own server.
        let append = Append {
            event_type: "m.room.aliases".into(),
            state_key: Some("hs.test".to_owned()),
            content: raw(&json!({ "aliases": [] })),
            ..Fixture::message(&room, "bob", "")
        };
        fixture.rooms.append(append).await.is_err()
    });
    assert_eq!(versions.await, from(6));
}

#[tokio::test]
async fn a_creator_cannot_be_demoted_since_version_12() {
    let versions = versions_in_which(|fixture, room| async move {
        let mut levels = fixture.state_of(&room, "alice", "m.room.power_levels", "");
        levels["users"] = json!({ "@alice:hs.test": 0 });
        fixture.set_state(&room, "alice", "m.room.power_levels", levels).await.is_err()
    });
    assert_eq!(versions.await, from(12));
}

#[tokio::test]
async fn in_every_version_nobody_gives_more_power_than_he_has() {
    let versions = versions_in_which(|fixture, room| async move {
        fixture.join(&room, "bob").await.unwrap();
        let mut levels = fixture.state_of(&room, "alice", "m.room.power_levels", "");
        levels["users"]["@bob:hs.test"] = json!(50);
        levels["events"]["m.room.power_levels"] = json!(50);
        fixture.set_state(&room, "alice", "m.room.power_levels", levels.clone()).await.unwrap();
        let mut more = levels.clone();
        more["users"]["@bob:hs.test"] = json!(51);
        let mut less = levels.clone();
        less["users"]["@bob:hs.test"] = json!(49);
        is_forbidden(fixture.set_state(&room, "bob", "m.room.power_levels", more).await)
            && fixture.set_state(&room, "bob", "m.room.power_levels", less).await.is_ok()
    });
    assert_eq!(versions.await, from(1));
}

#[tokio::test]
async fn in_every_version_state_under_a_users_name_is_that_users_own() {
    let versions = versions_in_which(|fixture, room| async move {
        let set = |key: &str| {
            let append = Append {
                event_type: "org.example".into(),
                state_key: Some(key.to_owned()),
                content: raw(&json!({})),
                ..Fixture::message(&room, "alice", "")
            };
            fixture.rooms.append(append)
        };
        is_forbidden(set("@bob:hs.test").await) && set("@alice:hs.test").await.is_ok()
    });
    assert_eq!(versions.await, from(1));
}
