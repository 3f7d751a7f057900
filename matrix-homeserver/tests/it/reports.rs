//! Telling the administrators of something.

use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn events_rooms_and_users_are_reported_and_kept() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    let event_id = alice.send_text(&room, "bad").await.unwrap();
    bob.post(&format!("{V3}/rooms/{room}/report"), json!({"reason": "a room"})).await.unwrap();
    bob.post(&format!("{V3}/users/@alice:hs.test/report"), json!({"reason": ""})).await.unwrap();
    bob.join(&room).await.unwrap();
    let path = format!("{V3}/rooms/{room}/report/{event_id}");
    bob.post(&path, json!({"reason": "an event", "score": -100})).await.unwrap();
    bob.post(&path, json!({})).await.unwrap();
    let reports = server.hs.reports().unwrap();
    let reasons: Vec<_> = reports.iter().map(|report| report.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("a room"), Some(""), Some("an event"), None]);
    assert!(reports.iter().all(|report| report.reporter == "@bob:hs.test"));
    assert_eq!(reports[0].room_id.as_ref(), Some(&room));
    assert_eq!(reports[1].user_id.as_ref().map(|user| user.as_str()), Some("@alice:hs.test"));
    assert_eq!(reports[2].event_id.as_ref(), Some(&event_id));
    assert_eq!(reports[2].user_id.as_ref().map(|user| user.as_str()), Some("@alice:hs.test"));
    assert_eq!(reports[2].score, Some(-100));
}

#[tokio::test]
async fn what_is_not_there_or_not_to_be_seen_is_not_reported() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let event_id = alice.send_text(&room, "bad").await.unwrap();
    let report = |path: String, body: Value| {
        let (server, token) = (&server, bob.access_token());
        async move { server.post(&format!("{V3}/{path}"), token, body).await }
    };
    let reason = || json!({"reason": "x"});
    report(format!("rooms/{room}/report/{event_id}"), reason()).await.refused(404, "M_NOT_FOUND");
    report("rooms/!none:hs.test/report".to_owned(), reason()).await.refused(404, "M_NOT_FOUND");
    report("users/@none:hs.test/report".to_owned(), reason()).await.refused(404, "M_NOT_FOUND");
    report(format!("rooms/{room}/report"), json!({})).await.refused(400, "M_MISSING_PARAM");
    report(format!("rooms/{room}/report"), json!({"reason": 1})).await.refused(400, "M_BAD_JSON");
    assert_eq!(server.hs.reports().unwrap(), []);
}
