//! Garbage, oversized and half-closed requests, at the homeserver and at the bridge.

use std::net::SocketAddr;

use matrix_homeserver::testing::TestUser;
use tests::http::{RawResponse, send_half_closed, send_raw};
use tests::programs::{BridgeProcess, HomeserverProcess};
use tests::require;
use tests::servers::NgIrcd;

use crate::scene::{Scene, ours};

/// A request with a body, as bytes, that closes the connection afterwards.
fn request(method: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Bytes that are no request, or not a whole one.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(1 << 20));
    vec![
        ("nothing at all", Vec::new()),
        ("zeros", vec![0; 4096]),
        ("every byte", (0..=255).cycle().take(8192).collect()),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("half a request line", b"GET /_matrix/cli".to_vec()),
        ("half a head", b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n".to_vec()),
        ("a header of a mebibyte", header.into_bytes()),
        ("a path of a mebibyte", long_path.into_bytes()),
        ("a version from the future", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_vec()),
        ("a negative length", b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        ),
        (
            "a chunk without a size",
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        (
            "a method nobody knows",
            b"BREW /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        (
            "a broken escape",
            b"GET /_matrix/client/v3/rooms/%zz%00%ff/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                .to_vec(),
        ),
    ]
}

/// Bodies that are not what any endpoint wants.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", Vec::new()),
        ("not JSON", b"{".to_vec()),
        ("broken UTF-8", b"{\"body\":\"\xff\xfe\"}".to_vec()),
        ("a lone surrogate", br#"{"body":"\ud800"}"#.to_vec()),
        ("a list", b"[]".to_vec()),
        ("a number", b"42".to_vec()),
        ("null", b"null".to_vec()),
        ("a hundred thousand brackets", vec![b'['; 100_000]),
        ("an integer too large", br#"{"a":123456789012345678901234567890}"#.to_vec()),
        ("a NUL in a string", br#"{"body":"a\u0000b","msgtype":"m.text"}"#.to_vec()),
        ("the same key twice", br#"{"body":"a","body":"b","msgtype":"m.text"}"#.to_vec()),
    ]
}

fn assert_harmless(what: &str, answer: &RawResponse) {
    let status = answer.status;
    assert!(status.is_none_or(|status| status < 500), "{what}: {}", answer.text);
    if let Some(400..) = status {
        // What user-interactive authentication answers has flows in place of an errcode.
        let explained = ["errcode", "flows"].iter().any(|key| answer.text.contains(key));
        assert!(explained || !answer.text.contains("application/json"), "{what}: {}", answer.text);
    }
}

fn address_of(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn the_homeserver_survives_garbage() {
    let homeserver = HomeserverProcess::start(&[]).await;
    let server = address_of(&homeserver.url());
    let alice = TestUser::register(&homeserver.url(), "alice").await.unwrap();
    let room = alice.create_room(serde_json::json!({})).await.unwrap();
    for (what, bytes) in nonsense() {
        assert_harmless(what, &send_half_closed(server, &bytes).await);
    }
    let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/bad");
    let paths = [
        ("POST", "/_matrix/client/v3/createRoom".to_owned()),
        ("POST", "/_matrix/client/v3/register".to_owned()),
        ("POST", "/_matrix/client/v3/login".to_owned()),
        ("PUT", send.clone()),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/state/m.room.name/")),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/state/m.room.power_levels")),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", alice.user_id())),
        ("POST", format!("/_matrix/client/v3/rooms/{room}/invite")),
        ("POST", format!("/_matrix/client/v3/rooms/{room}/join")),
        ("PUT", format!("/_matrix/client/v3/profile/{}/displayname", alice.user_id())),
        ("PUT", "/_matrix/client/v3/directory/room/%23x:hs.test".to_owned()),
        ("GET", "/_matrix/client/v3/sync?since=nonsense&timeout=-1&filter=%7B".to_owned()),
        ("GET", format!("/_matrix/client/v3/rooms/{room}/messages?from=%00&limit=x&dir=sideways")),
    ];
    for (method, path) in &paths {
        for (what, body) in bodies() {
            let bytes = request(method, path, alice.access_token(), &body);
            assert_harmless(&format!("{method} {path}: {what}"), &send_raw(server, &bytes).await);
        }
    }
    let huge = format!("{{\"msgtype\":\"m.text\",\"body\":\"{}\"}}", "x".repeat(70_000));
    let bytes = request("PUT", &format!("{send}-huge"), alice.access_token(), huge.as_bytes());
    let answer = send_raw(server, &bytes).await;
    assert_eq!(answer.status, Some(413), "an event beyond 64 KiB: {}", answer.text);
    assert!(answer.text.contains("M_TOO_LARGE"), "{}", answer.text);
    // A body that was promised and never came.
    let mut promised = request("PUT", &send, alice.access_token(), b"{}");
    promised.truncate(promised.len() - 1);
    assert_harmless("a body cut short", &send_half_closed(server, &promised).await);

    alice.send_text(room.as_str(), "still here").await.unwrap();
    let log = homeserver.process().log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn the_bridge_survives_garbage_on_its_port() {
    let irc = require!(NgIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    let mut scene = Scene::open(&homeserver.url(), irc.address, bridge, &[]).await;
    let server = scene.bridge.address();
    let token = hs_token(&scene.bridge);
    for (what, bytes) in nonsense() {
        assert_harmless(what, &send_half_closed(server, &bytes).await);
    }
    for path in ["/_matrix/app/v1/transactions/bad", "/transactions/bad"] {
        for (what, body) in bodies() {
            let answer = send_raw(server, &request("PUT", path, &token, &body)).await;
            assert_harmless(&format!("{path}: {what}"), &answer);
        }
        for events in ["[1,null,[]]", "[{}]", r#"[{"type":3,"room_id":{},"event_id":[]}]"#, "{}", "null"] {
            let body = format!("{{\"events\":{events}}}");
            let bytes = request("PUT", &format!("{path}{}", body.len()), &token, body.as_bytes());
            assert_harmless(&format!("{path}: {body}"), &send_raw(server, &bytes).await);
        }
    }
    let door = |method: &'static str, path: &'static str, token: &'static str, body: &'static str| {
        let bytes = request(method, path, token, body.as_bytes());
        async move { send_raw(server, &bytes).await }
    };
    for (answer, status, errcode) in [
        (door("PUT", "/_matrix/app/v1/transactions/1", "wrong", "{\"events\":[]}").await, 403, "M_FORBIDDEN"),
        (door("GET", "/_matrix/app/v1/nothing", "wrong", "").await, 404, "M_UNRECOGNIZED"),
        (door("POST", "/_matrix/app/v1/transactions/1", "wrong", "{}").await, 405, "M_UNRECOGNIZED"),
    ] {
        assert_eq!(answer.status, Some(status), "{}", answer.text);
        assert!(answer.text.contains(errcode), "{}", answer.text);
    }
    let answer = send_raw(server, &request("PUT", "/_matrix/app/v1/transactions/1", &token, b"{")).await;
    assert!(answer.status == Some(400) && answer.text.contains("M_NOT_JSON"), "{}", answer.text);
    let answer = send_raw(server, &request("PUT", "/_matrix/app/v1/transactions/1", &token, b"[]")).await;
    assert!(answer.status == Some(400) && answer.text.contains("M_BAD_JSON"), "{}", answer.text);
    let bare = b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let answer = send_raw(server, bare).await;
    assert!(answer.status == Some(401) && answer.text.contains("M_MISSING_TOKEN"), "{}", answer.text);

    scene.alice.send_text(&scene.room, "still here").await.unwrap();
    scene.bob.wait_for_message("still here").await;
    let log = scene.bridge.process().log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains(&token), "a token is in the log");
}

fn hs_token(bridge: &BridgeProcess) -> String {
    let text = std::fs::read_to_string(bridge.files().registration()).unwrap();
    let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    document["hs_token"].as_str().unwrap().to_owned()
}
