//! Every route of the router is given what no client would send: dropping the server checks that nothing panicked and
//! nothing was a 500.
//!
//! The routes are the rows of `docs/spec-coverage.md`, which a unit test compares with the router.

mod bodies;
mod paths;

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use matrix_appservice::Registration;
use matrix_homeserver::testing::TestUser;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fake_appservice::{AS_TOKEN, FakeAppservice},
    support::Server,
};

const DOCUMENT: &str = include_str!("../../../docs/spec-coverage.md");
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];

/// The sequence of nonsense is the same in every run.
const SEED: u64 = 0x6d61_7472_6978;

/// How long anything may take to be refused.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests are under way at a time.
const AT_ONCE: usize = 8;

/// Every path that is served, with the methods that are.
fn routes() -> BTreeMap<String, Vec<Method>> {
    let mut routes: BTreeMap<String, Vec<Method>> = BTreeMap::new();
    for line in DOCUMENT.lines() {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, method, path, _, done, ..] = cells[..] else { continue };
        let method = METHODS.iter().find(|known| known.as_str() == method);
        if let (Some(method), false) = (method, done.starts_with("no")) {
            routes.entry(path.to_owned()).or_default().push(method.clone());
        }
    }
    assert!(routes.len() > 90, "the document has only {} paths", routes.len());
    routes
}

/// A server with everything switched on, and a room to do harm in.
struct World {
    server: Server,
    alice: TestUser,
    room: String,
    event: String,
}

impl World {
    async fn new() -> Self {
        let appservice = FakeAppservice::start().await;
        let registration: Registration = appservice.registration();
        let server = Server::with(|builder| {
            let builder = builder.registration(registration).drafts(true).fault_control(true);
            builder.registration_shared_secret("secret").max_request_size(1 << 18)
        })
        .await;
        let alice = server.hs.user("alice").await.unwrap();
        let options = json!({"preset": "public_chat", "room_alias_name": "here"});
        let room = alice.create_room(options).await.unwrap().to_string();
        let event = alice.send_text(&room, "hello").await.unwrap().to_string();
        Self { server, alice, room, event }
    }

    /// A user who may lose a session or an account on the way.
    async fn victim(&self, number: usize) -> TestUser {
        let user = self.server.hs.user(&format!("victim{number}")).await.unwrap();
        user.join(&self.room).await.unwrap();
        user
    }
}

/// One thing to ask.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    path: String,
    token: Option<String>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Asks it, and says what is wrong with the answer.
    async fn ask(self, server: &Server) -> Option<String> {
        let Self { method, path, token, body } = self;
        let shown: String = body
            .iter()
            .flat_map(|body| String::from_utf8_lossy(body).chars().take(200).collect::<Vec<_>>())
            .collect();
        let answer = server.raw(method.clone(), &path, token.as_deref(), body);
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else {
            return Some(format!("{method} {path} {shown}: no answer"));
        };
        let complaint = match answer.status {
            200..=399 => return None,
            // What an application service did not do, and content that nobody has uploaded.
            502..=504 if answer.errcode().starts_with("M_") => return None,
            500.. => "a fault of the server",
            // What is left of an authentication by stages.
            401 if answer.body["flows"].is_array() => return None,
            _ if answer.errcode().is_empty() || !answer.body["error"].is_string() => "no standard error",
            _ => return None,
        };
        let path: String = path.chars().take(300).collect();
        Some(format!("{method} {path} {shown}: {complaint}: {} {}", answer.status, answer.body))
    }
}

async fn ask_all(server: &Server, requests: Vec<Request>) {
    let answers = stream::iter(requests).map(|request| request.ask(server)).buffer_unordered(AT_ONCE);
    let wrong: Vec<_> = answers.filter_map(async |wrong| wrong).collect().await;
    assert!(
        wrong.is_empty(),
        "{} answers are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_harmed_by_paths_and_queries_that_make_no_sense() {
    let world = World::new().await;
    let mut random = StdRng::seed_from_u64(SEED);
    for (number, (route, _)) in routes().into_iter().enumerate() {
        let victim = world.victim(number).await;
        let tokens = [None, Some(victim.access_token()), Some(AS_TOKEN), Some("nobody's")];
        let mut requests = Vec::new();
        for path in paths::nonsense(&route, &world, &victim, &mut random) {
            for method in METHODS {
                let token = tokens[random.random_range(0..tokens.len())].map(str::to_owned);
                let body = (method != Method::GET).then(|| b"{}".to_vec());
                requests.push(Request { method, path: path.clone(), token, body });
            }
        }
        ask_all(&world.server, requests).await;
    }
    world.alice.send_text(&world.room, "still here").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_harmed_by_bodies_that_make_no_sense() {
    let world = World::new().await;
    let mut random = StdRng::seed_from_u64(SEED);
    for (number, (route, methods)) in routes().into_iter().enumerate() {
        let victim = world.victim(number).await;
        let path = paths::sensible(&route, &world, &victim);
        let mut requests = Vec::new();
        for method in methods.into_iter().filter(|method| *method != Method::GET) {
            for token in [None, Some(victim.access_token()), Some(AS_TOKEN)] {
                for body in bodies::nonsense() {
                    requests.push(request(&method, &path, token, body));
                }
            }
            let template = bodies::template(&method, &route, &world, &victim);
            for _ in 0..60 {
                let body = bodies::mutated(&template, &mut random).to_string().into_bytes();
                let token = if random.random_bool(0.8) { victim.access_token() } else { AS_TOKEN };
                requests.push(request(&method, &path, Some(token), body));
            }
        }
        ask_all(&world.server, requests).await;
    }
    world.alice.send_text(&world.room, "still here").await.unwrap();
}

fn request(method: &Method, path: &str, token: Option<&str>, body: Vec<u8>) -> Request {
    Request {
        method: method.clone(),
        path: path.to_owned(),
        token: token.map(str::to_owned),
        body: Some(body),
    }
}

/// What stands for a value of any type at all.
fn strange(random: &mut StdRng) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("\u{0}"),
        json!("@alice:hs.test"),
        json!("!x:hs.test"),
        json!("#x:hs.test"),
        json!("mxc://hs.test/x"),
        json!("m.room.member"),
        json!("[(*+"),
        json!("x".repeat(5000)),
        json!([]),
        json!([null]),
        json!([[[[[]]]]]),
        json!({}),
        json!({"": {}}),
        json!({"type": 7, "content": [], "state_key": {}, "user_id": 0}),
    ];
    values[random.random_range(0..values.len())].clone()
}
