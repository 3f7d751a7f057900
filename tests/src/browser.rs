//! A headless Chromium, driven by the [WebDriver protocol](https://www.w3.org/TR/webdriver2/) of Debian's
//! `chromium-driver`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deadline::{PATIENCE, observe};
use crate::http;
use crate::peers;
use crate::process::{Process, free_port};
use crate::servers::listening;

/// The key under which the protocol hides the ID of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window, which is closed on drop.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    /// Below the driver's address.
    session: String,
    client: reqwest::Client,
    // The profile goes last.
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with a fresh profile; `None`, and the test counts as skipped, where Chromium or its driver is not
    /// installed.
    pub async fn start() -> Option<Self> {
        let (Some(chromium), Some(driver)) = (peers::find("chromium"), peers::find("chromedriver")) else {
            peers::skipped("Chromium");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}"));
        let mut process = Process::start("chromedriver", &profile.path().join("driver.log"), command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        listening(&mut process, address).await;
        let client = http::client();
        let user_data = profile.path().join("profile");
        let options = json!({
            "binary": chromium,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", format!("--user-data-dir={}", user_data.display()),
            ],
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let url = format!("http://{address}/session");
        let begun = command_at(&client, Method::POST, &url, Some(&wanted)).await;
        let id =
            begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}\n{}", process.tail()));
        let session = format!("/session/{id}");
        Some(Self { address, session, client, _driver: process, _profile: profile })
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://{}{}{path}", self.address, self.session);
        command_at(&self.client, method, &url, body.as_ref()).await
    }

    /// Goes to a page and waits until it is loaded.
    pub async fn go(&self, url: &str) {
        self.command(Method::POST, "/url", Some(json!({"url": url}))).await;
    }

    /// Where the browser is.
    pub async fn url(&self) -> String {
        self.command(Method::GET, "/url", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.command(Method::POST, "/execute/sync", Some(json!({"script": script, "args": []}))).await
    }

    /// What the page has written to its console: errors, refusals of its policy.
    pub async fn console(&self) -> Value {
        self.command(Method::POST, "/se/log", Some(json!({"type": "browser"}))).await
    }

    async fn find(&self, selector: &str) -> Option<String> {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.command(Method::POST, "/elements", Some(body)).await;
        let element = found[0][ELEMENT].as_str()?.to_owned();
        let shown = self.command(Method::GET, &format!("/element/{element}/displayed"), None).await;
        (shown == true).then_some(element)
    }

    async fn element(&self, selector: &str) -> String {
        observe(&format!("{selector} is shown"), || self.find(selector)).await
    }

    /// Types into a field, when it is shown.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command(Method::POST, &format!("/element/{element}/clear"), Some(json!({}))).await;
        self.command(Method::POST, &format!("/element/{element}/value"), Some(json!({"text": text}))).await;
    }

    /// Clicks on something, when it is shown.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(Method::POST, &format!("/element/{element}/click"), Some(json!({}))).await;
    }

    /// The text of something, when it is shown.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        let text = self.command(Method::GET, &format!("/element/{element}/text"), None).await;
        text.as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    /// Closes the browser, which would outlive its driver. No task runs here, so by hand.
    fn drop(&mut self) {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let request =
            format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.session);
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 1024]);
    }
}

/// What a command of the protocol gives. An error is a value, too, with `error` in it: an element may be gone by the time
/// that it is asked for.
async fn command_at(client: &reqwest::Client, method: Method, url: &str, body: Option<&Value>) -> Value {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("the driver answers");
    let mut answer: Value = answer.json().await.expect("the driver answers with JSON");
    answer["value"].take()
}
