//! User-interactive authentication: flows, stages, sessions and the pages for stages.

use matrix_homeserver::{Terms, testing::PASSWORD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const V3: &str = "/_matrix/client/v3";

async fn with_token_and_terms() -> Server {
    Server::with(|builder| {
        builder.registration_token("open sesame").terms(Terms {
            id: "privacy_policy".into(),
            version: "1.2".into(),
            name: "Privacy <Policy>".into(),
            url: "https://hs.test/privacy?a&b".into(),
        })
    })
    .await
}

async fn register(server: &Server, auth: Value) -> Answer {
    let body = json!({"username": "alice", "password": "pw", "auth": auth});
    server.post(&format!("{V3}/register"), "", body).await
}

#[tokio::test]
async fn registration_takes_every_stage_of_the_flow_one_after_the_other() {
    let server = with_token_and_terms().await;
    let body = json!({"username": "alice", "password": "pw"});
    let challenge = server.post(&format!("{V3}/register"), "", body).await;
    assert_eq!(challenge.status, 401);
    assert_eq!(challenge.body["flows"], json!([{"stages": ["m.login.registration_token", "m.login.terms"]}]));
    let policy = &challenge.body["params"]["m.login.terms"]["policies"]["privacy_policy"];
    assert_eq!(
        *policy,
        json!({"version": "1.2", "en": {"name": "Privacy <Policy>", "url": "https://hs.test/privacy?a&b"}})
    );
    let session = &challenge.body["session"];

    let wrong = register(
        &server,
        json!({"type": "m.login.registration_token", "token": "guess", "session": session}),
    )
    .await;
    assert_eq!(wrong.body["session"], *session);
    wrong.refused(401, "M_UNAUTHORIZED");
    let dummy = register(&server, json!({"type": "m.login.dummy", "session": session})).await;
    dummy.refused(400, "M_UNRECOGNIZED");

    let token = json!({"type": "m.login.registration_token", "token": "open sesame", "session": session});
    let half = register(&server, token.clone()).await;
    assert_eq!((half.status, &half.body["completed"]), (401, &json!(["m.login.registration_token"])));
    assert!(half.body.get("errcode").is_none(), "{}", half.body);
    // Once more does no harm, whatever it says.
    let mut repeated = token;
    repeated["token"] = "guess".into();
    let still = register(&server, repeated).await;
    assert_eq!(still.body["completed"], json!(["m.login.registration_token"]));

    let done = register(&server, json!({"type": "m.login.terms", "session": session})).await.ok();
    assert_eq!(done["user_id"], "@alice:hs.test");
    // The answer was lost: the same session gives the same account.
    let again = register(&server, json!({"session": session})).await.ok();
    assert_eq!(again["user_id"], "@alice:hs.test");
    server.get(&format!("{V3}/account/whoami"), again["access_token"].as_str().unwrap()).await.ok();
    register(&server, json!({"type": "m.login.terms"})).await.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn a_registration_token_can_be_asked_about() {
    let server = with_token_and_terms().await;
    let path = "/_matrix/client/v1/register/m.login.registration_token/validity";
    assert_eq!(server.get(&format!("{path}?token=open%20sesame"), "").await.ok(), json!({"valid": true}));
    assert_eq!(server.get(&format!("{path}?token=guess"), "").await.ok(), json!({"valid": false}));
    server.get(path, "").await.refused(400, "M_MISSING_PARAM");
    let closed = Server::with(|builder| builder.open_registration(false)).await;
    closed.get(&format!("{path}?token=x"), "").await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn stages_can_be_done_on_a_page_in_a_browser() {
    let server = with_token_and_terms().await;
    let body = json!({"username": "alice", "password": "pw"});
    let challenge = server.post(&format!("{V3}/register"), "", body).await;
    let session = challenge.body["session"].as_str().unwrap();
    let page = |stage: &str| format!("{}{V3}/auth/{stage}/fallback/web?session={session}", server.hs.url());
    let http = &server.http;
    let shown = http.get(page("m.login.terms")).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("Privacy &lt;Policy&gt;") && shown.contains("privacy?a&amp;b"), "{shown}");
    let accepted = http.post(page("m.login.terms")).send().await.unwrap().text().await.unwrap();
    assert!(accepted.contains("onAuthDone"), "{accepted}");
    let wrong = http.post(page("m.login.registration_token")).body("token=guess").send().await.unwrap();
    assert_eq!(wrong.status(), 403);
    let right = http.post(page("m.login.registration_token")).body("token=open+sesame").send().await.unwrap();
    assert_eq!(right.status(), 200);
    register(&server, json!({ "session": session })).await.ok();
    let unknown = format!("{V3}/auth/m.login.terms/fallback/web?session=<script>");
    server.get(&unknown, "").await.refused(400, "M_UNKNOWN");
    let other = format!("{V3}/auth/m.login.password/fallback/web?session={session}");
    server.get(&other, "").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_session_is_good_for_what_it_was_begun_for_and_for_whom() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    server.hs.user("alice").await.unwrap();
    let devices = server.get(&format!("{V3}/devices"), alice.access_token()).await.ok();
    let doomed = devices["devices"][0]["device_id"].as_str().unwrap();
    let body = json!({"devices": [doomed]});
    let challenge = server.post(&format!("{V3}/delete_devices"), alice.access_token(), body.clone()).await;
    let auth = json!({"type": "m.login.password", "password": PASSWORD, "user": "alice",
        "session": challenge.body["session"]});
    let elsewhere = json!({"auth": auth, "new_password": "x"});
    server
        .post(&format!("{V3}/account/password"), alice.access_token(), elsewhere)
        .await
        .refused(403, "M_UNKNOWN");
    let by_bob = json!({"devices": [doomed], "auth": {"session": challenge.body["session"]}});
    server.post(&format!("{V3}/delete_devices"), bob.access_token(), by_bob).await.refused(403, "M_UNKNOWN");
    let named = json!({"devices": [doomed], "auth": {"type": "m.login.password", "password": PASSWORD,
        "identifier": {"type": "m.id.user", "user": "bob"}}});
    server
        .post(&format!("{V3}/delete_devices"), alice.access_token(), named)
        .await
        .refused(401, "M_FORBIDDEN");
    let right = json!({"devices": [doomed], "auth": auth});
    server.post(&format!("{V3}/delete_devices"), alice.access_token(), right).await.ok();
}

#[tokio::test]
async fn everything_that_is_grave_asks_for_the_password() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let token = alice.access_token();
    let list = server.get(&format!("{V3}/devices"), token).await.ok();
    let device = list["devices"][0]["device_id"].as_str().unwrap().to_owned();
    for (method, path) in [
        (Method::DELETE, format!("{V3}/devices/{device}")),
        (Method::POST, format!("{V3}/delete_devices")),
        (Method::POST, format!("{V3}/account/password")),
        (Method::POST, format!("{V3}/account/deactivate")),
        (Method::POST, "/_matrix/client/v1/login/get_token".to_owned()),
    ] {
        let body = json!({"devices": [device], "new_password": "x"}).to_string().into_bytes();
        let answer = server.raw(method, &path, Some(token), Some(body)).await;
        assert_eq!(
            (answer.status, &answer.body["flows"]),
            (401, &json!([{"stages": ["m.login.password"]}])),
            "{path}"
        );
        assert!(answer.body["session"].is_string() && answer.body["params"].is_object(), "{path}");
    }
}
