//! Matrix's text with IRC's codes.

use ruma::html::{Html, NodeData, NodeRef};

use super::code;

/// More tags than this are not worth the trouble, and deep trees are dangerous.
const MOST_TAGS: usize = 2000;
const DEEPEST: usize = 64;

/// Plain text without what would be codes or the end of a line's protocol on IRC; line breaks stay.
pub fn plain_to_irc(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| if c == '\r' { '\n' } else { c })
        .filter(|c| allowed(*c))
        .collect()
}

fn allowed(c: char) -> bool {
    c == '\n' || c == '\t' || !c.is_control()
}

/// HTML with IRC's codes. `None` if it is too wild; the plain text serves then.
///
/// An unknown tag is left out and what is in it stays, so that one strange tag does not spoil the rest.
pub fn html_to_irc(html: &str) -> Option<String> {
    if html.bytes().filter(|byte| *byte == b'<').count() > MOST_TAGS {
        return None;
    }
    let mut writer = Writer::default();
    for node in Html::parse(html).children() {
        writer.node(&node, 0, Place::default());
    }
    Some(writer.text.trim_matches('\n').to_owned())
}

/// What surrounds a node.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    pre: bool,
    quoted: bool,
}

#[derive(Debug, Default)]
struct Writer {
    text: String,
    /// The number of the next item of the innermost list, if it has numbers.
    numbers: Vec<Option<u64>>,
}

impl Writer {
    fn node(&mut self, node: &NodeRef, depth: usize, place: Place) {
        match node.data() {
            NodeData::Text(text) => self.words(&text.borrow(), place),
            NodeData::Element(element) => {
                let attribute = |name: &str| {
                    let attrs = element.attrs.borrow();
                    attrs.iter().find(|attr| &*attr.name.local == name).map(|attr| attr.value.to_string())
                };
                self.element(&element.name.local, &attribute, node, depth, place);
            }
            _ => {}
        }
    }

    fn children(&mut self, node: &NodeRef, depth: usize, place: Place) {
        if depth < DEEPEST {
            node.children().for_each(|child| self.node(&child, depth + 1, place));
        }
    }

    fn element(
        &mut self,
        name: &str,
        attribute: &dyn Fn(&str) -> Option<String>,
        node: &NodeRef,
        depth: usize,
        place: Place,
    ) {
        match name {
            "mx-reply" | "script" | "style" | "head" => {}
            "b" | "strong" => self.wrapped(code::BOLD, node, depth, place),
            "i" | "em" => self.wrapped(code::ITALIC, node, depth, place),
            "u" => self.wrapped(code::UNDERLINE, node, depth, place),
            "s" | "del" | "strike" => self.wrapped(code::STRIKE, node, depth, place),
            "code" if !place.pre => self.wrapped(code::MONOSPACE, node, depth, place),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.break_line();
                self.wrapped(code::BOLD, node, depth, place);
                self.break_line();
            }
            "br" => self.text.push('\n'),
            "hr" => {
                self.break_line();
                self.text.push_str("---");
                self.break_line();
            }
            "pre" => self.block(node, depth, Place { pre: true, ..place }),
            "blockquote" => self.block(node, depth, Place { quoted: true, ..place }),
            "p" | "div" | "table" | "tr" | "details" | "summary" => self.block(node, depth, place),
            "ul" | "ol" => {
                let first = attribute("start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.numbers.push((name == "ol").then_some(first));
                self.block(node, depth, place);
                self.numbers.pop();
            }
            "li" => {
                self.break_line();
                let mark = match self.numbers.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.start(place);
                self.text.push_str(&mark);
                self.children(node, depth, place);
                self.break_line();
            }
            "td" | "th" => {
                self.children(node, depth, place);
                self.text.push(' ');
            }
            "a" => self.link(attribute("href").unwrap_or_default().as_str(), node, depth, place),
            "img" => {
                let label = attribute("alt").or_else(|| attribute("title")).unwrap_or_default();
                self.words(&label, place);
            }
            "span" if attribute("data-mx-spoiler").is_some() => {
                self.text.push_str("\x031,1");
                self.children(node, depth, place);
                self.text.push(code::COLOR);
            }
            _ => self.children(node, depth, place),
        }
    }

    /// A link: its text, and where it leads if the text does not say. Mentions are their text alone.
    fn link(&mut self, href: &str, node: &NodeRef, depth: usize, place: Place) {
        let begin = self.text.len();
        self.children(node, depth, place);
        let said = self.text.get(begin..).unwrap_or_default().trim().to_owned();
        let mention = href.starts_with("https://matrix.to/") || href.starts_with("matrix:");
        if !mention && !href.is_empty() && !said.contains(href) && href != format!("mailto:{said}") {
            self.text.push_str(&plain_to_irc(&format!(" ({href})")).replace('\n', ""));
        }
    }

    fn wrapped(&mut self, mark: char, node: &NodeRef, depth: usize, place: Place) {
        self.text.push(mark);
        self.children(node, depth, place);
        self.text.push(mark);
    }

    fn block(&mut self, node: &NodeRef, depth: usize, place: Place) {
        self.break_line();
        self.children(node, depth, place);
        self.break_line();
    }

    fn words(&mut self, text: &str, place: Place) {
        if place.pre {
            for (index, line) in plain_to_irc(text).split('\n').enumerate() {
                if index > 0 {
                    self.text.push('\n');
                }
                self.start(place);
                self.text.push_str(line);
            }
            return;
        }
        // Outside of `pre`, line breaks and runs of blanks are one blank.
        for c in plain_to_irc(text).chars() {
            if c.is_ascii_whitespace() {
                if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                    self.text.push(' ');
                }
            } else {
                self.start(place);
                self.text.push(c);
            }
        }
    }

    /// Begins a line with the mark of a quotation, where there is one.
    fn start(&mut self, place: Place) {
        if place.quoted && (self.text.is_empty() || self.text.ends_with('\n')) {
            self.text.push_str("> ");
        }
    }

    fn break_line(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_becomes_codes_tag_by_tag() {
        for (html, irc) in [
            ("hello", "hello"),
            ("<b>very</b> <i>fine</i>", "\x02very\x02 \x1dfine\x1d"),
            ("<p>one</p>\n<p>two</p>", "one\ntwo"),
            ("a<br>b<br/>c", "a\nb\nc"),
            ("<ul><li>x</li><li>y</li></ul>", "- x\n- y"),
            ("<ol start=\"3\"><li>x</li><li>y</li></ol>", "3. x\n4. y"),
            ("<blockquote><p>said</p></blockquote>answer", "> said\nanswer"),
            ("<mx-reply>old</mx-reply>new", "new"),
            ("<a href=\"https://matrix.to/#/@bob:hs\">Bob</a>: hi", "Bob: hi"),
            ("<a href=\"https://x.org/\">here</a>", "here (https://x.org/)"),
            ("<a href=\"https://x.org/\">https://x.org/</a>", "https://x.org/"),
            ("<pre><code>a\n  b</code></pre>", "a\n  b"),
            ("<strange>kept <b>too</b></strange>", "kept \x02too\x02"),
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("no \x01CTCP\x01 \x0fhere", "no CTCP here"),
        ] {
            assert_eq!(html_to_irc(html).as_deref(), Some(irc), "{html}");
        }
    }

    #[test]
    fn a_monster_of_tags_is_refused_and_a_deep_one_survived() {
        assert_eq!(html_to_irc(&"<b>".repeat(20_000)), None);
        assert!(html_to_irc(&"<div>".repeat(1000)).is_some());
    }

    proptest! {
        #[test]
        fn no_html_does_harm(html in ".{0,300}") {
            if let Some(text) = html_to_irc(&html) {
                prop_assert!(!text.contains(['\r', '\0', '\x01']));
            }
        }
    }
}
