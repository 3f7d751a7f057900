//! The task of one pusher.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

use super::{Shared, notification};
use crate::{
    room::RoomError,
    user::{Pusher, PusherId},
};

/// The longest wait between two attempts.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// How long a notification is worth trying again.
const WORTH: Duration = Duration::from_hours(24);

/// What comes of a round.
enum Round {
    /// Everything was told.
    Done,
    /// The pusher is not the one that it was, or the server stops.
    Over,
}

struct Worker {
    shared: Arc<Shared>,
    id: PusherId,
    bell: Arc<Notify>,
    /// The bell was rung while the gateway did not answer.
    rung: bool,
    /// How much was unread when the gateway last heard of it.
    told: Option<u64>,
}

/// Tells the gateway of a pusher what happens, until the pusher is gone or the server stops.
pub(super) async fn run(shared: Arc<Shared>, id: PusherId) {
    let bell = shared.bells.add(&id.user_id);
    let mut worker = Worker { shared, id, bell, rung: false, told: None };
    while !worker.shared.shutdown.is_cancelled() {
        let Some(pusher) = worker.shared.users.pushers.get(&worker.id) else {
            if worker.retire() {
                break;
            }
            continue;
        };
        if pusher.url().is_some() {
            match worker.round(&pusher).await {
                Ok(Round::Done) if std::mem::take(&mut worker.rung) => continue,
                Ok(Round::Done) => {}
                Ok(Round::Over) => continue,
                Err(error) => {
                    tracing::error!(user_id = %worker.id.user_id, %error, "what to push could not be read");
                }
            }
        }
        tokio::select! {
            () = worker.shared.shutdown.cancelled() => {}
            () = worker.bell.notified() => {}
        }
    }
    worker.shared.bells.remove(&worker.id.user_id, &worker.bell);
}

impl Worker {
    /// Ends the task, unless the pusher has come back meanwhile.
    fn retire(&self) -> bool {
        let mut running = self.shared.running.lock();
        let gone = self.shared.users.pushers.get(&self.id).is_none();
        if gone {
            running.remove(&self.id);
        }
        gone
    }

    /// Tells everything that the gateway has not heard of.
    async fn round(&mut self, pusher: &Pusher) -> Result<Round, RoomError> {
        let shared = self.shared.clone();
        let pushers = &shared.users.pushers;
        let (after, upto) = (pushers.cursor(&self.id), shared.rooms.store().frontier());
        for found in shared.unread.fresh(&self.id.user_id, after, upto)? {
            let unread = shared.unread.total(&self.id.user_id)?;
            let body = notification::of_event(&shared, &self.id, pusher, &found, unread)?;
            if !self.tell(pusher, &body).await? {
                return Ok(Round::Over);
            }
            self.told = Some(unread);
            pushers.advance(&self.id, found.position).await?;
        }
        let unread = shared.unread.total(&self.id.user_id)?;
        match self.told {
            // Something was read.
            Some(told) if unread < told => {
                if !self.tell(pusher, &notification::of_count(&self.id, pusher, unread)).await? {
                    return Ok(Round::Over);
                }
                self.told = Some(unread);
            }
            _ => self.told = Some(unread),
        }
        pushers.pass(&self.id, upto);
        Ok(Round::Done)
    }

    /// Tells the gateway, again and again after waits that double. False when there is nobody to tell any more.
    async fn tell(&mut self, pusher: &Pusher, body: &Value) -> Result<bool, RoomError> {
        let Some(url) = pusher.url() else { return Ok(false) };
        let started = Instant::now();
        let mut pause = self.shared.backoff;
        loop {
            let answered = tokio::select! {
                () = self.shared.shutdown.cancelled() => return Ok(false),
                answered = self.shared.gateway.notify(url, body) => answered,
            };
            match answered {
                Ok(rejected) if rejected.contains(&self.id.pushkey) => {
                    tracing::info!(user_id = %self.id.user_id, "a push gateway does not know the device any more");
                    self.shared.users.pushers.remove(&self.id).await?;
                    return Ok(false);
                }
                Ok(_) => return Ok(true),
                Err(error) if started.elapsed() > WORTH => {
                    tracing::warn!(user_id = %self.id.user_id, %error, "a notification is given up");
                    return Ok(true);
                }
                Err(error) => {
                    tracing::debug!(user_id = %self.id.user_id, %error, "a notification is to be sent again");
                }
            }
            if !self.rest(pusher, pause).await {
                return Ok(false);
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Waits before the next attempt. False when the pusher changes meanwhile, or the server stops.
    async fn rest(&mut self, pusher: &Pusher, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return false,
                () = tokio::time::sleep_until(until) => return self.is_still(pusher),
                () = self.bell.notified() => {
                    self.rung = true;
                    if !self.is_still(pusher) {
                        return false;
                    }
                }
            }
        }
    }

    fn is_still(&self, pusher: &Pusher) -> bool {
        self.shared.users.pushers.get(&self.id).as_ref() == Some(pusher)
    }
}
