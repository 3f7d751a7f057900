//! Running the server: what it counts, how it stops, what it does with what it refuses.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are small whole numbers"
)]

use std::time::Duration;

use matrix_homeserver::fault::{Fault, FaultRule};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    fake_appservice::{AS_TOKEN, FakeAppservice},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";

async fn metrics(server: &Server) -> String {
    let answer = reqwest::get(format!("{}/metrics", server.hs.url())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    answer.text().await.unwrap()
}

/// The value of the one line that begins so.
#[track_caller]
fn value(metrics: &str, line: &str) -> f64 {
    let found: Vec<_> =
        metrics.lines().filter_map(|found| found.strip_prefix(line)?.strip_prefix(' ')).collect();
    assert_eq!(found.len(), 1, "{line} in {metrics}");
    found[0].parse().unwrap()
}

#[tokio::test]
async fn what_the_server_does_is_counted_where_that_is_wanted() {
    let server = Server::with(|builder| builder.metrics(true)).await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let event_id = bob.send_text(&room, "hello").await.unwrap();
    bob.send_text(&room, "hello").await.unwrap();
    alice.redact(&room, &event_id, "").await.unwrap();
    server.get("/_matrix/client/v3/nothing/of/the/kind", "").await.refused(404, "M_UNRECOGNIZED");

    let text = metrics(&server).await;
    let count = |name: &str| value(&text, &format!("matrix_homeserver_{name}"));
    let send = r#"method="PUT",route="/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}""#;
    assert_eq!(count(&format!("requests_total{{{send},status=\"200\"}}")) as u64, 2);
    assert_eq!(count(&format!("request_duration_seconds_count{{{send}}}")) as u64, 2);
    assert_eq!(count(r#"requests_total{method="GET",route="unknown",status="404"}"#) as u64, 1);
    assert_eq!(count(r#"events_total{class="message"}"#) as u64, 2);
    assert_eq!(count(r#"events_total{class="membership"}"#) as u64, 2);
    assert_eq!(count(r#"events_total{class="redaction"}"#) as u64, 1);
    assert!(count(r#"events_total{class="state"}"#) >= 5.0);
    assert_eq!((count("rooms") as u64, count("users") as u64), (1, 2));
    assert_eq!((count("long_polls_waiting") as u64, count("commit_queue_sets") as u64), (0, 0));
    assert!(count("commit_batch_sets_count") >= 5.0 && count("commit_duration_seconds_sum") > 0.0);
    assert!(count("resident_memory_bytes") > 1e6);
    assert!(text.ends_with("# EOF\n"));
    for secret in [alice.access_token(), "hello", room.as_str(), "@bob"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_being_wanted_nothing_is_told() {
    let server = Server::start().await;
    server.get("/metrics", "").await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn what_waits_for_an_application_service_is_counted_with_its_age() {
    let appservice = FakeAppservice::start().await;
    let server = Server::with(|builder| builder.metrics(true).registration(appservice.registration())).await;
    let age = r#"matrix_homeserver_appservice_queue_oldest_age_seconds{appservice="test"}"#;
    assert_eq!(value(&metrics(&server).await, age) as u64, 0);
    server.hs.faults().turn(FaultRule::appservice("test", Fault::CutConnection)).unwrap();
    let made = server.post(&format!("{V3}/createRoom"), AS_TOKEN, json!({})).await.ok();
    assert!(made["room_id"].is_string());
    until(&server, r#"appservice_queue_oldest_age_seconds{appservice="test"}"#, |age| age >= 1.0).await;
    until(&server, r#"appservice_queue_events{appservice="test"}"#, |waiting| waiting >= 1.0).await;
    until(&server, r#"appservice_failures_total{appservice="test"}"#, |failures| failures > 0.0).await;
}

/// A `/sync` that waits for a minute, unless something happens.
fn long_poll(server: &Server, token: &str, since: &str) -> tokio::task::JoinHandle<(u16, serde_json::Value)> {
    let url = format!("{}{V3}/sync?timeout=60000&set_presence=offline&since={since}", server.hs.url());
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

async fn until(server: &Server, name: &str, wanted: impl Fn(f64) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !wanted(value(&metrics(server).await, &format!("matrix_homeserver_{name}"))) {
        assert!(tokio::time::Instant::now() < deadline, "{name}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn when_the_server_stops_who_waits_is_answered_and_who_is_being_served_is_served() {
    let server = Server::with(|builder| builder.metrics(true)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let since = server.get(&format!("{V3}/sync?set_presence=offline"), alice.access_token()).await.ok();
    let since = since["next_batch"].as_str().unwrap().to_owned();
    let polls =
        [long_poll(&server, alice.access_token(), &since), long_poll(&server, alice.access_token(), &since)];
    until(&server, "long_polls_waiting", |waiting| waiting as u64 == 2).await;

    let delay = FaultRule::route("PUT */typing/*", Fault::Delay { delay_ms: 400 });
    server.hs.faults().turn(delay).unwrap();
    let path = format!("{}{V3}/rooms/{room}/typing/{}", server.hs.url(), alice.user_id());
    let served =
        reqwest::Client::new().put(path).bearer_auth(alice.access_token()).body(r#"{"typing":false}"#);
    let served = tokio::spawn(served.send());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while server.hs.faults().rules()[0].2 == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the request has come");
        tokio::task::yield_now().await;
    }

    tokio::time::timeout(Duration::from_secs(20), server.hs.stop()).await.expect("it stops");
    for poll in polls {
        let (status, body) = poll.await.unwrap();
        assert_eq!((status, &body["next_batch"]), (200, &json!(since)));
    }
    assert_eq!(served.await.unwrap().unwrap().status(), 200);
    assert!(
        TcpStream::connect(server.hs.url().trim_start_matches("http://")).await.is_err(),
        "nobody listens"
    );
}

#[tokio::test]
async fn whoever_is_refused_before_the_upload_was_read_gets_the_refusal() {
    let server = Server::start().await;
    for round in 0..5 {
        let path = "/_matrix/media/v3/upload";
        let answer = server.raw(Method::POST, path, Some("wrong"), Some(vec![0; 5 << 20])).await;
        assert_eq!(answer.status, 401, "round {round}");
        answer.refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_upload_is_refused_at_once() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.hs.url().trim_start_matches("http://")).await.unwrap();
    let head = "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n\
                expect: 100-continue\r\ncontent-length: 5000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}
