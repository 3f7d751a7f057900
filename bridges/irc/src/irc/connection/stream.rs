//! A connection on which the network let us in: its lines, without those that keep it alive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{trace, warn};

use super::{Lines, Writer};
use crate::irc::isupport::Isupport;
use crate::irc::message::{BadParameter, Line, Message};
use crate::irc::session::{Event, Identity, Refusal, Session};

/// How long a network may take to let us in.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is found out that the other end is gone without a word.
#[derive(Debug, Clone, Copy)]
pub struct Keepalive {
    /// Silence after which it is asked whether it is there.
    pub ask_after: Duration,
    /// Time to answer.
    pub patience: Duration,
}

/// Why the network did not let us in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// What it was to be told cannot be said.
    #[error(transparent)]
    Identity(#[from] BadParameter),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It closed the connection without a word.
    #[error("the network closed the connection without a word")]
    Closed,
    /// It says nothing.
    #[error("the network does not let us in, and does not say why")]
    Silent,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The network said why.
    #[error("{0}")]
    Closing(String),
    /// It closed the connection.
    #[error("the network closed the connection")]
    Closed,
    /// It does not answer.
    #[error("the network does not answer any more")]
    Silent,
    /// The way to it.
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
}

/// What those who send know of the connection. Kept up to date by its [`Stream`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Known {
    /// The own `user@host` as others see it, once that is known.
    pub userhost: Option<String>,
    /// The capabilities that are there.
    pub capabilities: Arc<BTreeSet<String>>,
    /// The longest line, its end included.
    pub line_length: usize,
}

/// A connection on which the network let us in.
#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    writer: Writer,
    session: Session,
    keepalive: Keepalive,
    heard: Instant,
    asked: bool,
    known: Arc<Mutex<Known>>,
}

impl Stream {
    /// Has the network let us in.
    ///
    /// # Errors
    /// When it does not, and why.
    pub async fn open(
        identity: Identity,
        mut lines: Lines,
        writer: Writer,
        keepalive: Keepalive,
    ) -> Result<Self, OpenError> {
        let (mut session, first) = Session::begin(identity)?;
        writer.answer(first);
        let conversation = async {
            loop {
                let Ok(Some(line)) = lines.next().await else { return Err(OpenError::Closed) };
                let Some(message) = Message::parse(&line) else { continue };
                trace_received(&message);
                let reaction = session.receive(&message);
                writer.answer(reaction.send);
                match reaction.event {
                    Some(Event::Welcomed) => return Ok(()),
                    Some(Event::Refused(refusal)) => return Err(refusal.into()),
                    Some(Event::Closing(text)) => return Err(Refusal::Closed(text).into()),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, conversation).await.unwrap_or(Err(OpenError::Silent))?;
        let known = Arc::new(Mutex::new(known(&session)));
        Ok(Self { lines, writer, session, keepalive, heard: Instant::now(), asked: false, known })
    }

    /// What the connection knows of itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the network supports.
    pub fn isupport(&self) -> &Isupport {
        self.session.isupport()
    }

    /// What those who send have to know; it changes as the connection goes on.
    pub fn known(&self) -> Arc<Mutex<Known>> {
        Arc::clone(&self.known)
    }

    /// The next line that is not only between the server and the session. `None` if there was none to be told of,
    /// so that the caller comes round. Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost, and why.
    pub async fn next(&mut self) -> Result<Option<Message>, Lost> {
        let patience = if self.asked { self.keepalive.patience } else { self.keepalive.ask_after };
        let Ok(read) = timeout_at(self.heard + patience, self.lines.next()).await else {
            return self.silence();
        };
        self.heard = Instant::now();
        self.asked = false;
        let Some(line) = read? else { return Err(Lost::Closed) };
        let Some(message) = Message::parse(&line) else { return Ok(None) };
        trace_received(&message);
        let reaction = self.session.receive(&message);
        self.writer.answer(reaction.send);
        match reaction.event {
            Some(Event::Closing(text)) => return Err(Lost::Closing(text)),
            Some(Event::LoggedOut(Some(reason))) => {
                warn!(nick = self.session.nick(), "not logged in: {reason}");
            }
            _ => {}
        }
        if matches!(&*message.command, "CAP" | "JOIN" | "CHGHOST" | "396" | "005") {
            *self.known.lock() = known(&self.session);
        }
        Ok((!reaction.internal).then_some(message))
    }

    fn silence(&mut self) -> Result<Option<Message>, Lost> {
        if self.asked {
            return Err(Lost::Silent);
        }
        self.writer.urgent(Line::new("PING").trailing("keepalive"));
        self.asked = true;
        self.heard = Instant::now();
        Ok(None)
    }
}

fn known(session: &Session) -> Known {
    Known {
        userhost: session.userhost().map(str::to_owned),
        capabilities: Arc::new(session.capabilities().clone()),
        line_length: session.isupport().line_length(),
    }
}

/// Lines as they come, for those who asked to see everything; challenges of a login are not for logs.
fn trace_received(message: &Message) {
    if &*message.command != "AUTHENTICATE" {
        trace!("< {message}");
    }
}
