//! Mail that the server sends to people: codes and links by which they show that an address is theirs.

use std::{error::Error, fmt, sync::Arc};

use async_trait::async_trait;

mod memory;
mod smtp;

pub use self::{
    memory::MemoryMailer,
    smtp::{SmtpConfigError, SmtpMailer},
};

/// One message to one person.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// The address, which was checked to be one.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text. May hold a secret.
    pub body: String,
}

impl Mail {
    /// A message.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, body: impl Into<String>) -> Self {
        Self { to: to.into(), subject: subject.into(), body: body.into() }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the mail was not sent")]
pub struct MailError {
    source: Box<dyn Error + Send + Sync>,
}

impl MailError {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}

/// Whoever carries mail for the server; see [`HomeserverBuilder::mailer`](crate::HomeserverBuilder::mailer).
///
/// [`send`](Self::send) is called by the task of a request, by several at a time, and the request is answered when it
/// returns. It may wait, but should give up after some seconds. If it is cancelled, nobody knows whether the message went
/// out, and the person asks for another.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync + 'static {
    /// Sends one message, or hands it to somebody who does not lose it.
    ///
    /// # Errors
    /// If nobody took it. The person is told to try again later.
    async fn send(&self, mail: Mail) -> Result<(), MailError>;
}

#[async_trait]
impl<M: Mailer + ?Sized> Mailer for Arc<M> {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        (**self).send(mail).await
    }
}
