//! The scripts: what is asked, one request on a line.
//!
//! ```text
//! alice PUT /v3/rooms/<room>/send/m.room.message/t1 {"msgtype":"m.text","body":"hi"} => event=/event_id
//! ```
//!
//! 1. Who asks: the name of a variable that holds the access token, `-` for nobody, `?` for a token that nobody has.
//! 2. The method, and the path. What begins neither with `/_` nor with `/.` is below `/_matrix/client`.
//! 3. Optionally the content type in brackets, and the body up to the end of the line, ` until ` or ` => `. `<name>` stands for
//!    the value of a variable, `<id of name>` for what follows its last slash, `<x*70000>` for as many `x`, and
//!    `<mac nonce user password>` for what proves that one knows the shared secret.
//! 4. After ` until `, the JSON pointer of something that must be there: the request is repeated until it is.
//! 5. After ` => `, the variables to learn from the answer, each by a JSON pointer.
//!
//! Lines that begin with white space continue the line before; lines that begin with `#` are comments.

/// The sections about today's specification, in the order in which they are played. Later ones know the variables of
/// earlier ones.
const TODAY: &[(&str, &str)] = &[
    ("accounts", include_str!("script/accounts.txt")),
    ("rooms", include_str!("script/rooms.txt")),
    ("reading", include_str!("script/reading.txt")),
    ("syncing", include_str!("script/syncing.txt")),
    ("services", include_str!("script/services.txt")),
    ("operating", include_str!("script/operating.txt")),
    ("sliding", include_str!("script/sliding.txt")),
    ("administration", include_str!("script/administration.txt")),
];

/// Those about the drafts, played where the drafts are served.
const DRAFTS: &[(&str, &str)] = &[("legacy", include_str!("script/legacy.txt"))];

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Step {
    section: &'static str,
    line: usize,
    /// The request as it is written in the script: what the list of differences calls it.
    pub(crate) name: String,
    pub(crate) who: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Option<String>,
    /// Names and JSON pointers.
    pub(crate) learns: Vec<(String, String)>,
    pub(crate) until: Option<String>,
}

impl Step {
    /// Where it is written.
    pub(crate) fn place(&self) -> String {
        format!("{}.txt:{}", self.section, self.line)
    }
}

/// Every request about today's specification.
pub(crate) fn today() -> Vec<Step> {
    TODAY.iter().flat_map(|(section, text)| parse(section, text)).collect()
}

/// Every request about the drafts.
pub(crate) fn drafts() -> Vec<Step> {
    DRAFTS.iter().flat_map(|(section, text)| parse(section, text)).collect()
}

fn parse(section: &'static str, text: &str) -> Vec<Step> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.starts_with([' ', '\t']), lines.last_mut()) {
            (true, Some((_, open))) => open.push_str(line.trim_start()),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines.into_iter().map(|(number, line)| Step { section, line: number, ..parse_line(&line) }).collect()
}

fn parse_line(line: &str) -> Step {
    let (line, learns) = split_last(line, " => ");
    let (request, until) = split_last(line, " until ");
    let mut words = request.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (who, method, path, rest) = (word(), word(), word(), word());
    assert!(path.starts_with('/'), "not a request: {line}");
    let (content_type, body) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // A content type has a slash, a JSON list hardly ever before its end.
        Some((kind, body)) if kind.contains('/') && !kind.contains('"') => {
            (Some(kind.to_owned()), body.trim_start())
        }
        _ => (None, rest.as_str()),
    };
    let learn = |pair: &str| {
        let (name, pointer) = pair.split_once('=').unwrap_or_else(|| panic!("not name=/pointer: {line}"));
        (name.to_owned(), pointer.to_owned())
    };
    Step {
        name: request.to_owned(),
        content_type,
        body: (!body.is_empty()).then(|| body.to_owned()),
        learns: learns.into_iter().flat_map(|pairs| pairs.split(' ')).map(learn).collect(),
        until: until.map(str::to_owned),
        who,
        method,
        path,
        ..Step::default()
    }
}

fn split_last<'l>(line: &'l str, separator: &str) -> (&'l str, Option<&'l str>) {
    match line.rsplit_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (line, None),
    }
}

#[test]
fn a_line_is_taken_apart() {
    let line =
        r#"alice PUT /v3/x/<room> [text/plain] {"a":"b c"} until /chunk/0 => event=/event_id other=/b/0"#;
    let step = parse_line(line);
    assert_eq!(step.name, r#"alice PUT /v3/x/<room> [text/plain] {"a":"b c"}"#);
    assert_eq!((&*step.who, &*step.method, &*step.path), ("alice", "PUT", "/v3/x/<room>"));
    assert_eq!(step.content_type.as_deref(), Some("text/plain"));
    assert_eq!(step.body.as_deref(), Some(r#"{"a":"b c"}"#));
    assert_eq!(step.learns, [("event".into(), "/event_id".into()), ("other".into(), "/b/0".into())]);
    assert_eq!(step.until.as_deref(), Some("/chunk/0"));
}

#[test]
fn indented_lines_continue_and_a_request_may_have_no_body() {
    let steps = parse("x", "# a comment\n\n- GET /versions\nbob POST /v3/createRoom {\"a\":1,\n  \"b\":2}\n");
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].body.clone(), steps[0].place()), (None, "x.txt:3".to_owned()));
    assert_eq!(steps[1].body.as_deref(), Some("{\"a\":1,\"b\":2}"));
}
