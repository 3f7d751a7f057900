//! Finding users by name ([user directory]).
//!
//! [user directory]: https://spec.matrix.org/v1.19/client-server-api/#user-directory

use std::cmp::Reverse;

use ruma::OwnedUserId;

use super::{Users, profile::Profile};
use crate::store::StoreError;

/// A user whose name fits what is searched for.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) user_id: OwnedUserId,
    pub(crate) profile: Profile,
    rank: Rank,
}

/// How well a name fits, the better the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It is in there somewhere.
    Within,
    /// Every word begins a word of the name.
    Words,
    /// The name begins with it.
    Prefix,
    /// It is the name.
    Whole,
}

impl Users {
    /// The users whose IDs or display names fit a term, the best first.
    pub(crate) fn search(&self, term: &str) -> Result<Vec<Match>, StoreError> {
        let term = term.trim().to_lowercase();
        let mut found = Vec::new();
        if term.is_empty() {
            return Ok(found);
        }
        for (user_id, account) in self.accounts()? {
            if account.deactivated {
                continue;
            }
            let profile = self.profile(&user_id)?;
            let name = profile.get("displayname").and_then(|name| name.as_str()).unwrap_or_default();
            let names = [user_id.as_str(), user_id.localpart(), name];
            if let Some(rank) = names.iter().filter_map(|name| rank(&name.to_lowercase(), &term)).max() {
                found.push(Match { user_id, profile, rank });
            }
        }
        // The order of the IDs stays within equals.
        found.sort_by_key(|found| Reverse((found.rank, !found.profile.is_empty())));
        Ok(found)
    }
}

/// Both in lower case.
fn rank(name: &str, term: &str) -> Option<Rank> {
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    if name == term {
        Some(Rank::Whole)
    } else if name.starts_with(term) {
        Some(Rank::Prefix)
    } else if term.split_whitespace().all(|part| words.clone().any(|word| word.starts_with(part))) {
        Some(Rank::Words)
    } else {
        (name.contains(term) || words.any(|word| word == term)).then_some(Rank::Within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_is_better_than_its_beginning_and_that_than_a_word_or_a_part() {
        for (name, term, expected) in [
            ("alice", "alice", Some(Rank::Whole)),
            ("alice liddell", "alice", Some(Rank::Prefix)),
            ("alice liddell", "lid ali", Some(Rank::Words)),
            ("alice liddell", "ddel", Some(Rank::Within)),
            ("alice", "bob", None),
            ("", "a", None),
        ] {
            assert_eq!(rank(name, term), expected, "{term:?} in {name:?}");
        }
    }
}
