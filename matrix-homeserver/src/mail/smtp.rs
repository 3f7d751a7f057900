//! Mail by way of an SMTP relay (RFC 5321).

use std::{error::Error, fmt, time::Duration};

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use super::{Mail, MailError, Mailer};

/// How long a relay may take for one message.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a relay cannot be used as it was named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpConfigError {
    /// The URL of the relay is not one. It may hold a password and is not quoted.
    #[error("the relay is not named by a URL like smtps://user:password@mail.example.org")]
    Url(#[source] Box<dyn Error + Send + Sync>),
    /// The sender's address is not one.
    #[error("{0:?} is not an address like Server <noreply@example.org>")]
    From(String),
}

/// Gives mail to an SMTP relay.
pub struct SmtpMailer {
    relay: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMailer {
    /// A relay by its URL: `smtps://user:password@host` with TLS from the start,
    /// `smtp://user:password@host?tls=required` with STARTTLS, `smtp://host` in the clear. `from` is the address that
    /// people see.
    ///
    /// # Errors
    /// [`SmtpConfigError`] if the URL or the address is not one.
    pub fn new(url: &str, from: &str) -> Result<Self, SmtpConfigError> {
        crate::install_crypto();
        let relay = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| SmtpConfigError::Url(Box::new(error)))?
            .timeout(Some(TIMEOUT))
            .build();
        let from = from.parse().map_err(|_| SmtpConfigError::From(from.to_owned()))?;
        Ok(Self { relay, from })
    }
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer").field("from", &self.from.to_string()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(mail.to.parse().map_err(MailError::new)?)
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body)
            .map_err(MailError::new)?;
        self.relay.send(message).await.map(drop).map_err(MailError::new)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// A relay that takes one message, or refuses its recipient, and returns every line that it heard.
    async fn relay(listener: TcpListener, takes: bool) -> Vec<String> {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut heard = Vec::new();
        let mut in_data = false;
        write.write_all(b"220 relay.test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                _ if in_data && line == "." => {
                    in_data = false;
                    "250 taken"
                }
                _ if in_data => "",
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "RCPT" if !takes => "550 nobody here",
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            heard.push(line);
            if !answer.is_empty() && write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                break;
            }
            if verb == "QUIT" {
                break;
            }
        }
        heard
    }

    async fn send(takes: bool) -> (Result<(), MailError>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mailer = SmtpMailer::new(&url, "Server <noreply@hs.test>").unwrap();
        let mail = Mail::new("alice@example.org", "Your code", "It is 123456.\nGood luck!");
        let (sent, heard) = tokio::join!(
            async {
                let sent = mailer.send(mail).await;
                drop(mailer);
                sent
            },
            relay(listener, takes)
        );
        (sent, heard)
    }

    #[tokio::test]
    async fn a_relay_is_given_the_whole_message() {
        let (sent, heard) = send(true).await;
        sent.unwrap();
        for line in [
            "MAIL FROM:<noreply@hs.test>",
            "RCPT TO:<alice@example.org>",
            "To: alice@example.org",
            "Subject: Your code",
            "It is 123456.",
        ] {
            assert!(heard.iter().any(|heard| heard == line), "{line} in {heard:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_of_the_relay_is_an_error() {
        send(false).await.0.unwrap_err();
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password() {
        let mailer = SmtpMailer::new("smtps://me:secret@mail.test", "a@hs.test").unwrap();
        assert!(!format!("{mailer:?}").contains("secret"));
        let error = SmtpMailer::new("me:secret@mail.test", "a@hs.test").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        SmtpMailer::new("smtps://mail.test", "nobody").unwrap_err();
    }
}
