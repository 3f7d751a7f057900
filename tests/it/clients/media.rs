//! Files of a test user.

use matrix_homeserver::testing::TestUser;
use serde_json::Value;
use tests::http;

/// Uploads bytes; their `mxc:` URI.
pub(super) async fn upload(user: &TestUser, name: &str, content_type: &str, bytes: &[u8]) -> String {
    let answer: Value = http::client()
        .post(format!("{}/_matrix/media/v3/upload", user.homeserver_url()))
        .query(&[("filename", name)])
        .header("Content-Type", content_type)
        .bearer_auth(user.access_token())
        .body(bytes.to_owned())
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["content_uri"].as_str().unwrap().to_owned()
}

/// The bytes that an `mxc:` URI names.
pub(super) async fn download(user: &TestUser, uri: &str) -> Vec<u8> {
    let media = uri.strip_prefix("mxc://").unwrap();
    let url = format!("{}/_matrix/client/v1/media/download/{media}", user.homeserver_url());
    let answer = http::client().get(url).bearer_auth(user.access_token()).send().await.unwrap();
    answer.error_for_status().unwrap().bytes().await.unwrap().to_vec()
}
