//! Lines as a server reads and writes them. Bytes throughout: a text need not be UTF-8.

use std::borrow::Cow;

/// A line from a client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// `@label`, to be given back with the answer.
    pub(super) label: Option<String>,
    /// Tags that are relayed as they are: those whose name begins with `+`.
    pub(super) client_tags: Vec<(String, String)>,
    /// The command in upper case.
    pub(super) command: String,
    pub(super) params: Vec<Vec<u8>>,
}

impl Request {
    /// Reads a line. `None` if nothing is in it.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        rest = rest.strip_suffix(b"\r").unwrap_or(rest);
        let mut request = Self::default();
        if let Some(tagged) = rest.strip_prefix(b"@") {
            let (tags, after) = word(tagged);
            request.tags(&String::from_utf8_lossy(tags));
            rest = after;
        }
        if rest.starts_with(b":") {
            rest = word(rest).1;
        }
        let (command, mut rest) = word(rest);
        if command.is_empty() {
            return None;
        }
        request.command = String::from_utf8_lossy(command).to_ascii_uppercase();
        while !rest.is_empty() {
            if let Some(trailing) = rest.strip_prefix(b":") {
                request.params.push(trailing.to_vec());
                break;
            }
            let (param, after) = word(rest);
            request.params.push(param.to_vec());
            rest = after;
        }
        Some(request)
    }

    fn tags(&mut self, tags: &str) {
        for tag in tags.split(';') {
            let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
            if name == "label" {
                self.label = Some(value.to_owned());
            } else if name.starts_with('+') {
                self.client_tags.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// A parameter as text; empty where it is absent.
    pub(super) fn text(&self, index: usize) -> Cow<'_, str> {
        self.params.get(index).map_or(Cow::Borrowed(""), |param| String::from_utf8_lossy(param))
    }

    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        self.params.get(index).map_or(b"", Vec::as_slice)
    }
}

/// What stands before the next spaces, and what stands after them.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let rest = &text[end..];
    let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    (&text[..end], &rest[start..])
}

/// A line to clients.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Tags with the capability that a client needs to see them.
    pub(super) tags: Vec<(&'static str, String, String)>,
    source: String,
    command: String,
    params: Vec<Vec<u8>>,
}

impl Reply {
    pub(super) fn new(source: impl Into<String>, command: impl Into<String>) -> Self {
        Self { tags: Vec::new(), source: source.into(), command: command.into(), params: Vec::new() }
    }

    pub(super) fn param(mut self, param: impl AsRef<[u8]>) -> Self {
        self.params.push(param.as_ref().to_vec());
        self
    }

    pub(super) fn params<P: AsRef<[u8]>>(self, params: impl IntoIterator<Item = P>) -> Self {
        params.into_iter().fold(self, Self::param)
    }

    /// Adds a tag for those who negotiated `capability`.
    pub(super) fn tag(
        mut self,
        capability: &'static str,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.tags.push((capability, name.into(), value.into()));
        self
    }

    /// The line for a client with these capabilities, cut at 512 bytes as servers do.
    pub(super) fn encode(&self, has: impl Fn(&str) -> bool) -> Vec<u8> {
        let tags: Vec<String> = self
            .tags
            .iter()
            .filter(|(capability, ..)| has(capability))
            .map(|(_, name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
            .collect();
        let mut line = Vec::new();
        if !self.source.is_empty() {
            line.extend_from_slice(format!(":{} ", self.source).as_bytes());
        }
        line.extend_from_slice(self.command.as_bytes());
        for (index, param) in self.params.iter().enumerate() {
            line.push(b' ');
            let last = index + 1 == self.params.len();
            if last && (param.is_empty() || param[0] == b':' || param.contains(&b' ')) {
                line.push(b':');
            }
            line.extend_from_slice(param);
        }
        line.truncate(510);
        line.extend_from_slice(b"\r\n");
        if tags.is_empty() {
            return line;
        }
        let mut tagged = format!("@{} ", tags.join(";")).into_bytes();
        tagged.append(&mut line);
        tagged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_into_tags_command_and_parameters() {
        let request =
            Request::parse(b"@label=7;+typing=active;x :src privmsg #c :a : b\r\n").expect("a line");
        assert_eq!(request.label.as_deref(), Some("7"));
        assert_eq!(request.client_tags, [("+typing".to_owned(), "active".to_owned())]);
        assert_eq!(request.command, "PRIVMSG");
        assert_eq!(request.params, [b"#c".to_vec(), b"a : b".to_vec()]);
        for nothing in [&b""[..], b"\r\n", b"   \n", b"@a", b":only"] {
            assert_eq!(Request::parse(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_reply_shows_only_the_tags_that_were_asked_for_and_ends_at_512_bytes() {
        let reply = Reply::new("a!b@c", "PRIVMSG")
            .param("#c")
            .param(format!("x{}", "é".repeat(400)))
            .tag("batch", "x", "1");
        let line = reply.encode(|_| false);
        assert_eq!(line.len(), 512);
        assert!(line.ends_with(b"\xc3\r\n"), "cut in the middle of a character, as InspIRCd does");
        assert!(reply.encode(|capability| capability == "batch").starts_with(b"@x=1 :a!b@c PRIVMSG"));
    }
}
