//! "Did you mean …?" for keys that nobody knows.

/// The known word that a mistyped one most likely stands for.
pub(crate) fn closest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let plain = flatten(word);
    let (distance, near) =
        known.iter().map(|candidate| (distance(&plain, &flatten(candidate)), candidate)).min()?;
    (distance <= (plain.len() / 3).max(1)).then_some(near.as_str())
}

/// Letters and digits only, in lower case: `nick_template` is as good as `nickTemplate`.
fn flatten(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters must be added, removed or changed to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_suggests_the_one_that_was_meant() {
        let known = ["nickTemplate", "maxClients", "port", "ssl"].map(str::to_owned);
        for (typed, meant) in [
            ("nick_template", Some("nickTemplate")),
            ("nikTemplate", Some("nickTemplate")),
            ("maxClient", Some("maxClients")),
            ("prot", None),
            ("Port", Some("port")),
            ("sll", Some("ssl")),
            ("colour", None),
        ] {
            assert_eq!(closest(typed, &known), meant, "{typed}");
        }
    }

    #[test]
    fn the_distance_counts_single_edits() {
        for (from, to, edits) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("port", "prot", 2)] {
            assert_eq!(distance(from, to), edits, "{from} -> {to}");
        }
    }
}
