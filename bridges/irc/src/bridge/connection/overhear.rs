//! Listening in on the network's answers to a command.

use tokio::sync::mpsc;

use super::super::seen::Seen;
use super::Connection;

/// Somebody who waits for answers: with a label only those that carry it, else all numerics.
#[derive(Debug)]
pub(super) struct Overhearing {
    label: Option<String>,
    lines: mpsc::UnboundedSender<Seen>,
}

impl Connection {
    /// Hears all numerics from now on, or those with a label, until the receiver is dropped.
    pub(crate) fn overhear(&self, label: Option<String>) -> mpsc::UnboundedReceiver<Seen> {
        let (lines, receiver) = mpsc::unbounded_channel();
        self.overhearing.lock().push(Overhearing { label, lines });
        receiver
    }

    pub(crate) fn overheard(&self, _numeric: u16, seen: &Seen) {
        self.overhearing.lock().retain(|listener| {
            if listener.label.is_some() && listener.label != seen.label {
                return !listener.lines.is_closed();
            }
            listener.lines.send(seen.clone()).is_ok()
        });
    }
}
