//! What IRC shows of Matrix's HTML.

use proptest::prelude::*;

use super::{MOST_TAGS, html_to_irc, html_to_irc_with};

#[test]
fn every_element_is_rendered_by_itself() {
    for (html, irc) in [
        ("plain", "plain"),
        ("<b>bold</b> <i>it</i>", "\x02bold \x02\x1dit"),
        ("<strong>a<em>b</em></strong>c", "\x02a\x1db\x0fc"),
        ("<u>u</u><del>s</del>", "\x1fu\x1f\x1es"),
        ("see <code>let x = 1;</code>.", "see \x11let x = 1;\x0f."),
        ("<blink>a</blink> b", "a b"),
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        ("  a\n  b\t c ", "a b c"),
        ("a<br>b<br/><br>c", "a\nb\nc"),
        ("<p>one</p><p>two</p>three", "one\ntwo\nthree"),
        ("<h1>Title</h1>text", "\x02Title\ntext"),
        ("a<hr>b", "a\n---\nb"),
        (
            "<pre><code class=\"language-rust\">fn a() {\n    b\n}\n</code></pre>",
            "\x11fn a() {\n\x11    b\n\x11}",
        ),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "• a\n• b\n  • c"),
        ("<ol start=\"9\"><li>a</li><li><p>b</p><p>c</p></li></ol>", "9. a\n10. b\n    c"),
        ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "> a\n> b\n> > c\nd"),
        ("<blockquote><ul><li>a</li></ul></blockquote>", "> • a"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "\x02a \x0f| \x02b\n1 | 2",
        ),
        ("x<sup>2</sup> y<sub>10</sub>", "x^2 y_(10)"),
        ("<font color=\"red\">r</font>n", "\x0304r\x0fn"),
        ("<span data-mx-color=\"#00fc00\" data-mx-bg-color=\"#000000\">g</span>", "\x0309,01g"),
        ("<span data-mx-spoiler>x</span>", "\x0301,01x"),
        ("<span data-mx-spoiler=\"film\">x</span>", "(film) \x0301,01x"),
        ("<span data-mx-maths=\"x^2\"><img></span>", "\x11x^2"),
        ("<img src=\"mxc://a/b\" alt=\":crab:\" data-mx-emoticon>", ":crab:"),
        ("<mx-reply><blockquote>old</blockquote></mx-reply>new", "new"),
        ("<script>alert(1)</script>x<!-- y -->", "x"),
        ("</b>x<b>", "x"),
    ] {
        assert_eq!(html_to_irc(html), irc, "{html}");
    }
}

#[test]
fn links_show_where_they_lead() {
    for (html, irc) in [
        ("<a href=\"https://a.example/x\">text</a>", "text <https://a.example/x>"),
        ("<a href=\"https://a.example\">https://a.example</a>", "https://a.example"),
        ("<a href=\"https://a.example/\">a.example</a>", "a.example"),
        ("<a href=\"mailto:a@b.example\">a@b.example</a>", "a@b.example"),
        ("<a href=\"https://a.example\"></a>", "https://a.example"),
        ("<a href=\"javascript:x()\">text</a>", "text"),
        ("<a>text</a>", "text"),
        ("<a href=\"https://matrix.to/#/@bob:example.org\">Bob</a>: hi", "Bob: hi"),
        ("<a href=\"https://matrix.to/#/@bob:example.org\"></a>", "@bob:example.org"),
        ("<a href=\"https://matrix.to/#/!a:b/$c\">there</a>", "there <https://matrix.to/#/!a:b/$c>"),
    ] {
        assert_eq!(html_to_irc(html), irc, "{html}");
    }
}

#[test]
fn who_is_mentioned_is_called_by_nick() {
    let name_of = |id: &str| (id == "@bob:example.org").then(|| "bob|away".to_owned());
    for (html, irc) in [
        ("<a href=\"https://matrix.to/#/@bob:example.org\">Bob (IRC)</a>: hi", "bob|away: hi"),
        ("hi <a href=\"https://matrix.to/#/%40bob%3Aexample.org?via=x\">Bob</a>", "hi bob|away"),
        ("hi <a href=\"matrix:u/bob:example.org?action=chat\">Bob</a>", "hi bob|away"),
        ("<a href=\"https://matrix.to/#/@eve:example.org\">Eve</a>", "Eve"),
    ] {
        assert_eq!(html_to_irc_with(html, &name_of), irc, "{html}");
    }
}

#[test]
fn a_tower_of_tags_falls_on_nobody() {
    for html in [
        "<b>".repeat(20_000) + "x",
        "<div>".repeat(MOST_TAGS) + "x",
        "<b><p>".repeat(900) + "x" + &"</b>".repeat(90),
        "<blockquote>".repeat(1500) + "x",
    ] {
        let worker = std::thread::Builder::new().stack_size(2 << 20);
        let rendered =
            worker.spawn(move || html_to_irc(&html)).expect("a thread").join().expect("no overflow");
        assert!(rendered.len() < 1000);
    }
    assert_eq!(html_to_irc(&("<i>a &lt;</i>".repeat(1500))).matches("a <").count(), 1500);
}

proptest! {
    #[test]
    fn no_html_is_too_strange(html in "(</?(b|i|a|p|ul|li|pre|table|td|span|blockquote)( href=\"[a-z:/#@%]{0,12}\")?>|[ a-z\n&;<>\x00-\x1f]){0,40}") {
        let irc = html_to_irc(&html);
        prop_assert!(!irc.contains(['\r', '\0', '\x01']));
        prop_assert!(irc.split('\n').all(|line| irc.is_empty() || !line.is_empty()));
    }

    #[test]
    fn plain_text_stays_itself(words in proptest::collection::vec("[a-z]{1,8}", 1..8)) {
        let text = words.join(" ");
        prop_assert_eq!(html_to_irc(&text), text);
    }
}
