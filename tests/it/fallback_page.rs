//! The login page of the homeserver in a real browser: whoever fills it in is logged in, by every flow.

use std::sync::Arc;

use axum::extract::Query;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use matrix_homeserver::mail::{Mail, MemoryMailer};
use matrix_homeserver::oauth2::AuthorizationCode;
use matrix_homeserver::testing::{PASSWORD, TestUser};
use matrix_homeserver::{Homeserver, HomeserverBuilder, LoginFlow};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::deadline::{PATIENCE, observe};
use tests::{http, require};
use tokio::net::TcpListener;

const ADDRESS: &str = "alice@example.org";
const PAGE: &str = "/_matrix/client/api/v1/login/fallback";

/// A homeserver with these flows, where alice has an address.
async fn start(
    flows: &[&str],
    adjust: impl FnOnce(HomeserverBuilder) -> HomeserverBuilder,
) -> (Homeserver, MemoryMailer) {
    let mailer = MemoryMailer::default();
    let flows: Vec<LoginFlow> = flows.iter().map(|flow| flow.parse().unwrap()).collect();
    let builder = Homeserver::builder(tests::SERVER_NAME).login_flows(flows).mailer(mailer.clone());
    let homeserver = adjust(builder).start().await.unwrap();
    let alice = homeserver.user("alice").await.unwrap();
    homeserver.link_email(alice.user_id(), ADDRESS).await.unwrap();
    (homeserver, mailer)
}

/// Opens the page as a client does that wants to hear of the login.
async fn open(browser: &Browser, homeserver: &Homeserver, query: &str) {
    browser.go(&format!("{}{PAGE}{query}", homeserver.url())).await;
    browser.run("window.onLogin = function (answer) { window.answer = answer; };").await;
}

/// What the client has heard.
async fn answer(browser: &Browser) -> Value {
    observe("the page has called back", || async {
        Some(browser.run("return window.answer || null;").await).filter(Value::is_object)
    })
    .await
}

async fn is_alice(homeserver: &Homeserver, answer: &Value) {
    assert_eq!(answer["user_id"], "@alice:hs.test");
    let token = answer["access_token"].as_str().expect("an access token");
    let user_id = ruma::UserId::parse("@alice:hs.test").unwrap();
    let alice = TestUser::from_token(homeserver.url(), user_id, token);
    let whoami = alice.get("/_matrix/client/v3/account/whoami").await.unwrap();
    assert_eq!((&whoami["user_id"], &whoami["device_id"]), (&answer["user_id"], &answer["device_id"]));
}

/// Nothing that the page wanted was refused by its own policy, and no script failed. Refused passwords are noted by the
/// browser, too, and may be there.
async fn no_complaints(browser: &Browser) {
    let console = browser.console().await;
    for entry in console.as_array().expect("a list of entries") {
        let message = entry["message"].as_str().unwrap_or_default();
        let serious = entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        assert!(!serious || message.contains("Failed to load resource"), "{console}");
    }
}

async fn mail(mailer: &MemoryMailer) -> Mail {
    mailer.wait_for(ADDRESS, 1, PATIENCE).await.expect("a mail")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_until_it_is_right() {
    let browser = require!(Browser::start().await);
    let (homeserver, _) = start(&["m.login.password"], |builder| builder).await;
    open(&browser, &homeserver, "?device_id=VIEW&initial_device_display_name=A%20view").await;
    browser.type_into("#user", "alice").await;
    browser.type_into("#password", "wrong").await;
    browser.click("#form button").await;
    assert!(!browser.text("#error").await.is_empty());
    browser.type_into("#user", "alice").await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("#form button").await;
    let answer = answer(&browser).await;
    is_alice(&homeserver, &answer).await;
    assert_eq!(answer["device_id"], "VIEW");
    assert!(browser.text("#status").await.contains("@alice:hs.test"));
    no_complaints(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_flows_is_chosen_and_leads_through_both_its_factors() {
    let browser = require!(Browser::start().await);
    let flows = ["m.login.email.url", "m.login.password+m.login.email.code"];
    let (homeserver, mailer) = start(&flows, |builder| builder).await;
    open(&browser, &homeserver, "").await;
    browser.click("button[data-flow='m.login.password m.login.email.code']").await;
    browser.type_into("#user", "@alice:hs.test").await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("#form button").await;
    browser.type_into("#email", ADDRESS).await;
    browser.click("#form button").await;
    let body = mail(&mailer).await.body;
    let code = body.split(|letter: char| !letter.is_ascii_digit()).find(|word| word.len() == 6).unwrap();
    browser.type_into("#code", "nonsense").await;
    browser.click("#form button").await;
    browser.text("#error").await;
    browser.type_into("#code", code).await;
    browser.click("#form button").await;
    is_alice(&homeserver, &answer(&browser).await).await;
    no_complaints(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_waits_until_the_link_in_the_mail_is_followed() {
    let browser = require!(Browser::start().await);
    let (homeserver, mailer) = start(&["m.login.email.url"], |builder| builder).await;
    open(&browser, &homeserver, "").await;
    browser.type_into("#user", "alice").await;
    browser.type_into("#email", ADDRESS).await;
    browser.click("#form button").await;
    let body = mail(&mailer).await.body;
    assert!(browser.text("#status").await.contains(ADDRESS));
    assert_eq!(browser.run("return window.answer || null;").await, Value::Null);
    let link = body.lines().find(|line| line.starts_with("http")).unwrap();
    let followed = http::client().get(link).send().await.unwrap();
    assert_eq!(followed.status(), 200);
    is_alice(&homeserver, &answer(&browser).await).await;
    no_complaints(&browser).await;
}

/// What a provider is asked for.
#[derive(Deserialize)]
struct Asked {
    redirect_uri: String,
    state: String,
}

/// The page of a provider, where people allow others to know them.
async fn consent(Query(asked): Query<Asked>) -> Html<String> {
    let mut back = Url::parse(&asked.redirect_uri).unwrap();
    back.query_pairs_mut().append_pair("code", "good").append_pair("state", &asked.state);
    Html(format!("<a id=\"allow\" href=\"{}\">Allow</a>", back.as_str().replace('&', "&amp;")))
}

async fn provider() -> AuthorizationCode {
    let routes = Router::new()
        .route("/authorize", get(consent))
        .route("/token", post(|| async { Json(json!({"access_token": "t"})) }))
        .route("/me", get(|| async { Json(json!({"sub": "42"})) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let config = json!({
        "id": "idp", "name": "The Provider", "client_id": "hs", "client_secret": "secret",
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/me"),
    });
    AuthorizationCode::new(serde_json::from_value(config).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_sends_people_back_to_the_page_which_goes_on() {
    let browser = require!(Browser::start().await);
    let provider = Arc::new(provider().await);
    let flows = ["m.login.oauth2+m.login.password"];
    let (homeserver, _) = start(&flows, |builder| builder.oauth2_provider(provider)).await;
    let alice = homeserver.user("alice").await.unwrap();
    homeserver.link_oauth2(alice.user_id(), "idp", "42").await.unwrap();
    open(&browser, &homeserver, "").await;
    browser.type_into("#user", "alice").await;
    browser.click("#form button").await;
    browser.click("#allow").await;
    // Somebody else's browser would not do to come back by.
    let password = "#password";
    observe("the page goes on with the password", || async {
        Some(browser.url().await).filter(|url| url.contains(PAGE))
    })
    .await;
    browser.run("window.onLogin = function (answer) { window.answer = answer; };").await;
    browser.type_into(password, PASSWORD).await;
    browser.click("#form button").await;
    is_alice(&homeserver, &answer(&browser).await).await;
    no_complaints(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_sends_nobody_back_who_was_not_sent() {
    let provider = Arc::new(provider().await);
    let (homeserver, _) = start(&["m.login.oauth2"], |builder| builder.oauth2_provider(provider)).await;
    let alice = homeserver.user("alice").await.unwrap();
    homeserver.link_oauth2(alice.user_id(), "idp", "42").await.unwrap();
    let client = http::client();
    let login = format!("{}/_matrix/client/api/v1/login", homeserver.url());
    let body = json!({"type": "m.login.oauth2", "user": "alice", "by_page": true});
    let begun = client.post(&login).json(&body).send().await.unwrap();
    assert!(begun.headers().contains_key("set-cookie"));
    let begun: Value = begun.json().await.unwrap();
    let uri = Url::parse(begun["uri"].as_str().unwrap()).unwrap();
    let asked = |name: &str| uri.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let mut back = Url::parse(&asked("redirect_uri")).unwrap();
    back.query_pairs_mut().append_pair("code", "good").append_pair("state", &asked("state"));
    assert_eq!(client.get(back).send().await.unwrap().status(), 403);
}
