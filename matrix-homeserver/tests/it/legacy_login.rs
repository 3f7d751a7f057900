//! The client-server API of 2014: registration and login in stages.

use std::time::Duration;

use matrix_homeserver::{
    Homeserver, LoginFlow, StartError,
    mail::{Mail, MailError, Mailer, MemoryMailer},
    oauth2::MemoryOAuth2,
};
use serde_json::{Value, json};

use crate::{
    fake_appservice::{AS_TOKEN, registration},
    legacy::V1,
    support::{Answer, Server},
};

const ALICE: &str = "alice@example.org";
const PATIENCE: Duration = Duration::from_secs(20);

fn flows(flows: &[&str]) -> Vec<LoginFlow> {
    flows.iter().map(|flow| flow.parse().unwrap()).collect()
}

/// A server with these flows, a mailer and a provider.
async fn server(login: &[&str]) -> (Server, MemoryMailer, MemoryOAuth2) {
    let (mailer, provider) = (MemoryMailer::default(), MemoryOAuth2::new("idp"));
    let (given, known) = (mailer.clone(), provider.clone());
    let flows = flows(login);
    let server = Server::with(move |builder| {
        builder.login_flows(flows.clone()).registration_flows(flows).mailer(given).oauth2_provider(known)
    })
    .await;
    (server, mailer, provider)
}

async fn login(server: &Server, body: Value) -> Answer {
    server.post(&format!("{V1}/login"), "", body).await
}

async fn register(server: &Server, body: Value) -> Answer {
    server.post(&format!("{V1}/register"), "", body).await
}

async fn whoami(server: &Server, credentials: &Value) -> Value {
    let token = credentials["access_token"].as_str().expect("an access token");
    let whoami = server.get("/_matrix/client/v3/account/whoami", token).await.ok();
    assert_eq!(credentials["user_id"], whoami["user_id"]);
    whoami["user_id"].clone()
}

fn code_in(mail: &Mail) -> String {
    let code = mail.body.split(|letter: char| !letter.is_ascii_digit()).find(|word| word.len() == 6);
    code.expect("a code").to_owned()
}

fn link_in(mail: &Mail) -> String {
    let link = mail.body.lines().find(|line| line.starts_with("http")).expect("a link");
    link[link.find("/_matrix").unwrap()..].to_owned()
}

/// The path of a URL of the server.
fn path_of(server: &Server, url: &str) -> String {
    url.strip_prefix(server.hs.url()).expect("a URL of this server").to_owned()
}

#[tokio::test]
async fn flows_name_their_stages_where_there_are_several() {
    let (server, ..) = server(&["m.login.password+m.login.email.code", "m.login.oauth2"]).await;
    for path in ["login", "register"] {
        let flows = server.get(&format!("{V1}/{path}"), "").await.ok();
        let expected = json!([
            {"type": "m.login.password", "stages": ["m.login.password", "m.login.email.code"]},
            {"type": "m.login.oauth2"},
            {"type": "m.login.application_service"},
        ]);
        assert_eq!(flows["flows"].as_array().unwrap()[..3], expected.as_array().unwrap()[..]);
    }
}

#[tokio::test]
async fn a_password_is_a_login_of_one_request() {
    let server = Server::start().await;
    server.hs.user("alice").await.unwrap();
    let body =
        |user: &str, password: &str| json!({"type": "m.login.password", "user": user, "password": password});
    for user in ["alice", "@alice:hs.test", "Alice"] {
        let credentials = login(&server, body(user, matrix_homeserver::testing::PASSWORD)).await.ok();
        assert_eq!(whoami(&server, &credentials).await, "@alice:hs.test");
        assert_eq!(credentials["home_server"], "hs.test");
        assert!(credentials["device_id"].is_string() && credentials.get("session").is_none());
    }
    login(&server, body("alice", "wrong")).await.refused(403, "M_FORBIDDEN");
    login(&server, body("nobody", "wrong")).await.refused(403, "M_FORBIDDEN");
    login(&server, json!({"type": "m.login.password", "user": "alice"}))
        .await
        .refused(400, "M_MISSING_PARAM");
    login(&server, json!({"type": "m.login.email.code"})).await.refused(400, "M_UNKNOWN");
    login(&server, json!({"type": "m.login.magic"})).await.refused(400, "M_UNKNOWN");
    login(&server, json!({"user": "alice"})).await.refused(400, "M_MISSING_PARAM");
    login(&server, json!({"type": 5})).await.refused(400, "M_BAD_JSON");
    login(&server, json!({"type": "m.login.password", "session": "x"})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn registration_is_like_login() {
    let server = Server::start().await;
    let body = json!({"type": "m.login.password", "user": "carl", "password": "secret"});
    let credentials = register(&server, body.clone()).await.ok();
    assert_eq!(whoami(&server, &credentials).await, "@carl:hs.test");
    register(&server, body.clone()).await.refused(400, "M_USER_IN_USE");
    whoami(&server, &login(&server, body).await.ok()).await;
    let anybody = register(&server, json!({"type": "m.login.password", "password": "secret"})).await.ok();
    whoami(&server, &anybody).await;
    let bad = json!({"type": "m.login.password", "user": "a b", "password": "secret"});
    register(&server, bad).await.refused(400, "M_INVALID_USERNAME");
    let weak = json!({"type": "m.login.password", "user": "dora", "password": ""});
    register(&server, weak).await.refused(400, "M_WEAK_PASSWORD");
    let closed = Server::with(|builder| builder.open_registration(false)).await;
    let body = json!({"type": "m.login.password", "user": "carl", "password": "secret"});
    register(&closed, body).await.refused(403, "M_FORBIDDEN");
    let flows = closed.get(&format!("{V1}/register"), "").await.ok();
    assert_eq!(flows, json!({"flows": [{"type": "m.login.application_service"}]}));
}

#[tokio::test]
async fn a_code_in_a_mail_ends_a_login_of_two_factors() {
    let (server, mailer, _) = server(&["m.login.password+m.login.email.code"]).await;
    let first = register(&server, json!({"type": "m.login.password", "user": "alice", "password": "secret"}))
        .await
        .ok();
    assert_eq!(first["next"], "m.login.email.code");
    // Nobody is registered before the last stage.
    login(&server, json!({"type": "m.login.password", "user": "alice", "password": "secret"}))
        .await
        .refused(403, "M_FORBIDDEN");
    let session = first["session"].as_str().unwrap();
    let asked = json!({"type": "m.login.email.code", "session": session, "email": "Alice@Example.org"});
    let sent = register(&server, asked).await.ok();
    assert_eq!(sent, json!({"type": "m.login.email.code", "session": session}));
    let code = code_in(&mailer.wait_for(ALICE, 1, PATIENCE).await.unwrap());
    let body = json!({"type": "m.login.email.code", "session": session, "code": code});
    // A session is good for what it was begun for.
    login(&server, body.clone()).await.refused(403, "M_FORBIDDEN");
    whoami(&server, &register(&server, body.clone()).await.ok()).await;
    register(&server, body).await.refused(403, "M_FORBIDDEN");

    // Now log in by both factors.
    let first =
        login(&server, json!({"type": "m.login.password", "user": "alice", "password": "secret"})).await.ok();
    assert_eq!(first["next"], "m.login.email.code");
    let session = &first["session"];
    let body =
        json!({"type": "m.login.email.code", "session": session, "user": "@bob:hs.test", "email": ALICE});
    login(&server, body).await.refused(403, "M_FORBIDDEN");
    let body = json!({"type": "m.login.password", "session": session, "user": "alice", "password": "secret"});
    login(&server, body).await.refused(400, "M_UNKNOWN");
    login(&server, json!({"type": "m.login.email.code", "session": session, "email": ALICE})).await.ok();
    let code = code_in(&mailer.wait_for(ALICE, 2, PATIENCE).await.unwrap());
    let body = json!({"type": "m.login.email.code", "session": session, "code": code});
    assert_eq!(whoami(&server, &login(&server, body).await.ok()).await, "@alice:hs.test");
}

#[tokio::test]
async fn codes_go_only_to_the_users_own_address_and_cannot_be_guessed() {
    let (server, mailer, _) = server(&["m.login.email.code"]).await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.link_email(alice.user_id(), ALICE).await.unwrap();
    let ask = |email: &str| json!({"type": "m.login.email.code", "user": "alice", "email": email});
    // Whether an address is somebody's is not told.
    let foreign = login(&server, ask("mallory@example.org")).await.ok();
    let own = login(&server, ask(ALICE)).await.ok();
    assert_eq!(foreign["type"], own["type"]);
    assert_eq!(mailer.outbox().iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), [ALICE]);
    let code = code_in(&mailer.outbox()[0]);
    let answer =
        |session: &Value, code: &str| json!({"type": "m.login.email.code", "session": session, "code": code});
    login(&server, answer(&foreign["session"], &code)).await.refused(403, "M_FORBIDDEN");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        login(&server, answer(&own["session"], wrong)).await.refused(403, "M_FORBIDDEN");
    }
    login(&server, answer(&own["session"], &code)).await.refused(403, "M_FORBIDDEN");
    for email in ["", "alice", "a@b@c", "alice@example.org\r\nBcc: x@y.z", "<alice@example.org>"] {
        login(&server, ask(email)).await.refused(400, "M_INVALID_PARAM");
    }
    login(&server, json!({"type": "m.login.email.code", "user": "alice"}))
        .await
        .refused(400, "M_MISSING_PARAM");
    let no_session = json!({"type": "m.login.email.code", "code": "123456"});
    login(&server, no_session).await.refused(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn a_link_in_a_mail_is_polled_for_until_it_is_followed() {
    let (server, mailer, _) = server(&["m.login.email.url"]).await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.link_email(alice.user_id(), ALICE).await.unwrap();
    let body = json!({"type": "m.login.email.url", "user": "alice", "email": ALICE});
    let begun = login(&server, body).await.ok();
    assert_eq!(begun["type"], "m.login.email.url");
    let poll = json!({"type": "m.login.email.url", "session": begun["session"]});
    login(&server, poll.clone()).await.refused(401, "M_LOGIN_EMAIL_URL_NOT_YET");
    let link = link_in(&mailer.outbox()[0]);
    assert_eq!(server.get(&format!("{link}x"), "").await.status, 404);
    login(&server, poll.clone()).await.refused(401, "M_LOGIN_EMAIL_URL_NOT_YET");
    assert_eq!(server.get(&link, "").await.status, 200);
    assert_eq!(whoami(&server, &login(&server, poll.clone()).await.ok()).await, "@alice:hs.test");
    login(&server, poll).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_provider_vouches_for_the_one_who_registered_with_it() {
    let (server, _, provider) = server(&["m.login.oauth2"]).await;
    let body = json!({"type": "m.login.oauth2", "user": "alice"});
    let begun = register(&server, body.clone()).await.ok();
    let back = provider.allow(begun["uri"].as_str().unwrap(), "alice-at-idp");
    let back = path_of(&server, &back);
    let credentials = server.get(&back, "").await.ok();
    assert_eq!(whoami(&server, &credentials).await, "@alice:hs.test");
    // Neither state nor code is good twice.
    server.get(&back, "").await.refused(403, "M_FORBIDDEN");
    let uri = |begun: &Value| begun["uri"].as_str().unwrap().to_owned();
    let begun = login(&server, body.clone()).await.ok();
    let back = path_of(&server, &provider.allow(&uri(&begun), "alice-at-idp"));
    assert_eq!(whoami(&server, &server.get(&back, "").await.ok()).await, "@alice:hs.test");
    // Nor is anybody else let in.
    let begun = login(&server, body.clone()).await.ok();
    let back = path_of(&server, &provider.allow(&uri(&begun), "mallory-at-idp"));
    server.get(&back, "").await.refused(403, "M_FORBIDDEN");
    let begun = login(&server, body.clone()).await.ok();
    server.get(&path_of(&server, &provider.deny(&uri(&begun))), "").await.refused(403, "M_FORBIDDEN");
    let made_up = "/_matrix/client/api/v1/login/oauth2/redirect/idp?state=x&code=y";
    server.get(made_up, "").await.refused(403, "M_FORBIDDEN");
    server.get(&made_up.replace("idp", "other"), "").await.refused(403, "M_FORBIDDEN");
    server.get("/_matrix/client/api/v1/login/oauth2/redirect/idp", "").await.refused(400, "M_MISSING_PARAM");
    // One account there is one account here.
    let begun = register(&server, json!({"type": "m.login.oauth2", "user": "bob"})).await.ok();
    let back = path_of(&server, &provider.allow(&uri(&begun), "alice-at-idp"));
    server.get(&back, "").await.refused(400, "M_USER_IN_USE");
    // Who it is can be left to the provider.
    let begun = login(&server, json!({"type": "m.login.oauth2"})).await.ok();
    let back = path_of(&server, &provider.allow(&uri(&begun), "alice-at-idp"));
    assert_eq!(whoami(&server, &server.get(&back, "").await.ok()).await, "@alice:hs.test");
}

#[tokio::test]
async fn several_providers_are_chosen_from_on_a_page() {
    let (one, two) = (MemoryOAuth2::new("one"), MemoryOAuth2::new("two"));
    let known = two.clone();
    let server = Server::with(move |builder| {
        builder.login_flows(flows(&["m.login.oauth2"])).oauth2_provider(one).oauth2_provider(known)
    })
    .await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.link_oauth2(alice.user_id(), "two", "a").await.unwrap();
    let begun = login(&server, json!({"type": "m.login.oauth2", "user": "alice"})).await.ok();
    let selection = begun["uri"].as_str().unwrap();
    let page = reqwest_text(selection).await;
    let uris: Vec<String> = page
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
        .collect();
    assert_eq!(uris.len(), 2, "{page}");
    let back = path_of(&server, &two.allow(&uris[1], "a"));
    assert_eq!(whoami(&server, &server.get(&back, "").await.ok()).await, "@alice:hs.test");
    assert!(reqwest_text(&format!("{selection}x")).await.contains("M_NOT_FOUND"));
}

async fn reqwest_text(url: &str) -> String {
    matrix_homeserver::testing::http_client(url).get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn todays_paths_let_nobody_in_by_less_than_the_flows_demand() {
    let (server, ..) = server(&["m.login.password+m.login.email.code"]).await;
    server.hs.user("alice").await.unwrap();
    let password = matrix_homeserver::testing::PASSWORD;
    let body = json!({"type": "m.login.password", "user": "alice", "password": password});
    let answer = server.post("/_matrix/client/v3/login", "", body).await;
    assert_eq!((answer.status, answer.body.get("access_token")), (400, None));
    let flows = server.get("/_matrix/client/v3/login", "").await.ok();
    assert!(!flows["flows"].as_array().unwrap().contains(&json!({"type": "m.login.password"})), "{flows}");
    let body = json!({"username": "bob", "password": "secret", "auth": {"type": "m.login.dummy"}});
    server.post("/_matrix/client/v3/register", "", body).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn flows_that_nobody_can_pass_do_not_start() {
    let build = || Homeserver::builder("hs.test");
    for flow in ["m.login.email.code", "m.login.password+m.login.oauth2"] {
        let refused = build().login_flows(flows(&[flow])).start().await.unwrap_err();
        assert!(matches!(refused, StartError::LoginStage(_)), "{refused}");
    }
    for url in ["matrix.example.org", "ftp://example.org", "https://example.org?x"] {
        let refused = build().public_url(url).start().await.unwrap_err();
        assert!(matches!(refused, StartError::PublicUrl(_)), "{refused}");
    }
}

#[derive(Debug)]
struct Broken;

#[async_trait::async_trait]
impl Mailer for Broken {
    async fn send(&self, _: Mail) -> Result<(), MailError> {
        Err(MailError::new("no relay"))
    }
}

#[tokio::test]
async fn mail_that_cannot_be_sent_is_a_reason_to_come_back_later() {
    let flows = flows(&["m.login.email.code"]);
    let server = Server::with(|builder| builder.registration_flows(flows).mailer(Broken)).await;
    let body = json!({"type": "m.login.email.code", "user": "alice", "email": ALICE});
    register(&server, body).await.refused(503, "M_UNKNOWN");
}

#[tokio::test]
async fn links_lead_to_where_people_reach_the_server() {
    let mailer = MemoryMailer::default();
    let (given, flows) = (mailer.clone(), flows(&["m.login.email.url"]));
    let server = Server::with(move |builder| {
        builder.registration_flows(flows).mailer(given).public_url("https://matrix.example.org/")
    })
    .await;
    let body = json!({"type": "m.login.email.url", "user": "alice", "email": ALICE});
    register(&server, body).await.ok();
    let body = &mailer.outbox()[0].body;
    assert!(body.contains("\nhttps://matrix.example.org/_matrix/client/api/v1/login/email/"), "{body}");
}

#[tokio::test]
async fn the_fallback_page_is_one_document() {
    let server = Server::start().await;
    for path in [&*format!("{V1}/login/fallback"), "/_matrix/static/client/login/"] {
        let url = format!("{}{path}", server.hs.url());
        let response = matrix_homeserver::testing::http_client(&url).get(&url).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert!(response.text().await.unwrap().starts_with("<!doctype html>"));
    }
}

#[tokio::test]
async fn another_client_of_the_user_logs_in_by_a_token() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let auth = json!({"type": "m.login.password", "password": matrix_homeserver::testing::PASSWORD,
        "identifier": {"type": "m.id.user", "user": "alice"}});
    let path = "/_matrix/client/v1/login/get_token";
    let token = server.post(path, alice.access_token(), json!({"auth": auth})).await.ok();
    let body = json!({"type": "m.login.token", "token": token["login_token"]});
    assert_eq!(whoami(&server, &login(&server, body.clone()).await.ok()).await, "@alice:hs.test");
    login(&server, body).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn application_services_make_and_log_in_their_users_without_a_password() {
    let server =
        Server::with(|builder| builder.registration(registration(None)).open_registration(false)).await;
    let body = json!({"type": "m.login.application_service", "user": "ghost_1"});
    let credentials = server.post(&format!("{V1}/register"), AS_TOKEN, body.clone()).await.ok();
    assert_eq!(whoami(&server, &credentials).await, "@ghost_1:hs.test");
    server.post(&format!("{V1}/register"), AS_TOKEN, body.clone()).await.refused(400, "M_USER_IN_USE");
    let credentials = server.post(&format!("{V1}/login"), AS_TOKEN, body.clone()).await.ok();
    assert_eq!(whoami(&server, &credentials).await, "@ghost_1:hs.test");
    server.post(&format!("{V1}/login"), "", body.clone()).await.refused(401, "M_MISSING_TOKEN");
    server.post(&format!("{V1}/register"), "other", body).await.refused(401, "M_UNKNOWN_TOKEN");
    let foreign = json!({"type": "m.login.application_service", "user": "alice"});
    server.post(&format!("{V1}/register"), AS_TOKEN, foreign).await.refused(400, "M_EXCLUSIVE");
}
