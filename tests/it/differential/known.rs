//! The differences that are meant: a table in `docs/spec-coverage.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use regex::Regex;

use super::compare::Difference;

const DOCUMENT: &str = include_str!("../../../docs/spec-coverage.md");
const HEADING: &str = "## Where we differ from Synapse";

/// The table; `*` in a cell stands for any text.
#[derive(Debug)]
pub(crate) struct Known {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    text: String,
    /// Request, place, ours, theirs.
    cells: [Regex; 4],
    /// How many requests have it.
    times: usize,
    /// Those that had it.
    requests: BTreeSet<String>,
}

impl Known {
    pub(crate) fn from_document() -> Self {
        let (_, section) = DOCUMENT.split_once(HEADING).expect("the document has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        Self { rows: rows.map(Row::parse).collect() }
    }

    /// Whether a row lists this difference.
    pub(crate) fn explains(&mut self, request: &str, difference: &Difference) -> bool {
        let texts = [request, &difference.place, &difference.ours, &difference.theirs];
        let mut explained = false;
        for row in &mut self.rows {
            if row.cells.iter().zip(texts).all(|(cell, text)| cell.is_match(text)) {
                row.requests.insert(request.to_owned());
                explained = true;
            }
        }
        explained
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows that explain more or fewer requests than they say, with the number that it was.
    pub(crate) fn miscounted(&self) -> String {
        let rows = self.rows.iter().filter(|row| row.requests.len() != row.times);
        rows.fold(String::new(), |mut text, row| {
            let _ = writeln!(text, "{} requests: {}", row.requests.len(), row.text);
            for request in &row.requests {
                let _ = writeln!(text, "    {request}");
            }
            text
        })
    }
}

impl Row {
    fn parse(line: &str) -> Self {
        let cells: Vec<_> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [request, place, ours, theirs, times, reason] = cells[..] else {
            panic!("not six cells: {line}")
        };
        assert!(!reason.is_empty(), "a difference without a reason: {line}");
        let cells = [request, place, ours, theirs].map(pattern);
        let times = times.parse().unwrap_or_else(|_| panic!("not a number of requests: {line}"));
        Self { text: line.to_owned(), cells, times, requests: BTreeSet::new() }
    }
}

fn pattern(cell: &str) -> Regex {
    let escaped = regex::escape(cell).replace("\\*", ".*");
    Regex::new(&format!("(?s)^{escaped}$")).expect("an escaped text is a pattern")
}

#[test]
fn a_star_stands_for_any_text_and_every_request_is_accounted_for() {
    let row = "| `* GET /v3/sync*` | `.rooms.join.*` | `absent` | `*` | 2 | because |";
    let mut known =
        Known { rows: vec![Row::parse(row), Row::parse("| `x` | `status` | `200` | `404` | 1 | because |")] };
    let mut difference = Difference {
        place: ".rooms.join.<room>.x".to_owned(),
        ours: "absent".to_owned(),
        theirs: "7".to_owned(),
    };
    assert!(known.explains("alice GET /v3/sync?timeout=0", &difference));
    assert!(known.explains("alice GET /v3/sync?timeout=0", &difference));
    assert!(known.miscounted().starts_with("1 requests: | `* GET"));
    assert!(known.explains("bob GET /v3/sync?timeout=0", &difference));
    assert!(known.miscounted().starts_with("0 requests: | `x`"));
    difference.ours = "7".to_owned();
    assert!(!known.explains("alice GET /v3/sync?timeout=0", &difference));
}
