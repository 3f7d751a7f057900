//! The authorization code grant, against a provider over HTTP.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use matrix_homeserver::oauth2::{
    AuthorizationCode, AuthorizationCodeConfig, OAuth2ConfigError, OAuth2Error, OAuth2Provider,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

const REDIRECT: &str = "https://hs.test/redirect";

/// What the provider was given in exchange for a token.
type Asked = Arc<Mutex<HashMap<String, String>>>;

async fn token(State(asked): State<Asked>, body: String) -> (StatusCode, Json<Value>) {
    let form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    asked.lock().clone_from(&form);
    match form.get("code").map(String::as_str) {
        Some("good") => (StatusCode::OK, Json(json!({"access_token": "t", "token_type": "Bearer"}))),
        Some("down") => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({}))),
        Some("odd") => (StatusCode::OK, Json(json!({"token": "t"}))),
        _ => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))),
    }
}

async fn userinfo(headers: HeaderMap) -> (StatusCode, Json<Value>) {
    assert_eq!(headers["authorization"], "Bearer t");
    (StatusCode::OK, Json(json!({"sub": "42", "name": "Alice"})))
}

async fn provider() -> (AuthorizationCodeConfig, Asked) {
    let asked = Asked::default();
    let routes =
        Router::new().route("/token", post(token)).route("/me", get(userinfo)).with_state(asked.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let config = json!({
        "id": "idp", "name": "The Provider", "client_id": "hs", "client_secret": "s3cret",
        "authorization_endpoint": format!("{url}/authorize?prompt=login"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/me"),
    });
    (serde_json::from_value(config).unwrap(), asked)
}

#[tokio::test]
async fn a_code_is_turned_into_the_person_with_proof_of_who_asked_for_it() {
    let (config, asked) = provider().await;
    let idp = AuthorizationCode::new(config).unwrap();
    let uri = Url::parse(&idp.authorization_uri(REDIRECT, "state")).unwrap();
    let query: HashMap<_, _> = uri.query_pairs().into_owned().collect();
    for (key, value) in [
        ("prompt", "login"),
        ("response_type", "code"),
        ("client_id", "hs"),
        ("scope", "openid"),
        ("redirect_uri", REDIRECT),
        ("state", "state"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query[key], value, "{key}");
    }
    assert_eq!(idp.identify("good", REDIRECT, "state").await.unwrap(), "42");
    let asked = asked.lock().clone();
    assert_eq!((&*asked["client_secret"], &*asked["redirect_uri"]), ("s3cret", REDIRECT));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&asked["code_verifier"]));
    assert_eq!(query["code_challenge"], challenge);
}

#[tokio::test]
async fn a_bad_code_differs_from_a_bad_provider() {
    let (config, _) = provider().await;
    let idp = AuthorizationCode::new(config.clone()).unwrap();
    let identify = |code: &'static str| idp.identify(code, REDIRECT, "state");
    assert!(matches!(identify("bad").await, Err(OAuth2Error::Refused)));
    assert!(matches!(identify("down").await, Err(OAuth2Error::Unavailable(_))));
    assert!(matches!(identify("odd").await, Err(OAuth2Error::Unavailable(_))));
    let nameless = AuthorizationCodeConfig { subject_claim: "id".to_owned(), ..config.clone() };
    let nameless = AuthorizationCode::new(nameless).unwrap();
    assert!(matches!(nameless.identify("good", REDIRECT, "s").await, Err(OAuth2Error::Unavailable(_))));
    assert!(!format!("{idp:?} {:?}", identify("down").await).contains("s3cret"));
    let odd = AuthorizationCodeConfig { id: "a/b".to_owned(), ..config };
    assert!(matches!(AuthorizationCode::new(odd), Err(OAuth2ConfigError::Id(_))));
}
