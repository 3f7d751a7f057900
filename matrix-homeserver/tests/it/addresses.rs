//! Addresses of accounts: shown by mail, added, used to log in and to come back in, bound and taken away.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use matrix_homeserver::{
    mail::MemoryMailer,
    testing::{PASSWORD, TestUser},
};
use serde_json::{Value, json};

use crate::{
    fake_appservice::{FakeAppservice, Request},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";
const ADDRESS: &str = "alice@mail.test";

async fn with_mail() -> (Server, MemoryMailer) {
    let mailer = MemoryMailer::default();
    let carried = mailer.clone();
    (Server::with(move |builder| builder.mailer(carried)).await, mailer)
}

/// Asks for a mail, as the client with this secret.
async fn request(server: &Server, what: &str, secret: &str) -> String {
    let body = json!({"client_secret": secret, "email": "Alice@Mail.Test", "send_attempt": 1});
    let asked = server.post(&format!("{V3}/{what}/email/requestToken"), "", body).await.ok();
    asked["sid"].as_str().unwrap().to_owned()
}

/// Follows the link of the last mail.
async fn follow(server: &Server, mailer: &MemoryMailer, count: usize) -> u16 {
    let mail = mailer.wait_for(ADDRESS, count, Duration::from_secs(10)).await.expect("a mail");
    let link = mail.body.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
    server.http.get(link).send().await.unwrap().status().as_u16()
}

fn password_auth() -> Value {
    json!({"type": "m.login.password", "password": PASSWORD, "user": "alice"})
}

async fn add(server: &Server, mailer: &MemoryMailer, alice: &TestUser) {
    let sid = request(server, "account/3pid", "secret").await;
    assert_eq!(follow(server, mailer, 1).await, 200);
    let body = json!({"sid": sid, "client_secret": "secret", "auth": password_auth()});
    alice.post(&format!("{V3}/account/3pid/add"), body).await.unwrap();
}

#[tokio::test]
async fn an_address_is_added_by_who_reads_its_mail_and_knows_the_password() {
    let (server, mailer) = with_mail().await;
    let alice = server.hs.user("alice").await.unwrap();
    let path = format!("{V3}/account/3pid/add");
    let sid = request(&server, "account/3pid", "secret").await;
    assert_eq!(request(&server, "account/3pid", "secret").await, sid, "the same attempt");
    let unread = json!({"sid": sid, "client_secret": "secret", "auth": password_auth()});
    server.post(&path, alice.access_token(), unread.clone()).await.refused(400, "M_THREEPID_AUTH_FAILED");
    assert_eq!(follow(&server, &mailer, 1).await, 200);
    assert_eq!(mailer.outbox().len(), 1);
    let challenge =
        server.post(&path, alice.access_token(), json!({"sid": sid, "client_secret": "secret"})).await;
    assert_eq!(
        (challenge.status, &challenge.body["flows"][0]["stages"][0]),
        (401, &json!("m.login.password"))
    );
    alice.post(&path, unread).await.unwrap();
    let listed = alice.get(&format!("{V3}/account/3pid")).await.unwrap();
    let threepid = &listed["threepids"][0];
    assert_eq!((&threepid["medium"], &threepid["address"]), (&json!("email"), &json!(ADDRESS)));
    assert!(threepid["added_at"].as_u64() >= threepid["validated_at"].as_u64());

    let body = json!({"client_secret": "other", "email": ADDRESS, "send_attempt": 1});
    for what in ["account/3pid", "register"] {
        let again = server.post(&format!("{V3}/{what}/email/requestToken"), "", body.clone()).await;
        again.refused(400, "M_THREEPID_IN_USE");
    }
    let delete = json!({"medium": "email", "address": "ALICE@mail.test"});
    let deleted = alice.post(&format!("{V3}/account/3pid/delete"), delete).await.unwrap();
    assert_eq!(deleted, json!({"id_server_unbind_result": "no-support"}));
    assert_eq!(alice.get(&format!("{V3}/account/3pid")).await.unwrap(), json!({"threepids": []}));
}

#[tokio::test]
async fn an_address_names_its_user_at_login_and_lets_in_who_forgot_the_password() {
    let (server, mailer) = with_mail().await;
    let alice = server.hs.user("alice").await.unwrap();
    let login = |address: &str, password: &str| {
        let body = json!({"type": "m.login.password", "password": password,
            "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": address}});
        let (server, path) = (&server, format!("{V3}/login"));
        async move { server.post(&path, "", body).await }
    };
    login(ADDRESS, PASSWORD).await.refused(403, "M_FORBIDDEN");
    add(&server, &mailer, &alice).await;
    assert_eq!(login("Alice@mail.test", PASSWORD).await.ok()["user_id"], "@alice:hs.test");

    let path = format!("{V3}/account/password");
    let challenge = server.post(&path, "", json!({"new_password": "fresh"})).await;
    assert_eq!(challenge.body["flows"], json!([{"stages": ["m.login.email.identity"]}]));
    let sid = request(&server, "account/password", "forgot").await;
    let auth = json!({"type": "m.login.email.identity", "session": challenge.body["session"],
        "threepid_creds": {"sid": sid, "client_secret": "forgot"}});
    let body = json!({"new_password": "fresh", "auth": auth});
    server.post(&path, "", body.clone()).await.refused(401, "M_UNAUTHORIZED");
    assert_eq!(follow(&server, &mailer, 2).await, 200);
    server.post(&path, "", body.clone()).await.ok();
    let mut again = body;
    again["auth"]["session"] =
        server.post(&path, "", json!({"new_password": "x"})).await.body["session"].clone();
    server.post(&path, "", again).await.refused(401, "M_UNAUTHORIZED");
    login(ADDRESS, PASSWORD).await.refused(403, "M_FORBIDDEN");
    login(ADDRESS, "fresh").await.ok();
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, alice.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_by_name() {
    let (server, mailer) = with_mail().await;
    server.hs.user("alice").await.unwrap();
    let good = json!({"client_secret": "secret", "email": ADDRESS, "send_attempt": 1});
    let path = format!("{V3}/account/3pid/email/requestToken");
    for (member, value, errcode) in [
        ("email", json!("nonsense"), "M_INVALID_PARAM"),
        ("email", json!(null), "M_MISSING_PARAM"),
        ("client_secret", json!("no spaces"), "M_INVALID_PARAM"),
        ("send_attempt", json!(null), "M_MISSING_PARAM"),
        ("next_link", json!("javascript:alert(1)"), "M_INVALID_PARAM"),
    ] {
        let mut body = good.clone();
        body[member] = value;
        server.post(&path, "", body).await.refused(400, errcode);
    }
    let unknown = server.post(&format!("{V3}/account/password/email/requestToken"), "", good.clone()).await;
    unknown.refused(400, "M_THREEPID_NOT_FOUND");
    assert_eq!(mailer.outbox().len(), 0);
    let phone = server.post(&format!("{V3}/account/3pid/msisdn/requestToken"), "", json!({})).await;
    phone.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    let wrong = "/_matrix/client/unstable/add_threepid/email/submit_token?sid=x&client_secret=y&token=z";
    server.get(wrong, "").await.refused(400, "M_THREEPID_AUTH_FAILED");
    let silent = Server::start().await;
    silent.post(&path, "", good).await.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
}

#[tokio::test]
async fn an_address_leads_to_its_user_at_an_identity_server_until_it_is_unbound() {
    let answer = |request: Request| -> BoxFuture<'static, (StatusCode, Value)> {
        let answer = if request.path.ends_with("/3pid/bind") {
            json!({"medium": "email", "address": ADDRESS, "mxid": request.body["mxid"]})
        } else {
            json!({})
        };
        Box::pin(async move { (StatusCode::OK, answer) })
    };
    let identity = FakeAppservice::scripted(answer).await;
    let url = identity.url.clone();
    let server = Server::with(move |builder| builder.identity_server("is.test", url)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let bind =
        json!({"client_secret": "s", "sid": "1", "id_server": "is.test", "id_access_token": "is_token"});
    alice.post(&format!("{V3}/account/3pid/bind"), bind).await.unwrap();
    let bound = identity.next(|request| request.path == "/_matrix/identity/v2/3pid/bind").await;
    assert_eq!(bound.body, json!({"sid": "1", "client_secret": "s", "mxid": "@alice:hs.test"}));
    let body = json!({"medium": "email", "address": ADDRESS});
    let unbound = alice.post(&format!("{V3}/account/3pid/unbind"), body.clone()).await.unwrap();
    assert_eq!(unbound, json!({"id_server_unbind_result": "success"}));
    let asked = identity.next(|request| request.path == "/_matrix/identity/v2/3pid/unbind").await;
    assert!(asked.bearer.unwrap().starts_with("X-Matrix origin=\"hs.test\""));
    let again = alice.post(&format!("{V3}/account/3pid/unbind"), body).await.unwrap();
    assert_eq!(again, json!({"id_server_unbind_result": "no-support"}));
    let elsewhere =
        json!({"client_secret": "s", "sid": "1", "id_server": "evil.test", "id_access_token": "x"});
    let refused = alice.post(&format!("{V3}/account/3pid/bind"), elsewhere).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_SERVER_NOT_TRUSTED"));
}
