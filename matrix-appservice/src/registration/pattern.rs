//! Namespace patterns: POSIX extended regular expressions as homeservers read them.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// How much memory one compiled pattern may take, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles a pattern so that it matches from the start of the text; it need not reach the end.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build();
    let pattern = translate(pattern);
    // Alone first: `a)(b` is an error, though `\A(?:a)(b)` is not.
    build(&pattern)?;
    build(&format!(r"\A(?:{pattern})"))
}

/// What is wrong with a pattern, for people.
pub(super) fn explain(pattern: &str, error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "is too large a pattern".to_owned(),
        _ if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|start| pattern.contains(start)) => {
            format!("`{pattern}` uses look-around, which POSIX expressions do not have")
        }
        error => {
            // The last line is the reason; above it is a picture.
            let report = error.to_string();
            let reason = report.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{pattern}` is not a regular expression ({reason})")
        }
    }
}

/// Inside a bracket expression POSIX knows no nested sets and no set operators: `[`, `&&`, `--` and `~~`
/// stand for themselves there, but mean something to the engine.
fn translate(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('[') {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '\\' => out.extend(chars.next()),
            '[' => bracket(&mut chars, &mut out),
            _ => {}
        }
    }
    Cow::Owned(out)
}

/// Copies a bracket expression, from after its `[` to its `]`.
fn bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.extend(chars.next_if_eq(&'^'));
    if chars.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    let mut previous = None;
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(c);
                return;
            }
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '[' if chars.peek() == Some(&':') => {
                out.push(c);
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    if inner == ':' && chars.next_if_eq(&']').is_some() {
                        out.push(']');
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '-' if previous == Some('-') => out.push_str(r"\-"),
            _ => out.push(c),
        }
        previous = Some(c);
    }
}

#[cfg(test)]
mod tests {
    use super::{compile, explain};

    #[test]
    fn patterns_mean_what_homeservers_take_them_to_mean() {
        let table = [
            (r"@irc\.freenode\.net/.*", "@irc.freenode.net/Bob:hs", true),
            (r"@irc\.freenode\.net/.*", "@ircxfreenode.net/Bob:hs", false),
            ("@irc_", "@irc_bob:hs", true),
            ("irc_", "@irc_bob:hs", false),
            ("^@irc_.*$", "@irc_bob:hs", true),
            (r"@_irc_.*:hs\.test", "@_irc_a:hs.test", true),
            (r"#irc\/.*", "#irc/a", true),
            ("@a|@b", "@b", true),
            ("@a|@b", "x@b", false),
            ("@[[:alpha:]]+:", "@bob:hs", true),
            ("@[[:alpha:]]+:", "@b0b:hs", false),
            ("@[][]:", "@[:", true),
            ("@[[a]:", "@[:", true),
            ("@[a&&b]:", "@&:", true),
            ("@[~~x]:", "@~:", true),
            ("@[^]a]:", "@]:", false),
            (r"@[a-z0-9._=\-/]+:", "@a-b/c:", true),
            ("@[+--]x", "@,x", true),
        ];
        for (pattern, id, expected) in table {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.is_match(id), expected, "{pattern} on {id}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_explained() {
        for (pattern, reason) in [
            ("@(irc", "unclosed group"),
            ("a)(b", "unopened group"),
            ("@(?!bot).*", "look-around"),
            ("@((a{100}){100}){100}", "too large"),
        ] {
            let error = compile(pattern).expect_err(pattern);
            let explained = explain(pattern, &error);
            assert!(explained.contains(reason), "{explained}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in ".{0,64}", id in ".{0,64}") {
            if let Ok(regex) = compile(&pattern) {
                regex.is_match(&id);
            }
        }
    }
}
