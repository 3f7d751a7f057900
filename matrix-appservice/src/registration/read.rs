//! From a document tree to a [`Registration`], collecting every problem on the way.

use ruma::UserId;
use serde_json::{Map, Value};

use super::{
    Registration, RegistrationProblems, Secret,
    namespaces::{Namespace, NamespaceKind, Namespaces},
    pattern::{compile, explain},
    problems::Problem,
};

/// The longest identifier that Matrix allows, in bytes.
const ID_LIMIT: usize = 255;

pub(super) fn read(document: Value) -> Result<Registration, RegistrationProblems> {
    let Value::Object(keys) = document else {
        let problem = Problem::new("", "is not a map of keys", "start with `id: …` on a line of its own");
        return Err(RegistrationProblems(vec![problem]));
    };
    let mut reader = Reader { keys, problems: Vec::new() };
    let registration = reader.registration();
    if reader.problems.is_empty() { Ok(registration) } else { Err(RegistrationProblems(reader.problems)) }
}

/// Takes the known keys out of the map; what is left over is kept as it is.
struct Reader {
    keys: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Reader {
    fn registration(&mut self) -> Registration {
        let id = self.text("id", "name the application service: `id: irc`");
        let url = self.url();
        let as_token = self.token("as_token");
        let hs_token = self.token("hs_token");
        if !as_token.expose().is_empty() && as_token == hs_token {
            self.problem("hs_token", "is the same as as_token", "use two different random strings");
        }
        Registration {
            id,
            url,
            as_token,
            hs_token,
            sender_localpart: self.sender_localpart(),
            namespaces: self.namespaces(),
            rate_limited: self.flag("rate_limited"),
            protocols: self.protocols(),
            receive_ephemeral: self.either_flag("receive_ephemeral", "de.sorunome.msc2409.push_ephemeral"),
            device_management: self.flag("io.element.msc4190").unwrap_or(false),
            extra: std::mem::take(&mut self.keys),
        }
    }

    fn problem(&mut self, path: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(path, what, remedy));
    }

    /// A required, non-empty string; empty, with a problem noted, if there is none.
    fn text(&mut self, key: &str, remedy: &str) -> String {
        match self.keys.remove(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => return text,
            Some(Value::String(_)) => self.problem(key, "is empty", remedy),
            Some(Value::Null) | None => self.problem(key, "is missing", remedy),
            Some(other) => self.problem(
                key,
                format!("is {}, not a string", kind_of(&other)),
                "put the value in double quotes",
            ),
        }
        String::new()
    }

    fn token(&mut self, key: &str) -> Secret {
        let token = self.text(key, "use a long random string, as `generate-registration` writes it");
        if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.problem(key, "holds white space or control characters", "use letters and digits only");
        }
        Secret::new(token)
    }

    fn url(&mut self) -> Option<String> {
        const REMEDY: &str = "write the address at which the homeserver reaches this service \
                              (`http://127.0.0.1:9999`), or `null` if it wants no traffic";
        match self.keys.remove("url") {
            Some(Value::Null) => None,
            Some(Value::String(url)) => {
                if !is_http_url(&url) {
                    self.problem("url", format!("`{url}` is not an http or https address"), REMEDY);
                }
                Some(url)
            }
            Some(other) => {
                self.problem("url", format!("is {}, not a string", kind_of(&other)), REMEDY);
                None
            }
            None => {
                self.problem("url", "is missing", REMEDY);
                None
            }
        }
    }

    fn sender_localpart(&mut self) -> String {
        const KEY: &str = "sender_localpart";
        let localpart = self.text(KEY, "name the bot's user: `sender_localpart: ircbot`");
        if localpart.starts_with('@') || localpart.contains(':') {
            self.problem(
                KEY,
                format!("`{localpart}` is a user ID"),
                "write only what stands between `@` and `:`",
            );
        } else if !localpart.is_empty() && UserId::parse(format!("@{localpart}:s")).is_err() {
            self.problem(
                KEY,
                format!("`{}` cannot be part of a user ID", localpart.escape_debug()),
                "use lower-case letters, digits and `._=-/+`",
            );
        } else if localpart.len() > ID_LIMIT {
            self.problem(KEY, format!("is {} bytes long", localpart.len()), "use fewer than 255");
        }
        localpart
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        match self.keys.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(flag),
            Some(other) => {
                self.problem(
                    key,
                    format!("is {}, not a boolean", kind_of(&other)),
                    "write `true` or `false`",
                );
                None
            }
        }
    }

    /// A flag with a stable and an unstable name; the unstable one stays in `extra` for servers that know only that.
    fn either_flag(&mut self, stable: &str, unstable: &str) -> bool {
        let before_stable = self.keys.get(unstable).and_then(Value::as_bool).unwrap_or(false);
        self.flag(stable).unwrap_or(before_stable)
    }

    fn protocols(&mut self) -> Vec<String> {
        const REMEDY: &str = "write a list of strings: `protocols: [irc]`";
        match self.keys.remove("protocols") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => {
                let mut protocols = Vec::new();
                for (index, item) in list.into_iter().enumerate() {
                    match item {
                        Value::String(protocol) if !protocol.is_empty() => protocols.push(protocol),
                        other => self.problem(
                            format!("protocols[{index}]"),
                            format!("is {}, not the name of a protocol", kind_of(&other)),
                            REMEDY,
                        ),
                    }
                }
                protocols
            }
            Some(other) => {
                self.problem("protocols", format!("is {}, not a list", kind_of(&other)), REMEDY);
                Vec::new()
            }
        }
    }

    fn namespaces(&mut self) -> Namespaces {
        const REMEDY: &str = "write a map with the lists `users`, `aliases` and `rooms`";
        let mut lists = match self.keys.remove("namespaces") {
            Some(Value::Object(lists)) => lists,
            Some(Value::Null) | None => {
                self.problem("namespaces", "is missing", REMEDY);
                return Namespaces::default();
            }
            Some(other) => {
                self.problem("namespaces", format!("is {}, not a map", kind_of(&other)), REMEDY);
                return Namespaces::default();
            }
        };
        let namespaces = Namespaces {
            users: self.patterns(NamespaceKind::Users, lists.remove("users")),
            aliases: self.patterns(NamespaceKind::Aliases, lists.remove("aliases")),
            rooms: self.patterns(NamespaceKind::Rooms, lists.remove("rooms")),
        };
        for unknown in lists.keys() {
            self.problem(format!("namespaces.{unknown}"), "is not a kind of namespace", REMEDY);
        }
        namespaces
    }

    fn patterns(&mut self, kind: NamespaceKind, list: Option<Value>) -> Vec<Namespace> {
        let list = match list {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                let path = format!("namespaces.{kind}");
                let remedy = "write a list of `{exclusive: …, regex: …}`";
                self.problem(path, format!("is {}, not a list", kind_of(&other)), remedy);
                return Vec::new();
            }
        };
        let entries = list.into_iter().enumerate();
        entries.filter_map(|(index, entry)| self.pattern(kind, index, entry)).collect()
    }

    fn pattern(&mut self, kind: NamespaceKind, index: usize, entry: Value) -> Option<Namespace> {
        let path = format!("namespaces.{kind}[{index}]");
        let namespace = match entry {
            Value::String(regex) => Namespace::exclusive(regex),
            Value::Object(keys) => self.pattern_object(&path, &keys)?,
            other => {
                let what = format!("is {}, not a pattern", kind_of(&other));
                self.problem(path, what, "write `{exclusive: …, regex: …}`");
                return None;
            }
        };
        self.check_pattern(kind, &path, &namespace.regex);
        Some(namespace)
    }

    fn pattern_object(&mut self, path: &str, keys: &Map<String, Value>) -> Option<Namespace> {
        let exclusive = keys.get("exclusive").and_then(Value::as_bool);
        if exclusive.is_none() {
            let what = if keys.contains_key("exclusive") { "is not a boolean" } else { "is missing" };
            self.problem(format!("{path}.exclusive"), what, "write `true` or `false`");
        }
        let regex = keys.get("regex").and_then(Value::as_str);
        if regex.is_none() {
            let what = if keys.contains_key("regex") { "is not a string" } else { "is missing" };
            self.problem(format!("{path}.regex"), what, "write the pattern in single quotes");
        }
        Some(Namespace { exclusive: exclusive?, regex: regex?.to_owned() })
    }

    fn check_pattern(&mut self, kind: NamespaceKind, path: &str, regex: &str) {
        let path = format!("{path}.regex");
        if let Err(error) = compile(regex) {
            let what = explain(regex, &error);
            self.problem(
                path,
                what,
                "mend the pattern; `.`, `(`, `[`, `+` and `*` stand for themselves after `\\`",
            );
        } else if regex.is_empty() {
            let remedy = format!("start it with `{}`", kind.sigil());
            self.problem(path, "is empty and would match everything", remedy);
        }
    }
}

fn is_http_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !url.contains(char::is_whitespace))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
