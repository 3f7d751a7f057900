//! What a network's refusals mean, in words for people.

/// The sentence for a refusal. `text` is what the server says; it is quoted where we know no better.
///
/// The numerics are those of RFC 2812, section 5.2, and of today's servers.
pub(crate) fn explain(numeric: u16, target: &str, text: &str) -> String {
    match numeric {
        401 => format!("{target} is not on IRC at the moment"),
        403 => format!("there is no channel {target}"),
        404 => format!("{target} does not let you speak: {text}"),
        405 => "you are in as many channels as the network allows".to_owned(),
        408 => format!("{target} does not allow formatting or this kind of text: {text}"),
        437 => format!("{target} cannot be used at the moment: {text}"),
        442 => format!("you are not in {target} on IRC"),
        471 => format!("{target} is full"),
        473 => format!("{target} is open to invited people only"),
        474 => format!("you are banned from {target}"),
        475 => format!("{target} is locked with a key"),
        476 => format!("{target} is not a name that the network allows"),
        477 => format!("{target} is open to people with an account only; store yours with !storepass"),
        482 => format!("you are not an operator of {target}"),
        489 | 520 => format!("{target} cannot be entered by you: {text}"),
        716 => format!("{target} takes no private messages from you"),
        _ => format!("the network refused: {text} ({numeric})"),
    }
}

/// Whether a numeric refuses something that was sent to a channel or a nick, which it names.
pub(crate) fn is_about_target(numeric: u16) -> bool {
    matches!(
        numeric,
        401 | 403..=408 | 413..=415 | 437 | 441 | 442 | 471..=480 | 482 | 485 | 487 | 489 | 492 | 499 | 520 | 531 | 716
    )
}

/// Whether a numeric refuses entry to a channel.
pub(crate) fn is_about_joining(numeric: u16) -> bool {
    matches!(numeric, 403 | 405 | 407 | 437 | 471 | 473..=477 | 480 | 489 | 520)
}
