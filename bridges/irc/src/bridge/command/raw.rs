//! `cmd`: a line as it is.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::{Action, On};

pub(super) struct Raw;

/// How long the network may take to answer.
const ANSWERS: Duration = Duration::from_secs(2);
/// Commands that would take the connection out of the bridge's hands.
const RESERVED: [&str; 8] = ["PASS", "USER", "QUIT", "CAP", "AUTHENTICATE", "SQUIT", "PONG", "PING"];

#[async_trait]
impl Action for Raw {
    fn name(&self) -> &'static str {
        "cmd"
    }

    fn usage(&self) -> &'static str {
        "[network] <COMMAND> [words …]"
    }

    fn help(&self) -> &'static str {
        "Sends a line to IRC as it is, and shows what the network answers."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        // One line, whatever else was typed.
        let line = on.words.lines().next().unwrap_or_default().replace('\0', "");
        let words = words(&line);
        let Some(command) = words.first().map(|word| word.to_ascii_uppercase()) else {
            return Err("Say which command, such as `cmd MODE #channel`.".to_owned());
        };
        if RESERVED.contains(&command.as_str()) {
            return Err(format!("{command} is the bridge's own business."));
        }
        let connection = on.connection()?;
        let link = connection.link().ok_or("You are not connected to IRC at the moment.")?;
        let label = link.label();
        let mut answers = connection.overhear(label.clone());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        link.send_labelled(label.as_deref(), &words);
        let mut lines = Vec::new();
        let deadline = Instant::now() + ANSWERS;
        while let Ok(Some(answer)) = timeout_at(deadline, answers.recv()).await {
            let words: Vec<_> =
                (1..answer.params.len()).map(|index| answer.text(index).into_owned()).collect();
            lines.push(format!("{} {}", answer.command, words.join(" ")));
            if lines.len() >= 30 {
                break;
            }
        }
        Ok(if lines.is_empty() { "Sent; the network answers nothing.".to_owned() } else { lines.join("\n") })
    }
}

/// The words of a line: the last one begins with a colon and may have blanks.
fn words(line: &str) -> Vec<String> {
    let line = line.trim();
    let (middle, trailing) = match line.split_once(" :") {
        Some((middle, trailing)) => (middle, Some(trailing.to_owned())),
        None => (line, None),
    };
    middle.split_whitespace().map(str::to_owned).chain(trailing).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_last_word_may_have_blanks() {
        assert_eq!(words("TOPIC #c :a new  one"), ["TOPIC", "#c", "a new  one"]);
        assert_eq!(words(" MODE  #c +v bob "), ["MODE", "#c", "+v", "bob"]);
        assert!(words("  ").is_empty());
    }
}
