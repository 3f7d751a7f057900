//! The fault dial: what goes wrong, from Rust and over HTTP.

use std::time::{Duration, Instant};

use matrix_homeserver::{
    fault::{Fault, FaultRule},
    testing::{TestError, TestUser},
};
use reqwest::Method;
use serde_json::json;

use crate::{
    fake_appservice::{AS_TOKEN, FakeAppservice},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";
const SEND: &str = "PUT /_matrix/client/v3/rooms/*/send/*";

async fn bridged() -> (FakeAppservice, Server, TestUser) {
    let appservice = FakeAppservice::start().await;
    let registration = appservice.registration();
    let server =
        Server::with(|b| b.registration(registration).appservice_backoff(Duration::from_millis(5))).await;
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    (appservice, server, bot)
}

#[tokio::test]
async fn a_lost_acknowledgement_leaves_the_event_behind_and_the_same_id_finds_it() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    server.hs.faults().turn(FaultRule::route(SEND, Fault::LoseAcknowledgement).times(1)).unwrap();
    let content = json!({"msgtype": "m.text", "body": "once"});
    let lost = alice.send_event_as(&room, "m.room.message", "t", content.clone()).await.unwrap_err();
    assert!(matches!(lost, TestError::Transport { .. }), "{lost}");
    let event_id = alice.send_event_as(&room, "m.room.message", "t", content).await.unwrap();
    let messages = alice.messages(&room, 10).await.unwrap();
    let sent: Vec<_> = messages.iter().filter(|event| event["type"] == "m.room.message").collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["event_id"], event_id.as_str());
}

#[tokio::test]
async fn a_cut_connection_and_a_status_leave_nothing_behind() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let before = alice.messages(&room, 50).await.unwrap().len();
    let faults = server.hs.faults();
    let cut = faults.turn(FaultRule::route(SEND, Fault::CutConnection)).unwrap();
    assert!(matches!(alice.send_text(&room, "x").await.unwrap_err(), TestError::Transport { .. }));
    assert!(faults.turn_back(cut) >= Some(1));
    let status = Fault::Status { status: 429, retry_after_ms: Some(1500) };
    faults.turn(FaultRule::route(SEND, status).times(1)).unwrap();
    let path = format!("{V3}/rooms/{room}/send/m.room.message/t");
    let answer = server.put(&path, alice.access_token(), json!({})).await;
    assert_eq!(answer.body["retry_after_ms"], 1500);
    answer.refused(429, "M_LIMIT_EXCEEDED");
    assert_eq!(alice.messages(&room, 50).await.unwrap().len(), before);
    alice.send_text(&room, "x").await.unwrap();
}

#[tokio::test]
async fn a_delayed_answer_comes_later() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.faults().turn(FaultRule::route("* */whoami", Fault::Delay { delay_ms: 120 })).unwrap();
    let start = Instant::now();
    alice.get(&format!("{V3}/account/whoami")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn an_appservice_sees_a_transaction_twice_when_its_acknowledgement_is_lost_or_it_is_repeated() {
    for fault in [Fault::LoseAcknowledgement, Fault::RepeatTransaction] {
        let (appservice, server, bot) = bridged().await;
        server.hs.faults().turn(FaultRule::appservice("test", fault.clone()).times(1)).unwrap();
        bot.create_room(json!({})).await.unwrap();
        let first = appservice.next_transaction().await;
        let again = appservice.next_transaction().await;
        assert_eq!((&first.path, &first.raw), (&again.path, &again.raw), "{fault:?}");
        bot.create_room(json!({})).await.unwrap();
        let mut next = appservice.next_transaction().await;
        while next.path == first.path {
            next = appservice.next_transaction().await;
        }
        assert!(!next.events().is_empty());
    }
}

#[tokio::test]
async fn an_appservice_that_is_cut_off_gets_everything_afterwards() {
    let (appservice, server, bot) = bridged().await;
    let faults = server.hs.faults();
    let status = Fault::Status { status: 503, retry_after_ms: None };
    for fault in [Fault::CutConnection, status] {
        let id = faults.turn(FaultRule::appservice("test", fault)).unwrap();
        let room = bot.create_room(json!({})).await.unwrap();
        while faults.hits(id) < Some(2) {
            tokio::task::yield_now().await;
        }
        faults.turn_back(id).unwrap();
        let of_room = |event: &serde_json::Value| event["room_id"] == room.as_str();
        appservice.next(|request| request.events().iter().any(of_room)).await;
    }
}

#[tokio::test]
async fn the_dial_is_turned_over_http_where_that_is_enabled() {
    let server = Server::with(|b| b.fault_control(true)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let rule = json!({"route": "GET */whoami", "fault": "status", "status": 502, "times": 2});
    let id = server.post("/_fault", "", rule).await.ok()["id"].clone();
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, alice.access_token()).await.refused(502, "M_UNKNOWN");
    let listed = server.get("/_fault", "").await.ok();
    assert_eq!((&listed["rules"][0]["id"], &listed["rules"][0]["hits"]), (&id, &json!(1)));
    let turned_back = server.raw(Method::DELETE, &format!("/_fault/{id}"), None, None).await.ok();
    assert_eq!(turned_back, json!({"hits": 1}));
    server.get(&whoami, alice.access_token()).await.ok();
    server.raw(Method::DELETE, "/_fault/77", None, None).await.refused(404, "M_NOT_FOUND");
    server.raw(Method::DELETE, "/_fault", None, None).await.ok();
    for bad in [
        json!({}),
        json!({"route": "x", "fault": "delay", "delay_ms": 1}),
        json!({"appservice": "x", "fault": "?"}),
    ] {
        assert_eq!(server.post("/_fault", "", bad).await.status, 400);
    }
    let closed = Server::start().await;
    closed.get("/_fault", "").await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_restart_keeps_address_and_data() {
    let directory = tempfile::tempdir().unwrap();
    let homeserver =
        matrix_homeserver::Homeserver::builder("hs.test").data_dir(directory.path()).start().await.unwrap();
    let url = homeserver.url().to_owned();
    let alice = homeserver.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let homeserver = homeserver.restart().await.unwrap();
    assert_eq!(homeserver.url(), url);
    let again = TestUser::from_token(&url, alice.user_id(), alice.access_token());
    again.send_text(&room, "still here").await.unwrap();
    homeserver.shutdown().await;
}
