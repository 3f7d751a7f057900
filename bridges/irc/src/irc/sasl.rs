//! Logging in to an account ([SASL](https://ircv3.net/specs/extensions/sasl-3.1)).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::limits::SASL_CHUNK;
use super::message::Line;

mod scram;

use self::scram::Scram;

/// The longest challenge that is put together.
const LONGEST_CHALLENGE: usize = 8192;

/// What proves that an account is ours. Shows no password in `Debug`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Account and password. SCRAM-SHA-256 where the server offers it, so that it never sees the password.
    Password {
        /// The account's name; it need not be the nick.
        account: String,
        /// Its password. Spaces and all.
        password: String,
    },
    /// The certificate that the TLS connection was opened with (`EXTERNAL`).
    Certificate {
        /// The account's name; empty leaves it to the server.
        account: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { account, .. } => write!(f, "Password({account:?}, …)"),
            Self::Certificate { account } => write!(f, "Certificate({account:?})"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    External,
    ScramSha256,
    Plain,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }
}

/// One login, without a socket.
#[derive(Debug)]
pub struct Sasl {
    credentials: Credentials,
    /// What is left to try, the best last.
    left: Vec<Mechanism>,
    current: Option<Mechanism>,
    scram: Option<Scram>,
    /// A challenge of which more chunks follow.
    challenge: String,
    nonce: fn() -> String,
}

impl Sasl {
    /// A login with what the server offers: the value of the capability, empty if it did not say.
    pub fn new(credentials: Credentials, offered: &str) -> Self {
        let all: &[Mechanism] = match credentials {
            Credentials::Password { .. } => &[Mechanism::Plain, Mechanism::ScramSha256],
            Credentials::Certificate { .. } => &[Mechanism::External],
        };
        let mut login = Self {
            credentials,
            left: all.to_vec(),
            current: None,
            scram: None,
            challenge: String::new(),
            nonce: random_nonce,
        };
        if offered.is_empty() {
            // A server that does not say what it offers has PLAIN.
            login.left.retain(|mechanism| *mechanism != Mechanism::ScramSha256);
        } else {
            login.restrict(offered);
        }
        login
    }

    /// The server's list of mechanisms (908): the others are not tried.
    pub fn restrict(&mut self, offered: &str) {
        self.left.retain(|mechanism| {
            offered.split([',', ' ']).any(|name| name.eq_ignore_ascii_case(mechanism.name()))
        });
    }

    /// Begins with the best mechanism that is left. `None`: there is none.
    pub fn begin(&mut self) -> Option<Line> {
        let mechanism = self.left.pop()?;
        self.current = Some(mechanism);
        self.scram = None;
        self.challenge.clear();
        Some(authenticate(mechanism.name()))
    }

    /// Answers an `AUTHENTICATE` of the server. Several lines where the answer is long.
    pub fn receive(&mut self, chunk: &str) -> Vec<Line> {
        if chunk != "+" {
            if self.challenge.len() + chunk.len() > LONGEST_CHALLENGE {
                return self.abort();
            }
            self.challenge.push_str(chunk);
            if chunk.len() == SASL_CHUNK {
                return Vec::new();
            }
        }
        let Ok(challenge) = BASE64_STANDARD.decode(std::mem::take(&mut self.challenge)) else {
            return self.abort();
        };
        match self.answer(&challenge) {
            Some(answer) => chunks(&answer),
            None => self.abort(),
        }
    }

    fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
        match (self.current?, &self.credentials) {
            (Mechanism::External, Credentials::Certificate { account }) => Some(account.clone().into_bytes()),
            // RFC 4616
            (Mechanism::Plain, Credentials::Password { account, password }) => {
                Some(format!("{account}\0{account}\0{password}").into_bytes())
            }
            (Mechanism::ScramSha256, Credentials::Password { account, password }) => match &mut self.scram {
                None => {
                    let (scram, first) = Scram::begin(account, password, &(self.nonce)());
                    self.scram = Some(scram);
                    Some(first.into_bytes())
                }
                Some(scram) => scram.answer(std::str::from_utf8(challenge).ok()?).map(String::into_bytes),
            },
            _ => None,
        }
    }

    fn abort(&mut self) -> Vec<Line> {
        self.current = None;
        self.challenge.clear();
        vec![authenticate("*")]
    }
}

/// In chunks of 400 bytes; one that is full is followed by another, an empty one if need be.
fn chunks(answer: &[u8]) -> Vec<Line> {
    let encoded = BASE64_STANDARD.encode(answer);
    let mut lines = Vec::new();
    let mut rest = encoded.as_str();
    while rest.len() >= SASL_CHUNK {
        let (chunk, after) = rest.split_at(SASL_CHUNK);
        lines.push(authenticate(chunk));
        rest = after;
    }
    lines.push(authenticate(if rest.is_empty() { "+" } else { rest }));
    lines
}

fn authenticate(word: &str) -> Line {
    // Words here are base64, `+`, `*` or the name of a mechanism.
    Line::new("AUTHENTICATE").middle(word).unwrap_or_else(|_| Line::new("AUTHENTICATE")).end()
}

fn random_nonce() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 18]>())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::{Credentials, Sasl};

    fn login(offered: &str) -> Sasl {
        let credentials = Credentials::Password { account: "user".to_owned(), password: "pencil".to_owned() };
        let mut login = Sasl::new(credentials, offered);
        login.nonce = || "rOprNGfwEbeRWgbNEkqO".to_owned();
        login
    }

    /// What is sent after a challenge, decoded.
    fn answer(login: &mut Sasl, challenge: &str) -> String {
        let challenge = if challenge.is_empty() { "+".to_owned() } else { BASE64_STANDARD.encode(challenge) };
        let lines = login.receive(&challenge);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let word = line.as_bytes().strip_prefix(b"AUTHENTICATE ").expect("the command");
        if word == b"+" {
            return String::new();
        }
        String::from_utf8(BASE64_STANDARD.decode(word).expect("base64")).expect("text")
    }

    fn begin(login: &mut Sasl) -> Option<Vec<u8>> {
        login.begin().map(|line| line.as_bytes().to_vec())
    }

    #[test]
    fn plain_sends_account_and_password() {
        let mut login = login("");
        assert_eq!(begin(&mut login).as_deref(), Some(&b"AUTHENTICATE PLAIN"[..]));
        assert_eq!(answer(&mut login, ""), "user\0user\0pencil");
        assert_eq!(begin(&mut login), None);
        assert!(!format!("{login:?}").contains("pencil"));
    }

    #[test]
    fn the_exchange_of_rfc_7677_is_reproduced() {
        let mut login = login("PLAIN,SCRAM-SHA-256");
        assert_eq!(begin(&mut login).as_deref(), Some(&b"AUTHENTICATE SCRAM-SHA-256"[..]));
        assert_eq!(answer(&mut login, ""), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = answer(&mut login, &format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        assert_eq!(proof, format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(answer(&mut login, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), "");
        assert!(!format!("{login:?}").contains("pencil"));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        for (challenges, why) in [
            (vec!["r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"], "a nonce that is not ours"),
            (
                vec!["r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"],
                "a nonce to which nothing is added",
            ),
            (vec!["r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000"], "too much work"),
            (vec!["r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"], "too little work"),
            (vec!["r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096"], "no salt"),
            (vec!["", "m=ext"], "an extension"),
            (
                vec!["r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "v=AAAA"],
                "a wrong signature",
            ),
            (vec!["r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "e=other-error"], "an error"),
        ] {
            let mut login = login("SCRAM-SHA-256");
            begin(&mut login);
            answer(&mut login, "");
            let sent: Vec<_> =
                challenges.iter().flat_map(|text| login.receive(&BASE64_STANDARD.encode(text))).collect();
            let last = sent.last().expect("an answer").as_bytes();
            assert_eq!(last, b"AUTHENTICATE *", "{why}");
        }
    }

    #[test]
    fn mechanisms_that_the_server_lacks_are_not_tried() {
        let mut after_list = login("SCRAM-SHA-256,PLAIN");
        after_list.begin();
        after_list.restrict("PLAIN,EXTERNAL");
        assert_eq!(begin(&mut after_list).as_deref(), Some(&b"AUTHENTICATE PLAIN"[..]));
        assert_eq!(begin(&mut login("EXTERNAL,ECDSA-NIST256P-CHALLENGE")), None);
        let mut external = Sasl::new(Credentials::Certificate { account: String::new() }, "PLAIN,EXTERNAL");
        assert_eq!(begin(&mut external).as_deref(), Some(&b"AUTHENTICATE EXTERNAL"[..]));
        assert_eq!(answer(&mut external, ""), "");
    }

    #[test]
    fn long_answers_go_in_chunks_of_400_bytes() {
        // 300 bytes are 400 in base64.
        for (password, lengths) in
            [(10, vec![44]), (270, vec![392]), (278, vec![400, 1]), (590, vec![400, 400, 16])]
        {
            let credentials =
                Credentials::Password { account: "a".repeat(10), password: "p".repeat(password) };
            let mut login = Sasl::new(credentials, "");
            login.begin();
            let answer = login.receive("+");
            let sent: Vec<_> =
                answer.iter().map(|line| line.as_bytes().len() - "AUTHENTICATE ".len()).collect();
            assert_eq!(sent, lengths, "{password}");
        }
    }

    #[test]
    fn garbage_in_place_of_a_challenge_ends_the_login() {
        for chunk in ["%%%", "=", "ü"] {
            let mut login = login("");
            login.begin();
            assert_eq!(login.receive(chunk)[0].as_bytes(), b"AUTHENTICATE *");
        }
        let mut endless = login("SCRAM-SHA-256");
        endless.begin();
        let ended = (0..100).find_map(|_| endless.receive(&"A".repeat(400)).into_iter().next());
        assert_eq!(ended.expect("an end").as_bytes(), b"AUTHENTICATE *");
        assert_eq!(login("").receive("+")[0].as_bytes(), b"AUTHENTICATE *", "nothing was begun");
    }
}
