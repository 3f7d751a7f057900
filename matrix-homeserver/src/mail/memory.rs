//! Mail that goes nowhere, for tests.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Mail, MailError, Mailer};

/// Keeps what is sent, for a test to read. Clones share one outbox.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use matrix_homeserver::mail::{Mail, Mailer, MemoryMailer};
///
/// let mailer = MemoryMailer::default();
/// mailer.send(Mail::new("alice@example.org", "Hello", "How are you?")).await.unwrap();
/// assert_eq!(mailer.outbox()[0].subject, "Hello");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryMailer {
    outbox: Arc<watch::Sender<Vec<Mail>>>,
}

impl Default for MemoryMailer {
    fn default() -> Self {
        Self { outbox: Arc::new(watch::Sender::new(Vec::new())) }
    }
}

impl MemoryMailer {
    /// Everything that was sent, the oldest first.
    pub fn outbox(&self) -> Vec<Mail> {
        self.outbox.borrow().clone()
    }

    /// The last message to an address, when there are at least `count` messages to it. `None` if that does not come to
    /// pass in time.
    pub async fn wait_for(&self, to: &str, count: usize, patience: Duration) -> Option<Mail> {
        let mut outbox = self.outbox.subscribe();
        let enough = |mails: &Vec<Mail>| mails.iter().filter(|mail| mail.to == to).count() >= count;
        let there = tokio::time::timeout(patience, outbox.wait_for(enough)).await.ok()?.ok()?;
        there.iter().rfind(|mail| mail.to == to).cloned()
    }
}

#[async_trait]
impl Mailer for MemoryMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        self.outbox.send_modify(|outbox| outbox.push(mail));
        Ok(())
    }
}
