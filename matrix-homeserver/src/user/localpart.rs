//! Which localparts may name a new user.

use ruma::{OwnedUserId, ServerName, UserId};

/// The longest user ID, in bytes ([user identifiers](https://spec.matrix.org/v1.19/appendices/#user-identifiers)).
const MAX_USER_ID: usize = 255;

/// How strictly a localpart is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// For people: today's grammar, and no `_` in front, which is left to application services.
    Person,
    /// For application services: also the
    /// [historical](https://spec.matrix.org/v1.19/appendices/#historical-user-ids) characters, so that the
    /// drafts' `@irc.freenode.net/Bob:hs` can be.
    Appservice,
}

/// Why a localpart cannot name a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocalpartError {
    #[error("the user name is empty")]
    Empty,
    #[error("the user ID would be longer than 255 bytes")]
    TooLong,
    #[error("user names consist of a-z, 0-9 and . _ = - / +")]
    Character,
    #[error("user names do not begin with an underscore")]
    Underscore,
}

pub(super) fn user_id(
    localpart: &str,
    server_name: &ServerName,
    naming: Naming,
) -> Result<OwnedUserId, LocalpartError> {
    if localpart.is_empty() {
        return Err(LocalpartError::Empty);
    }
    let allowed = |byte: u8| match naming {
        Naming::Person => {
            matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+')
        }
        Naming::Appservice => byte.is_ascii_graphic() && byte != b':',
    };
    if !localpart.bytes().all(allowed) {
        return Err(LocalpartError::Character);
    }
    if naming == Naming::Person && localpart.starts_with('_') {
        return Err(LocalpartError::Underscore);
    }
    let user_id = format!("@{localpart}:{server_name}");
    if user_id.len() > MAX_USER_ID {
        return Err(LocalpartError::TooLong);
    }
    UserId::parse(user_id).map_err(|_| LocalpartError::Character)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn localparts_are_judged_by_who_registers_them() {
        type Verdict = Result<(), LocalpartError>;
        let long = "a".repeat(252);
        let table: [(&str, Verdict, Verdict); 9] = [
            ("alice", Ok(()), Ok(())),
            ("a.b_c=d-e/f+9", Ok(()), Ok(())),
            ("_irc_bob", Err(LocalpartError::Underscore), Ok(())),
            ("irc.freenode.net/Bob", Err(LocalpartError::Character), Ok(())),
            ("", Err(LocalpartError::Empty), Err(LocalpartError::Empty)),
            ("a b", Err(LocalpartError::Character), Err(LocalpartError::Character)),
            ("a:b", Err(LocalpartError::Character), Err(LocalpartError::Character)),
            ("ä", Err(LocalpartError::Character), Err(LocalpartError::Character)),
            (&long, Err(LocalpartError::TooLong), Err(LocalpartError::TooLong)),
        ];
        for (localpart, person, appservice) in table {
            let judge = |naming| user_id(localpart, server_name!("hs"), naming).map(drop);
            assert_eq!(judge(Naming::Person), person, "{localpart:?} for a person");
            assert_eq!(judge(Naming::Appservice), appservice, "{localpart:?} for an application service");
        }
    }
}
