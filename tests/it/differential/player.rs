//! Plays the script on one server, and remembers what that server calls things.

use std::fmt;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use super::compare::normalised;
use super::script::Step;

/// Between two attempts at something that a server does in the background.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The secret with which accounts are made, on both servers.
pub(crate) const SECRET: &str = "s";

/// What came back, with placeholders for what differs from server to server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.to_string();
        write!(f, "{} {}", self.status, body.chars().take(3000).collect::<String>())
    }
}

/// How long something that a server does in the background may take. What is not there by then is a difference.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// A name, and what it stands for.
pub(crate) type Variable = (String, String);

/// One server and what was learned from it.
#[derive(Debug)]
pub(crate) struct Player {
    url: String,
    http: reqwest::Client,
    variables: Vec<Variable>,
}

impl Player {
    pub(crate) fn new(url: &str) -> Self {
        let variables = vec![("as".to_owned(), "T_as".to_owned()), ("?".to_owned(), "T_wrong".to_owned())];
        Self { url: url.to_owned(), http: tests::http::client(), variables }
    }

    /// Plays one step, and learns from the answer.
    pub(crate) async fn play(&mut self, step: &Step) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.ask(step).await;
            let there = step.until.as_ref().is_none_or(|pointer| answer.body.pointer(pointer).is_some());
            if there || began.elapsed() > GIVEN_UP {
                if !there {
                    println!("{} {}: never there, but {answer}", step.place(), self.url);
                }
                return self.learn(step, &answer);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn ask(&self, step: &Step) -> Answer {
        let is_whole = step.path.starts_with("/_") || step.path.starts_with("/.");
        let prefix = if is_whole { "" } else { "/_matrix/client" };
        let url = format!("{}{prefix}{}", self.url, self.fill(&step.path, encode));
        let method = reqwest::Method::from_bytes(step.method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url);
        if step.who != "-" {
            request = request.bearer_auth(self.value(&step.who));
        }
        if let Some(body) = &step.body {
            let kind = step.content_type.as_deref().unwrap_or("application/json");
            request = request.header("content-type", kind).body(self.fill(body, str::to_owned));
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{}: {error}", step.place()));
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let kind = header("content-type").unwrap_or_default();
        let others =
            json!({"content-disposition": header("content-disposition"), "location": header("location")});
        let bytes = response.bytes().await.unwrap();
        let body = if kind.starts_with("application/json") {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({"not JSON": bytes.len()}))
        } else {
            json!({"content-type": kind, "bytes": bytes.len(), "headers": others})
        };
        Answer { status, body }
    }

    fn learn(&mut self, step: &Step, answer: &Answer) -> Answer {
        for (name, pointer) in &step.learns {
            let Some(value) = answer.body.pointer(pointer).and_then(Value::as_str) else {
                println!("{} {}: no {pointer} in {answer}", step.place(), self.url);
                continue;
            };
            self.variables.retain(|(known, _)| known != name);
            self.variables.push((name.clone(), value.to_owned()));
        }
        Answer { status: answer.status, body: normalised(&answer.body, &self.variables) }
    }

    fn value(&self, name: &str) -> &str {
        self.variables.iter().find(|(known, _)| known == name).map_or("T_unlearned", |(_, value)| value)
    }

    /// Puts values in the place of what is in angle brackets.
    fn fill(&self, text: &str, encode: impl Fn(&str) -> String) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            filled.push_str(before);
            let Some((name, behind)) = after.split_once('>') else { break };
            filled.push_str(&self.stands_for(name, &encode));
            rest = behind;
        }
        filled + rest
    }

    /// What a text in angle brackets stands for.
    fn stands_for(&self, text: &str, encode: impl Fn(&str) -> String) -> String {
        if let Some((part, count)) = text.split_once('*')
            && let Ok(count) = count.parse()
        {
            return part.repeat(count);
        }
        if let Some(name) = text.strip_prefix("id of ") {
            return self.value(name).rsplit('/').next().unwrap_or_default().to_owned();
        }
        match *text.split(' ').collect::<Vec<_>>() {
            ["mac", nonce, user, password] => proof(self.value(nonce), user, password),
            _ => encode(self.value(text)),
        }
    }
}

/// What an administrator proves with that he knows the [shared secret].
///
/// [shared secret]: https://element-hq.github.io/synapse/v1.163/admin_api/register_api.html
fn proof(nonce: &str, user: &str, password: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("a key of any length is one");
    mac.update([nonce, user, password, "admin"].join("\0").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn encode(value: &str) -> String {
    matrix_homeserver::testing::encode(value)
}
