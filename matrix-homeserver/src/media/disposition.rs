//! How a browser is told to treat content ([serving inline content]).
//!
//! [serving inline content]: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a browser may show in place without running anything in it.
const INLINE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// What stays as it is in an extended parameter value ([RFC 8187, section 3.2.1]).
///
/// [RFC 8187, section 3.2.1]: https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `Content-Disposition` for content of a type, with the name to save it by.
pub(crate) fn content_disposition(content_type: &str, filename: Option<&str>) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if INLINE.contains(&essence.as_str()) { "inline" } else { "attachment" };
    match filename {
        None | Some("") => kind.to_owned(),
        Some(name) if is_token(name) => format!("{kind}; filename={name}"),
        Some(name) => format!("{kind}; filename*=utf-8''{}", utf8_percent_encode(name, ENCODED)),
    }
}

/// Whether a name needs no quotes ([RFC 9110, section 5.6.2]).
///
/// [RFC 9110, section 5.6.2]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
fn is_token(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_content_is_shown_in_place_and_names_are_encoded() {
        let table = [
            ("image/png", Some("cat.png"), "inline; filename=cat.png"),
            ("IMAGE/PNG; a=b", None, "inline"),
            ("text/html", Some("a.html"), "attachment; filename=a.html"),
            ("image/svg+xml", None, "attachment"),
            ("text/plain", Some("my notes.txt"), "inline; filename*=utf-8''my%20notes.txt"),
            ("text/plain", Some("Grüße\r\n\"x\""), "inline; filename*=utf-8''Gr%C3%BC%C3%9Fe%0D%0A%22x%22"),
            ("nonsense", Some(""), "attachment"),
        ];
        for (content_type, filename, expected) in table {
            assert_eq!(content_disposition(content_type, filename), expected);
        }
    }
}
