use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use ruma::{
    MilliSecondsSinceUnixEpoch,
    api::client::{
        account::whoami, directory::get_room_visibility, membership::join_room_by_id,
        message::send_message_event,
    },
    owned_room_id, user_id,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Client, ClientError, Identity, RetryPolicy};
use crate::{
    fake::{Answer, Fake},
    metrics::Metrics,
    registration::Secret,
};

const TOKEN: &str = "as_token_that_nobody_may_see";

fn said_at(ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(ms.try_into().expect("it is a time"))
}

fn client(url: &str) -> Client {
    let quick = RetryPolicy::default()
        .pauses(Duration::from_millis(1), Duration::from_millis(5))
        .deadline(Duration::from_secs(20));
    Client::with(url, Secret::new(TOKEN), quick, Metrics::default()).expect("the URL is valid")
}

fn impatient(url: &str, deadline: Duration) -> Client {
    let policy =
        RetryPolicy::default().pauses(Duration::from_millis(1), Duration::from_millis(5)).deadline(deadline);
    Client::with(url, Secret::new(TOKEN), policy, Metrics::default()).expect("the URL is valid")
}

fn a_put() -> send_message_event::v3::Request {
    send_message_event::v3::Request::new_raw(
        owned_room_id!("!room:hs"),
        "txn".into(),
        "m.room.message".into(),
        ruma::serde::Raw::from_json(serde_json::value::to_raw_value(&json!({})).expect("it is JSON")),
    )
}

fn a_post() -> join_room_by_id::v3::Request {
    join_room_by_id::v3::Request::new(owned_room_id!("!room:hs"))
}

fn sent() -> Answer {
    Answer::ok(&json!({"event_id": "$event", "room_id": "!room:hs"}))
}

/// Answers with `first` as often as said, then with success.
fn at_first(times: u32, first: impl Fn() -> Answer + Send + Sync) -> impl Fn() -> Answer + Send + Sync {
    let count = AtomicU32::new(0);
    move || if count.fetch_add(1, Ordering::SeqCst) < times { first() } else { sent() }
}

#[tokio::test]
async fn the_token_travels_in_the_header_and_the_identity_in_the_query() {
    let fake = Fake::start(|_| sent()).await;
    let identity = Identity::user(user_id!("@irc_bob&co/x:hs")).device("D 1").at(said_at(1_421_416_883_133));
    client(&fake.url).send(a_put(), &identity).await.expect("it is sent");
    let asked = &fake.asked()[0];
    assert_eq!(asked.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(!asked.query.contains(TOKEN));
    assert_eq!(asked.parameter("user_id").as_deref(), Some("@irc_bob&co/x:hs"));
    assert_eq!(asked.parameter("device_id").as_deref(), Some("D 1"));
    assert_eq!(asked.parameter("org.matrix.msc3202.device_id").as_deref(), Some("D 1"));
    assert_eq!(asked.parameter("ts").as_deref(), Some("1421416883133"));
    assert_eq!(asked.path, "/_matrix/client/v3/rooms/!room:hs/send/m.room.message/txn");
}

#[tokio::test]
async fn the_bot_asserts_no_identity() {
    let fake = Fake::start(|_| Answer::ok(&json!({"user_id": "@bot:hs"}))).await;
    client(&fake.url).send(whoami::v3::Request::new(), &Identity::bot()).await.expect("it is answered");
    assert_eq!(fake.asked()[0].query, "");
}

#[tokio::test]
async fn what_is_idempotent_is_sent_again_after_a_server_error() {
    let answer = at_first(3, || Answer::text(502, "<html>bad gateway</html>"));
    let fake = Fake::start(move |_| answer()).await;
    client(&fake.url).send(a_put(), &Identity::bot()).await.expect("the fourth attempt succeeds");
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn what_is_not_idempotent_is_not_sent_again_after_a_server_error() {
    let fake = Fake::start(|_| Answer::text(502, "")).await;
    let error = client(&fake.url).send(a_post(), &Identity::bot()).await.expect_err("it fails");
    assert!(error.is_retryable());
    assert_eq!(error.errcode(), None);
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn whatever_was_limited_is_sent_again_and_not_before_the_time_asked_for() {
    let answer = at_first(1, || {
        Answer::new(429, &json!({"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 60}))
    });
    let fake = Fake::start(move |_| answer()).await;
    let started = Instant::now();
    client(&fake.url).send(a_post(), &Identity::bot()).await.expect("the second attempt succeeds");
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn the_header_counts_more_than_the_body_and_a_wait_beyond_the_deadline_is_not_begun() {
    let fake = Fake::start(|_| {
        Answer::new(429, &json!({"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 1}))
            .header("retry-after", "3600")
    })
    .await;
    let error = client(&fake.url).send(a_put(), &Identity::bot()).await.expect_err("it is limited");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert!(error.is("M_LIMIT_EXCEEDED") && error.is_retryable());
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn nonsense_about_waiting_is_ignored() {
    for body in [json!({"retry_after_ms": -5}), json!({"retry_after_ms": 1e300}), json!({"errcode": 7})] {
        let fake = Fake::start(move |_| Answer::new(403, &body).header("retry-after", "soon")).await;
        let error = client(&fake.url).send(a_put(), &Identity::bot()).await.expect_err("it is refused");
        assert_eq!(error.retry_after(), None);
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_says_what_the_homeserver_said() {
    let fake = Fake::start(|_| Answer::error(403, "M_FORBIDDEN")).await;
    let error = client(&fake.url).send(a_put(), &Identity::bot()).await.expect_err("it is forbidden");
    assert!(!error.is_retryable());
    assert_eq!((error.errcode(), error.status()), (Some("M_FORBIDDEN"), Some(403)));
    assert_eq!(error.to_string(), "the homeserver answered 403 M_FORBIDDEN: as the test wants it");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_homeserver_that_stays_broken_is_given_up_at_the_deadline() {
    let fake = Fake::start(|_| Answer::error(503, "M_UNKNOWN")).await;
    let client = impatient(&fake.url, Duration::from_millis(500));
    let started = Instant::now();
    let error = client.send(a_put(), &Identity::bot()).await.expect_err("it never works");
    assert!(error.is_retryable());
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(fake.asked().len() > 2);
}

#[tokio::test]
async fn a_homeserver_that_does_not_answer_is_given_up_at_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let client = impatient(&url, Duration::from_millis(80));
    let error = client.send(whoami::v3::Request::new(), &Identity::bot()).await.expect_err("nobody answers");
    assert!(matches!(error, ClientError::Timeout), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_homeserver_that_is_not_there_is_retried_until_the_deadline() {
    // Nobody listens on port 1.
    let client = impatient("http://127.0.0.1:1", Duration::from_millis(500));
    let error = client.send(a_post(), &Identity::bot()).await.expect_err("nobody is there");
    assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_not_taken_for_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"vers").await;
        }
    });
    let client = impatient(&url, Duration::from_millis(500));
    let error = client.send(a_post(), &Identity::bot()).await.expect_err("the answer is cut short");
    assert!(matches!(error, ClientError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error_and_not_repeated() {
    for body in ["", "[]", "{}", "nonsense", r#"{"event_id": 5}"#] {
        let fake = Fake::start(move |_| Answer::text(200, body)).await;
        let error = client(&fake.url).send(a_put(), &Identity::bot()).await.expect_err(body);
        assert!(matches!(error, ClientError::Answer { status: 200 }), "{body}: {error:?}");
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_because_the_token_would_go_with_it() {
    let fake = Fake::start(|asked| {
        if asked.path == "/stolen" { sent() } else { Answer::text(307, "").header("location", "/stolen") }
    })
    .await;
    let error = client(&fake.url).send(a_put(), &Identity::bot()).await.expect_err("it is no answer");
    assert_eq!(error.status(), Some(307));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn versions_are_asked_once_and_choose_the_path() {
    let fake = Fake::bare(|asked| match asked.path.as_str() {
        "/_matrix/client/versions" => Answer::ok(&json!({"versions": ["r0.5.0", "r0.6.1"]})),
        _ => sent(),
    })
    .await;
    let client = client(&fake.url);
    for _ in 0..2 {
        client.send(a_post(), &Identity::bot()).await.expect("it is answered");
    }
    let expected = "/_matrix/client/r0/rooms/!room:hs/join";
    assert_eq!(fake.asked().iter().map(|asked| &*asked.path).collect::<Vec<_>>(), [expected, expected]);
}

#[tokio::test]
async fn a_homeserver_that_says_nothing_about_versions_is_taken_for_one_of_v1_1() {
    for versions in ["", "{}", r#"{"versions": ["v99.1"]}"#, r#"{"versions": {}}"#, "<html>"] {
        for status in [200, 404] {
            let fake = Fake::bare(move |asked| match asked.path.as_str() {
                "/_matrix/client/versions" => Answer::text(status, versions),
                _ => sent(),
            })
            .await;
            client(&fake.url).send(a_post(), &Identity::bot()).await.expect("it is answered");
            assert_eq!(fake.asked()[0].path, "/_matrix/client/v3/rooms/!room:hs/join");
        }
    }
}

#[tokio::test]
async fn a_homeserver_under_a_path_keeps_the_path() {
    let fake = Fake::bare(|_| Answer::ok(&json!({"versions": ["v1.1"], "visibility": "private"}))).await;
    let client = client(&format!("{}/below/", fake.url));
    let request = get_room_visibility::v3::Request::new(owned_room_id!("!a/b:hs"));
    client.send(request, &Identity::bot()).await.expect("it is answered");
    assert!(fake.asked().iter().all(|asked| asked.path.starts_with("/below/_matrix/client/")));
}

#[tokio::test]
async fn no_error_and_no_debug_shows_the_token() {
    let fake = Fake::start(|_| Answer::error(401, "M_UNKNOWN_TOKEN")).await;
    let client = client(&fake.url);
    let refused = client.send(a_put(), &Identity::bot()).await.expect_err("the token is unknown");
    drop(fake);
    let gone = impatient("http://127.0.0.1:1", Duration::from_millis(10));
    let unreachable = gone.send(a_put(), &Identity::bot()).await.expect_err("nobody is there");
    for text in
        [format!("{refused:?} {refused}"), format!("{unreachable:?} {unreachable}"), format!("{client:?}")]
    {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn urls_that_are_none_are_refused() {
    for url in ["", "localhost", "ftp://localhost", "http://"] {
        assert!(matches!(Client::new(url, Secret::new(TOKEN)), Err(ClientError::Invalid(_))), "{url}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_result() {
    let answer = at_first(1, || Answer::text(502, ""));
    let fake = Fake::start(move |_| answer()).await;
    let metrics = Metrics::default();
    let policy = RetryPolicy::default().pauses(Duration::from_millis(1), Duration::from_millis(1));
    let client = Client::with(&fake.url, Secret::new(TOKEN), policy, metrics.clone()).expect("it is valid");
    client.send(a_put(), &Identity::bot()).await.expect("it is sent");
    let text = metrics.to_text();
    for line in [
        r#"appservice_requests_total{result="ok"} 2"#,
        r#"appservice_requests_total{result="server_error"} 1"#,
        "appservice_request_retries_total 1",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}
