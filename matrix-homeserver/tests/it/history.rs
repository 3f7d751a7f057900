//! Finding one's way in the history of a room.

use serde_json::json;

use crate::support::Server;

const V1: &str = "/_matrix/client/v1";
const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn the_event_nearest_to_a_time_is_found_in_either_direction() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let first = alice.send_text(&room, "first").await.unwrap();
    let event = alice.get(&format!("{V3}/rooms/{room}/event/{first}")).await.unwrap();
    let sent = event["origin_server_ts"].as_u64().unwrap();
    let near = |ts: u64, dir: &'static str| {
        let (path, token) =
            (format!("{V1}/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}"), alice.access_token());
        let server = &server;
        async move { server.get(&path, token).await }
    };
    let create = near(0, "f").await.ok();
    let create_id = create["event_id"].as_str().unwrap();
    let event = alice.get(&format!("{V3}/rooms/{room}/event/{create_id}")).await.unwrap();
    assert_eq!(event["origin_server_ts"], create["origin_server_ts"]);
    let last = near(sent + 10_000_000, "b").await.ok();
    assert_eq!(last["event_id"], first.as_str());
    assert_eq!(last["origin_server_ts"], sent);
    near(sent + 10_000_000, "f").await.refused(404, "M_NOT_FOUND");
    near(0, "b").await.refused(404, "M_NOT_FOUND");
    near(0, "x").await.refused(400, "M_INVALID_PARAM");
    let path = format!("{V1}/rooms/{room}/timestamp_to_event?dir=f");
    server.get(&path, alice.access_token()).await.refused(400, "M_MISSING_PARAM");
    let eve = server.hs.user("eve").await.unwrap();
    let path = format!("{V1}/rooms/{room}/timestamp_to_event?dir=f&ts=0");
    server.get(&path, eve.access_token()).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn events_say_what_their_reader_was_when_they_were_sent() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.send_text(&room, "before").await.unwrap();
    bob.join(&room).await.unwrap();
    alice.send_text(&room, "after").await.unwrap();
    let messages = bob.messages(&room, 50).await.unwrap();
    let membership = |body: &str| {
        let event = messages.iter().find(|event| event["content"]["body"] == body).unwrap();
        event["unsigned"]["membership"].clone()
    };
    assert_eq!(membership("before"), "leave");
    assert_eq!(membership("after"), "join");
}
