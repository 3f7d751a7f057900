//! The content repository.

use matrix_homeserver::testing::{TestUser, http_client};
use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::support::Server;

/// One pixel.
const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

struct Uploader {
    http: reqwest::Client,
    user: TestUser,
}

impl Uploader {
    async fn new(server: &Server, localpart: &str) -> Self {
        let user = server.hs.user(localpart).await.unwrap();
        Self { http: http_client(server.hs.url()), user }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: &'static [u8]) -> Response {
        let url = format!("{}{path}", self.user.homeserver_url());
        let request = self.http.request(method, url).bearer_auth(self.user.access_token());
        request.header(header::CONTENT_TYPE, content_type).body(body).send().await.unwrap()
    }

    async fn upload(&self, query: &str, content_type: &str, body: &'static [u8]) -> String {
        let path = format!("/_matrix/media/v3/upload{query}");
        let answer: Value = self.send(Method::POST, &path, content_type, body).await.json().await.unwrap();
        answer["content_uri"].as_str().unwrap().strip_prefix("mxc://").unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.user.homeserver_url());
        self.http.get(url).bearer_auth(self.user.access_token()).send().await.unwrap()
    }
}

fn shown<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn what_was_uploaded_comes_back_under_every_path_with_its_type_and_name() {
    let server = Server::start().await;
    let alice = Uploader::new(&server, "alice").await;
    let mxc = alice.upload("?filename=my%20cat.gif", "image/gif", GIF).await;
    for path in
        ["/_matrix/client/v1/media/download", "/_matrix/media/v3/download", "/_matrix/media/r0/download"]
    {
        let response = alice.get(&format!("{path}/{mxc}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(shown(&response, "content-type"), "image/gif");
        assert_eq!(shown(&response, "content-disposition"), "inline; filename*=utf-8''my%20cat.gif");
        assert_eq!(shown(&response, "cross-origin-resource-policy"), "cross-origin");
        assert!(shown(&response, "content-security-policy").starts_with("sandbox"));
        assert_eq!(response.bytes().await.unwrap(), GIF);
        let renamed = alice.get(&format!("{path}/{mxc}/dog.gif")).await;
        assert_eq!(shown(&renamed, "content-disposition"), "inline; filename=dog.gif");
    }
    let page = alice.upload("", "text/html", b"<script>").await;
    let response = alice.get(&format!("/_matrix/client/v1/media/download/{page}")).await;
    assert_eq!(shown(&response, "content-disposition"), "attachment");
    let config = alice.get("/_matrix/client/v1/media/config").await.json::<Value>().await.unwrap();
    assert_eq!(config, json!({"m.upload.size": 50 << 20}));
}

#[tokio::test]
async fn downloads_of_today_need_a_token_and_those_of_before_do_not() {
    let server = Server::start().await;
    let alice = Uploader::new(&server, "alice").await;
    let mxc = alice.upload("", "image/gif", GIF).await;
    server.get(&format!("/_matrix/client/v1/media/download/{mxc}"), "").await.refused(401, "M_MISSING_TOKEN");
    assert_eq!(server.get(&format!("/_matrix/media/v3/download/{mxc}"), "").await.status, 200);
    let token = alice.user.access_token();
    for (path, status, errcode) in [
        ("/_matrix/client/v1/media/download/hs.test/nothing", 404, "M_NOT_FOUND"),
        ("/_matrix/client/v1/media/download/hs.test/..%2Fconf", 404, "M_NOT_FOUND"),
        ("/_matrix/client/v1/media/download/elsewhere.test/nothing", 404, "M_NOT_FOUND"),
        ("/_matrix/client/v1/media/download/not%20a%20server/nothing", 400, "M_INVALID_PARAM"),
        ("/_matrix/client/v1/media/thumbnail/hs.test/nothing", 400, "M_MISSING_PARAM"),
        ("/_matrix/client/v1/media/thumbnail/hs.test/nothing?width=a&height=1", 400, "M_INVALID_PARAM"),
        ("/_matrix/client/v1/media/thumbnail/hs.test/nothing?width=0&height=1", 400, "M_INVALID_PARAM"),
        ("/_matrix/client/v1/media/preview_url?url=http://localhost", 404, "M_UNRECOGNIZED"),
    ] {
        server.get(path, token).await.refused(status, errcode);
    }
}

#[tokio::test]
async fn a_download_waits_for_content_whose_id_was_given_out_before() {
    let server = Server::start().await;
    let alice = Uploader::new(&server, "alice").await;
    let bob = Uploader::new(&server, "bob").await;
    let made = server.post("/_matrix/media/v1/create", alice.user.access_token(), json!({})).await.ok();
    assert!(made["unused_expires_at"].as_u64().unwrap() > 0);
    let mxc = made["content_uri"].as_str().unwrap().strip_prefix("mxc://").unwrap().to_owned();
    let early = server
        .get(&format!("/_matrix/client/v1/media/download/{mxc}?timeout_ms=1"), bob.user.access_token())
        .await;
    early.refused(504, "M_NOT_YET_UPLOADED");

    let upload = format!("/_matrix/media/v3/upload/{mxc}");
    let path = format!("/_matrix/client/v1/media/download/{mxc}");
    let (downloaded, ()) = tokio::join!(bob.get(&path), async {
        assert_eq!(bob.send(Method::PUT, &upload, "image/gif", GIF).await.status(), 403);
        assert_eq!(alice.send(Method::PUT, &upload, "image/gif", GIF).await.status(), 200);
    });
    assert_eq!(downloaded.bytes().await.unwrap(), GIF);
    let again: Value = alice.send(Method::PUT, &upload, "image/gif", GIF).await.json().await.unwrap();
    assert_eq!(again["errcode"], "M_CANNOT_OVERWRITE_MEDIA");
    let unknown: Value =
        alice.send(Method::PUT, "/_matrix/media/v3/upload/hs.test/x", "a/b", GIF).await.json().await.unwrap();
    assert_eq!(unknown["errcode"], "M_NOT_FOUND");
}

#[tokio::test]
async fn pictures_have_thumbnails_and_other_content_does_not() {
    let server = Server::start().await;
    let alice = Uploader::new(&server, "alice").await;
    let picture = alice.upload("", "image/gif", GIF).await;
    let thumbnail = "/_matrix/client/v1/media/thumbnail";
    let response = alice.get(&format!("{thumbnail}/{picture}?width=64&height=64&method=crop")).await;
    assert_eq!((response.status().as_u16(), shown(&response, "content-type")), (200, "image/png"));
    assert_eq!(shown(&response, "content-disposition"), "inline; filename=thumbnail.png");
    assert!(response.bytes().await.unwrap().starts_with(b"\x89PNG"));
    let text = alice.upload("", "image/png", b"no picture at all").await;
    let token = alice.user.access_token();
    server.get(&format!("{thumbnail}/{text}?width=64&height=64"), token).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_refused_whole() {
    let server = Server::with(|builder| builder.max_upload_size(10)).await;
    let alice = Uploader::new(&server, "alice").await;
    let refused = alice.send(Method::POST, "/_matrix/media/v3/upload", "text/plain", b"eleven byte").await;
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.json::<Value>().await.unwrap()["errcode"], "M_TOO_LARGE");
    let exact = alice.upload("", "text/plain", b"ten bytes!").await;
    let response = alice.get(&format!("/_matrix/media/v3/download/{exact}")).await;
    assert_eq!(response.bytes().await.unwrap(), &b"ten bytes!"[..]);
}

#[tokio::test]
async fn uploads_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::with(|builder| builder.data_dir(directory.path())).await;
    let alice = Uploader::new(&server, "alice").await;
    let mxc = alice.upload("?filename=a.gif", "image/gif", GIF).await;
    server.stop().await;
    let server = Server::with(|builder| builder.data_dir(directory.path())).await;
    let alice = Uploader::new(&server, "alice").await;
    let response = alice.get(&format!("/_matrix/client/v1/media/download/{mxc}")).await;
    assert_eq!(shown(&response, "content-disposition"), "inline; filename=a.gif");
    assert_eq!(response.bytes().await.unwrap(), GIF);
}
