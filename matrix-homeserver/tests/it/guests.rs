//! Guests: who they are, what they may do, where they may be.

use matrix_homeserver::testing::TestUser;
use ruma::OwnedUserId;
use serde_json::json;

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn guest(server: &Server) -> TestUser {
    let body = json!({"initial_device_display_name": "browser", "username": "ignored"});
    let guest = server.post(&format!("{V3}/register?kind=guest"), "", body).await.ok();
    let user_id: OwnedUserId = guest["user_id"].as_str().unwrap().try_into().unwrap();
    assert!(user_id.localpart().bytes().all(|byte| byte.is_ascii_digit()), "{user_id}");
    TestUser::from_token(server.hs.url(), user_id, guest["access_token"].as_str().unwrap())
}

async fn with_guests() -> Server {
    Server::with(|builder| builder.guests(true)).await
}

#[tokio::test]
async fn guests_join_where_the_room_lets_them_and_talk_there() {
    let server = with_guests().await;
    let alice = server.hs.user("alice").await.unwrap();
    let guest = guest(&server).await;
    let whoami = guest.get(&format!("{V3}/account/whoami")).await.unwrap();
    assert_eq!(whoami["is_guest"], true);
    let open = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.set_state(&open, "m.room.guest_access", "", json!({"guest_access": "can_join"})).await.unwrap();
    let closed = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    let refused = guest.join(&closed).await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(403), Some("M_GUEST_ACCESS_FORBIDDEN")));
    let state =
        guest.set_state(&closed, "m.room.member", guest.user_id().as_str(), json!({"membership": "join"}));
    assert_eq!(state.await.unwrap_err().errcode(), Some("M_GUEST_ACCESS_FORBIDDEN"));
    guest.join(&open).await.unwrap();
    guest.send_text(&open, "hello").await.unwrap();
    alice.wait_for(|event| event["content"]["body"] == "hello").await.unwrap();
    assert!(!guest.messages(&open, 10).await.unwrap().is_empty());
    guest.leave(&open).await.unwrap();
}

#[tokio::test]
async fn guests_are_kept_from_what_is_not_for_them() {
    let server = with_guests().await;
    let guest = guest(&server).await;
    let token = guest.access_token();
    for path in [
        "createRoom",
        "account/deactivate",
        "pushers/set",
        "user_directory/search",
        "keys/device_signing/upload",
    ] {
        let answer = server.post(&format!("{V3}/{path}"), token, json!({})).await;
        answer.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    for path in ["account/3pid", "pushrules/", "joined_rooms", "notifications"] {
        server.get(&format!("{V3}/{path}"), token).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    for path in ["devices", "sync", "account/whoami", "capabilities"] {
        server.get(&format!("{V3}/{path}"), token).await.ok();
    }
    let name = format!("{V3}/profile/{}/displayname", guest.user_id());
    guest.put(&name, json!({"displayname": "Passer-by"})).await.unwrap();
}

#[tokio::test]
async fn guests_leave_a_room_that_no_longer_lets_them_in() {
    let server = with_guests().await;
    let alice = server.hs.user("alice").await.unwrap();
    let guest = guest(&server).await;
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.set_state(&room, "m.room.guest_access", "", json!({"guest_access": "can_join"})).await.unwrap();
    guest.join(&room).await.unwrap();
    alice.set_state(&room, "m.room.guest_access", "", json!({"guest_access": "forbidden"})).await.unwrap();
    assert_eq!(alice.joined_members(&room).await.unwrap(), ["@alice:hs.test"]);
}

#[tokio::test]
async fn a_guest_becomes_a_user_of_the_same_name() {
    let server = with_guests().await;
    let guest = guest(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    let register = |token: &str, username: &str| {
        let body = json!({"username": username, "password": "pw", "guest_access_token": token,
            "auth": {"type": "m.login.dummy"}});
        let path = format!("{V3}/register");
        let server = &server;
        async move { server.post(&path, "", body).await }
    };
    let name = guest.user_id().localpart().to_owned();
    register(guest.access_token(), "bob").await.refused(403, "M_FORBIDDEN");
    register(alice.access_token(), "alice").await.refused(403, "M_FORBIDDEN");
    let user = register(guest.access_token(), &name).await.ok();
    assert_eq!(user["user_id"], guest.user_id().as_str());
    let whoami =
        server.get(&format!("{V3}/account/whoami"), user["access_token"].as_str().unwrap()).await.ok();
    assert_eq!(whoami["is_guest"], false);
    server.get(&format!("{V3}/account/whoami"), guest.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
    TestUser::login(server.hs.url(), &name, "pw").await.unwrap();
}
