//! `docs/spec-coverage.md` says of every endpoint what the router does with it.

use std::{collections::BTreeMap, path::Path};

use reqwest::Method;

use super::{Routes, fault_control, metrics, sections, v2_draft};
use crate::{Homeserver, testing::http_client};

const DOCUMENT: &str = include_str!("../../../docs/spec-coverage.md");
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];

/// A row about an endpoint.
#[derive(Debug)]
struct Row {
    path: String,
    done: String,
    file: String,
}

/// Method and path, with `{}` in the place of every parameter.
type Endpoint = (Method, String);

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
}

/// The rows `| METHOD | path | name | done | file |`.
fn rows() -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in DOCUMENT.lines() {
        let cells = cells(line);
        let [method, path, _name, done, file] = cells[..] else { continue };
        let Some(method) = METHODS.iter().find(|known| known.as_str() == method) else { continue };
        let row = Row { path: path.to_owned(), done: done.to_owned(), file: file.to_owned() };
        let twice = rows.insert(shown(&(method.clone(), nameless(path))), row);
        assert!(twice.is_none(), "two rows for {method} {path}");
    }
    rows
}

fn shown((method, path): &Endpoint) -> String {
    format!("{method} {path}")
}

/// The path without the names of its parameters.
fn nameless(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// The same endpoint under the newest prefix of media, which older ones are aliases of.
fn newest(endpoint: &str) -> String {
    endpoint
        .replace("/_matrix/media/r0/", "/_matrix/media/v3/")
        .replace("/_matrix/media/v1/", "/_matrix/media/v3/")
}

/// Every path of the router, under the first of its prefixes.
fn paths() -> Vec<String> {
    let tables = sections()
        .into_iter()
        .chain([fault_control::routes(), metrics::routes(), v2_draft::routes()])
        .flat_map(|routes| routes.table);
    let mut paths: Vec<_> = tables
        .map(|(path, family, _)| {
            let prefix =
                Routes::prefixes(family, true).first().expect("everything is served with the drafts");
            format!("{prefix}{path}")
        })
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Asks a running server which methods of a path it knows.
async fn served(homeserver: &Homeserver, path: &str) -> Vec<Method> {
    let client = http_client(homeserver.url());
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
    let url = format!("{}{}", homeserver.url(), segments.collect::<Vec<_>>().join("/"));
    let mut served = Vec::new();
    for method in METHODS {
        let answer = client.request(method.clone(), &url).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        if !(matches!(status, 404 | 405) && text.contains("M_UNRECOGNIZED")) {
            served.push(method);
        }
    }
    served
}

async fn everything() -> Homeserver {
    let builder = Homeserver::builder("hs.test").drafts(true).fault_control(true).metrics(true);
    builder.v2_draft(true).registration_shared_secret("secret").start().await.unwrap()
}

#[tokio::test]
async fn the_document_says_of_every_endpoint_whether_it_is_served() {
    let homeserver = everything().await;
    let rows = rows();
    assert!(rows.len() > 150, "the document has {} rows about endpoints", rows.len());
    let mut wrong = Vec::new();
    for path in paths() {
        for method in served(&homeserver, &path).await {
            let endpoint = shown(&(method, nameless(&path)));
            if !rows.contains_key(&endpoint) && !rows.contains_key(&newest(&endpoint)) {
                wrong.push(format!("served, but without a row: {endpoint} ({path})"));
            }
        }
    }
    for (endpoint, row) in &rows {
        let methods = served(&homeserver, &row.path).await;
        let is_served = methods.iter().any(|method| endpoint.starts_with(&format!("{method} ")));
        let claimed = match row.done.split([' ', ',', ':']).next() {
            Some("yes" | "partial") => true,
            Some("no") => false,
            _ => panic!("{endpoint}: neither yes nor partial nor no, but {:?}", row.done),
        };
        if is_served != claimed {
            wrong.push(format!("the row says {:?}, which is not so: {endpoint}", row.done));
        }
        if claimed == row.file.is_empty() {
            wrong.push(format!("a file is named if and only if something is done: {endpoint}"));
        }
        if row.done == "partial" {
            wrong.push(format!("what is missing? {endpoint}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_item_is_done_somewhere_or_not_for_a_reason() {
    let items = DOCUMENT.lines().map(cells).filter(|cells| cells.len() == 3);
    for item in items.filter(|cells| !matches!(cells[1], "done" | "---")) {
        let [name, done, place] = item[..] else { continue };
        match done.split_once(": ").map_or(done, |(word, _)| word).split(',').next() {
            Some("yes") => assert!(!place.is_empty(), "where is it done? {name}"),
            Some("partial") => assert!(!place.is_empty() && done.contains(": "), "what is missing? {name}"),
            Some("no") => assert!(place.is_empty() && done.contains(": "), "why not? {name}"),
            _ => panic!("neither yes nor partial nor no: {name}"),
        }
    }
}

#[test]
fn the_files_that_the_document_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let named =
        DOCUMENT.split('`').filter(|text| text.contains('/') && text.trim_end_matches(".rs") != *text);
    for file in named {
        assert!(root.join(file).is_file(), "the document names {file}");
    }
}
