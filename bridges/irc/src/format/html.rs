//! HTML of Matrix messages as text with IRC's codes.

use ruma::html::{Html, NodeData, NodeRef};

use super::colour::{Colour, Rgb};
use super::irc::plain_to_irc;
use super::style::Style;

/// Elements nested deeper than this are left out, as the specification allows
/// ([m.room.message](https://spec.matrix.org/v1.19/client-server-api/#mroommessage-msgtypes)).
const DEEPEST: usize = 100;
/// More tags than this in one message are not taken apart: the text without them has to do.
const MOST_TAGS: usize = 2000;

/// HTML as text with IRC's codes, lines apart by `\n`.
///
/// Every element is rendered by itself: one that IRC has nothing for leaves its text, and spoils nothing around it.
/// What a reply quotes (`mx-reply`) is left out.
pub fn html_to_irc(html: &str) -> String {
    html_to_irc_with(html, &|_| None)
}

/// The same, with a name for Matrix users, rooms and aliases that are mentioned: for `@alice:example.org` her nick.
pub fn html_to_irc_with(html: &str, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    if html.bytes().filter(|byte| *byte == b'<').count() > MOST_TAGS {
        return plain_to_irc(&without_tags(html));
    }
    let mut writer = Writer { name_of, out: Text::default(), lists: Vec::new() };
    let parsed = Html::parse(html);
    for child in parsed.children() {
        writer.node(&child, Style::default(), 0);
    }
    writer.out.finish()
}

/// What is not between `<` and `>`.
fn without_tags(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Text as it grows, line by line.
#[derive(Default)]
struct Text {
    lines: Vec<String>,
    line: String,
    style: Style,
    /// What each line begins with: the marks of quotes and the indentation of lists.
    margin: Vec<String>,
    /// A mark for the next line only, in place of the innermost margin: that of an item.
    bullet: Option<String>,
    /// Whether a space stands before the next text, unless it begins a line.
    space: bool,
}

impl Text {
    /// Adds text in which blanks are only blanks.
    fn flow(&mut self, text: &str, style: Style) {
        for (index, word) in text.split([' ', '\n', '\r', '\t', '\x0c']).enumerate() {
            self.space |= index > 0;
            if !word.is_empty() {
                self.word(word, style);
            }
        }
    }

    /// Adds text as it is, up to the end of the line.
    fn word(&mut self, text: &str, style: Style) {
        let text = plain_to_irc(text).replace('\n', " ");
        if text.is_empty() {
            return;
        }
        if self.line.is_empty() {
            self.begin_line();
        } else if self.space {
            // A space looks like what stands before it, so that an underline does not run ahead.
            self.line.push(' ');
        }
        self.space = false;
        self.line.push_str(&self.style.codes_to(style, &text));
        self.style = style;
        self.line.push_str(&text);
    }

    fn begin_line(&mut self) {
        let outer = self.margin.len() - usize::from(self.bullet.is_some() && !self.margin.is_empty());
        self.line = self.margin[..outer].concat();
        if let Some(bullet) = self.bullet.take() {
            self.line.push_str(&bullet);
        }
    }

    /// Ends the line if there is anything on it.
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            // A line is a message of its own: no style goes on by itself.
            self.lines.push(std::mem::take(&mut self.line));
            self.style = Style::default();
        }
        self.space = false;
    }

    fn finish(mut self) -> String {
        self.end_line();
        self.lines.join("\n")
    }
}

struct Writer<'a> {
    name_of: &'a dyn Fn(&str) -> Option<String>,
    out: Text,
    /// The lists around this place: the number of the next item, `None` where items have none.
    lists: Vec<Option<i64>>,
}

impl Writer<'_> {
    fn children(&mut self, node: &NodeRef, style: Style, depth: usize) {
        for child in node.children() {
            self.node(&child, style, depth + 1);
        }
    }

    fn node(&mut self, node: &NodeRef, style: Style, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match node.data() {
            NodeData::Text(text) => self.out.flow(&text.borrow(), style),
            NodeData::Element(element) => self.element(&element.name.local, node, style, depth),
            NodeData::Document | NodeData::Other => {}
        }
    }

    fn element(&mut self, name: &str, node: &NodeRef, mut style: Style, depth: usize) {
        match name {
            "mx-reply" | "script" | "style" | "head" | "title" | "template" => return,
            "b" | "strong" => style.bold = true,
            "i" | "em" | "cite" | "dfn" | "var" => style.italic = true,
            "u" | "ins" => style.underline = true,
            "s" | "del" | "strike" => style.strike = true,
            "code" | "tt" | "kbd" | "samp" => style.monospace = true,
            "br" => return self.line_break(),
            "hr" => return self.block(|writer| writer.out.word("---", style)),
            "span" | "font" => return self.span(node, style, depth),
            "a" => return self.link(node, style, depth),
            "img" => return self.image(node, style),
            "pre" => return self.block(|writer| writer.code_block(node, style)),
            "sup" | "sub" => return self.raised(name, node, style, depth),
            "blockquote" => return self.quote(node, style, depth),
            "ul" | "ol" => return self.list(name, node, style, depth),
            "li" => return self.item(node, style, depth),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                style.bold = true;
                return self.block(|writer| writer.children(node, style, depth));
            }
            "th" | "td" => return self.table_cell(name, node, style, depth),
            "p" | "div" | "tr" | "table" | "thead" | "tbody" | "caption" | "details" | "summary" | "dl"
            | "dt" | "dd" | "section" | "article" | "header" | "footer" => {
                return self.block(|writer| writer.children(node, style, depth));
            }
            _ => {}
        }
        self.children(node, style, depth);
    }

    /// Something on lines of its own.
    fn block(&mut self, write: impl FnOnce(&mut Self)) {
        self.out.end_line();
        write(self);
        self.out.end_line();
    }

    fn line_break(&mut self) {
        self.out.end_line();
    }

    fn span(&mut self, node: &NodeRef, mut style: Style, depth: usize) {
        if let Some(formula) = attribute(node, "data-mx-maths") {
            style.monospace = true;
            return self.out.flow(&formula, style);
        }
        if let Some(reason) = attribute(node, "data-mx-spoiler") {
            if !reason.is_empty() {
                self.out.flow(&format!("({reason})"), style);
                self.out.space = true;
            }
            // Black on black, as is the custom: whoever wants to read it marks it.
            style.front = Some(Colour::Palette(1));
            style.back = Some(Colour::Palette(1));
            return self.children(node, style, depth);
        }
        let colour = |name| attribute(node, name).and_then(|text| Rgb::parse(&text)).map(Rgb::nearest);
        style.front = colour("data-mx-color").or_else(|| colour("color")).or(style.front);
        style.back = colour("data-mx-bg-color").or(style.back);
        self.children(node, style, depth);
    }

    fn link(&mut self, node: &NodeRef, style: Style, depth: usize) {
        let Some(href) = attribute(node, "href") else { return self.children(node, style, depth) };
        let text = text_of(node);
        let text = text.trim();
        if let Some(id) = mentioned(&href) {
            let name = (self.name_of)(&id);
            return match name {
                Some(name) => self.out.word_after_space(node, &name, style),
                None if text.is_empty() => self.out.word(&id, style),
                None => self.children(node, style, depth),
            };
        }
        self.children(node, style, depth);
        let bare = href.strip_prefix("mailto:").unwrap_or(&href);
        let shown = [bare, bare.trim_end_matches('/')].contains(&text)
            || bare.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/') == text);
        let safe =
            ["http:", "https:", "ftp:", "mailto:", "magnet:", "irc:", "ircs:", "matrix:", "geo:", "xmpp:"]
                .iter()
                .any(|scheme| href.len() > scheme.len() && href[..scheme.len()].eq_ignore_ascii_case(scheme));
        if safe && !shown {
            self.out.space |= !text.is_empty();
            let link = if text.is_empty() { href } else { format!("<{href}>") };
            self.out.word(&link, style);
        }
    }

    fn image(&mut self, node: &NodeRef, style: Style) {
        let name =
            ["alt", "title"].into_iter().filter_map(|name| attribute(node, name)).find(|t| !t.is_empty());
        self.out.flow(&name.unwrap_or_default(), style);
    }

    fn code_block(&mut self, node: &NodeRef, mut style: Style) {
        style.monospace = true;
        let text = text_of(node);
        for line in text.trim_end_matches('\n').split('\n') {
            self.out.end_line();
            self.out.word(&line.replace('\t', "    "), style);
        }
    }

    fn raised(&mut self, name: &str, node: &NodeRef, style: Style, depth: usize) {
        let mark = if name == "sup" { "^" } else { "_" };
        let single = text_of(node).chars().count() < 2;
        let (open, close) = if single { (mark.to_owned(), "") } else { (format!("{mark}("), ")") };
        self.out.word(&open, style);
        self.children(node, style, depth);
        self.out.word(close, style);
    }

    fn quote(&mut self, node: &NodeRef, style: Style, depth: usize) {
        self.block(|writer| {
            writer.out.margin.push("> ".to_owned());
            writer.children(node, style, depth);
            writer.out.end_line();
            writer.out.margin.pop();
        });
    }

    fn list(&mut self, name: &str, node: &NodeRef, style: Style, depth: usize) {
        let start = attribute(node, "start").and_then(|start| start.parse().ok()).unwrap_or(1);
        self.lists.push((name == "ol").then_some(start));
        self.block(|writer| writer.children(node, style, depth));
        self.lists.pop();
    }

    fn item(&mut self, node: &NodeRef, style: Style, depth: usize) {
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number = number.saturating_add(1);
                bullet
            }
            _ => "• ".to_owned(),
        };
        self.block(|writer| {
            writer.out.margin.push(" ".repeat(bullet.chars().count()));
            writer.out.bullet = Some(bullet);
            writer.children(node, style, depth);
            writer.out.end_line();
            writer.out.bullet = None;
            writer.out.margin.pop();
        });
    }

    fn table_cell(&mut self, name: &str, node: &NodeRef, mut style: Style, depth: usize) {
        if !self.out.line.is_empty() {
            self.out.space = true;
            self.out.word("|", Style::default());
            self.out.space = true;
        }
        style.bold |= name == "th";
        self.children(node, style, depth);
    }
}

impl Text {
    /// Adds a name in place of a mention; the blanks around the mention's text stay.
    fn word_after_space(&mut self, node: &NodeRef, name: &str, style: Style) {
        let text = text_of(node);
        self.space |= text.starts_with(' ');
        self.word(name, style);
        self.space |= text.ends_with(' ');
    }
}

fn attribute(node: &NodeRef, name: &str) -> Option<String> {
    let element = node.as_element()?;
    let attributes = element.attrs.borrow();
    attributes.iter().find(|known| &*known.name.local == name).map(|known| known.value.to_string())
}

/// All the text within.
fn text_of(node: &NodeRef) -> String {
    fn collect(node: &NodeRef, depth: usize, out: &mut String) {
        if depth > DEEPEST {
            return;
        }
        match node.data() {
            NodeData::Text(text) => out.push_str(&text.borrow()),
            NodeData::Element(element) if &*element.name.local == "br" => out.push('\n'),
            _ => node.children().for_each(|child| collect(&child, depth + 1, out)),
        }
    }
    let mut out = String::new();
    collect(node, 0, &mut out);
    out
}

/// Who or what a link mentions, if it is one to Matrix: `https://matrix.to/#/@alice:example.org`,
/// `matrix:u/alice:example.org`. Links to events are links.
fn mentioned(href: &str) -> Option<String> {
    if let Some(rest) = href.strip_prefix("https://matrix.to/#/") {
        let id = rest.split('?').next().unwrap_or_default();
        let id = percent_decode(id);
        let plain = !id.contains('/') && id.contains(':') && id.starts_with(['@', '#', '!']);
        return plain.then_some(id);
    }
    let rest = href.strip_prefix("matrix:")?.split('?').next()?;
    let (kind, name) = rest.split_once('/')?;
    let sign = match kind {
        "u" | "user" => '@',
        "r" | "room" => '#',
        "roomid" => '!',
        _ => return None,
    };
    (!name.contains('/') && !name.is_empty()).then(|| format!("{sign}{}", percent_decode(name)))
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (byte == b'%').then(|| Some((hex(ahead.next()?)?, hex(ahead.next()?)?))).flatten();
        match digits {
            Some((high, low)) => {
                out.push(high << 4 | low);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
