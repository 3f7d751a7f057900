//! Sessions: groups of requests that a client makes within a short time of each other, and the order of its actions.
//!
//! A client is a device of a user. It has at most one session that is not over. A session is over when its client has
//! made no request for a while, when it says so, or when the client begins another.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::Notify;

use super::capabilities::CapabilitySet;
use crate::user::{PresenceState, random_text};

/// How many answers of a session are kept for those who repeat an action.
const KEPT_ANSWERS: usize = 32;

type Client = (OwnedUserId, Option<OwnedDeviceId>);

/// The sessions that are not over.
#[derive(Debug)]
pub(crate) struct Sessions {
    timeout: Duration,
    live: Mutex<HashMap<Client, Arc<Session>>>,
}

/// What a request entered.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) session: Arc<Session>,
    /// Whether the session begins with the request.
    pub(crate) begins: bool,
    /// The client's session before, which is over.
    pub(crate) over: Option<Arc<Session>>,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user_id: OwnedUserId,
    device_id: Option<OwnedDeviceId>,
    state: Mutex<State>,
    /// An action was done, or the session is over.
    turned: Notify,
}

#[derive(Debug)]
struct State {
    last_used: Instant,
    /// Requests that are being answered.
    in_flight: usize,
    over: bool,
    typing_in: BTreeSet<OwnedRoomId>,
    presence: PresenceState,
    capabilities: Option<CapabilitySet>,
    next_action: u64,
    acting: bool,
    answers: VecDeque<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    action: u64,
    status: StatusCode,
    body: Bytes,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The action's. It has to be told of by [`Session::acted`].
    Now,
    /// The action was done, and answered so.
    Done(StatusCode, Bytes),
    /// It cannot be done.
    Never(Reason),
}

/// Why an action is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The session is over.
    Over,
    /// It was done so long ago that its answer is forgotten.
    Forgotten,
    /// Actions before it have not come.
    Missing,
}

impl Sessions {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, live: Mutex::default() }
    }

    /// The session of a request: the one that it names, or else a new one.
    pub(crate) fn enter(
        &self,
        user_id: &UserId,
        device_id: Option<&OwnedDeviceId>,
        id: Option<&str>,
    ) -> Entered {
        let client = (user_id.to_owned(), device_id.cloned());
        let mut live = self.live.lock();
        if let (Some(session), Some(id)) = (live.get(&client), id)
            && session.id == id
            && session.touch(self.timeout)
        {
            return Entered { session: session.clone(), begins: false, over: None };
        }
        let session = Arc::new(Session {
            id: random_text(24),
            user_id: client.0.clone(),
            device_id: client.1.clone(),
            state: Mutex::new(State {
                last_used: Instant::now(),
                in_flight: 0,
                over: false,
                typing_in: BTreeSet::new(),
                presence: PresenceState::Online,
                capabilities: None,
                next_action: 0,
                acting: false,
                answers: VecDeque::new(),
            }),
            turned: Notify::new(),
        });
        let over = live.insert(client, session.clone());
        Entered { session, begins: true, over }
    }

    /// Takes a session away that is over. False if that was done already.
    pub(crate) fn end(&self, session: &Arc<Session>) -> bool {
        let first = !std::mem::replace(&mut session.state.lock().over, true);
        let client = (session.user_id.clone(), session.device_id.clone());
        let mut live = self.live.lock();
        if live.get(&client).is_some_and(|current| Arc::ptr_eq(current, session)) {
            live.remove(&client);
        }
        drop(live);
        session.turned.notify_waiters();
        first
    }

    /// Returns when a session was not used for a while.
    pub(crate) async fn outlive(&self, session: Weak<Session>) {
        loop {
            let left = match session.upgrade() {
                None => return,
                Some(session) => {
                    let state = session.state.lock();
                    if state.over {
                        return;
                    }
                    let idle = if state.in_flight > 0 { Duration::ZERO } else { state.last_used.elapsed() };
                    self.timeout.saturating_sub(idle)
                }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// How available a user is, by all sessions that are not over.
    pub(crate) fn presence(&self, user_id: &UserId) -> PresenceState {
        let states = self.of(user_id).into_iter().map(|session| session.state.lock().presence);
        states.max_by_key(|state| state.level()).unwrap_or_default()
    }

    /// What the clients of a user are capable of, one after the other.
    pub(crate) fn capabilities(&self, user_id: &UserId) -> Vec<CapabilitySet> {
        let sessions = self.of(user_id);
        sessions.into_iter().filter_map(|session| session.state.lock().capabilities.clone()).collect()
    }

    fn of(&self, user_id: &UserId) -> Vec<Arc<Session>> {
        let live = self.live.lock();
        let mut found: Vec<_> = live
            .iter()
            .filter(|((owner, _), _)| owner == user_id)
            .map(|(_, session)| session.clone())
            .collect();
        drop(live);
        found.sort_by(|one, other| one.device_id.cmp(&other.device_id));
        found
    }
}

impl Session {
    /// Notes that the session is used. False if it is over.
    fn touch(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if state.over || (state.in_flight == 0 && state.last_used.elapsed() >= timeout) {
            return false;
        }
        state.last_used = Instant::now();
        true
    }

    /// A request is being answered until what is returned is dropped.
    pub(crate) fn in_use(self: &Arc<Self>) -> InUse {
        self.state.lock().in_flight += 1;
        InUse(self.clone())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    pub(crate) fn next_action(&self) -> u64 {
        self.state.lock().next_action
    }

    /// Notes where the user types.
    pub(crate) fn types_in(&self, room_id: OwnedRoomId, typing: bool) {
        let mut state = self.state.lock();
        if typing {
            state.typing_in.insert(room_id);
        } else {
            state.typing_in.remove(&room_id);
        }
    }

    /// The rooms in which the user types.
    pub(crate) fn typing_in(&self) -> Vec<OwnedRoomId> {
        self.state.lock().typing_in.iter().cloned().collect()
    }

    pub(crate) fn set_presence(&self, presence: PresenceState) {
        self.state.lock().presence = presence;
    }

    pub(crate) fn set_capabilities(&self, set: CapabilitySet) {
        self.state.lock().capabilities = Some(set);
    }

    /// Waits until everything before an action is done.
    pub(crate) async fn turn(&self, action: u64, patience: Duration) -> Turn {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let mut turned = std::pin::pin!(self.turned.notified());
            // Before looking, so that nothing is missed that happens between looking and waiting.
            turned.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.over {
                    return Turn::Never(Reason::Over);
                }
                if action < state.next_action {
                    let answer = state.answers.iter().find(|answer| answer.action == action);
                    return answer.map_or(Turn::Never(Reason::Forgotten), |answer| {
                        Turn::Done(answer.status, answer.body.clone())
                    });
                }
                if action == state.next_action && !state.acting {
                    state.acting = true;
                    return Turn::Now;
                }
            }
            if tokio::time::timeout_at(deadline, turned).await.is_err() {
                return Turn::Never(Reason::Missing);
            }
        }
    }

    /// An action was done. What failed for a reason that may go away was not, and can come again.
    pub(crate) fn acted(&self, action: u64, status: StatusCode, body: Bytes) {
        let mut state = self.state.lock();
        state.acting = false;
        if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
            state.next_action = action + 1;
            if state.answers.len() == KEPT_ANSWERS {
                state.answers.pop_front();
            }
            state.answers.push_back(Answer { action, status, body });
        }
        drop(state);
        self.turned.notify_waiters();
    }
}

/// A request of a session that is being answered.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Session>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight -= 1;
        state.last_used = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(60))
    }

    fn enter(sessions: &Sessions, id: Option<&str>) -> Entered {
        sessions.enter(user_id!("@alice:hs.test"), None, id)
    }

    #[test]
    fn a_session_goes_on_as_long_as_it_is_named() {
        let sessions = sessions();
        let first = enter(&sessions, None);
        assert!(first.begins && first.over.is_none());
        let again = enter(&sessions, Some(&first.session.id));
        assert!(!again.begins && Arc::ptr_eq(&first.session, &again.session));
        let other = enter(&sessions, Some("another"));
        assert!(other.begins && Arc::ptr_eq(&other.over.unwrap(), &first.session));
    }

    #[tokio::test(start_paused = true)]
    async fn actions_are_done_in_order_and_once() {
        let session = enter(&sessions(), None).session;
        assert!(matches!(session.turn(0, PATIENCE).await, Turn::Now));
        assert!(matches!(session.turn(1, Duration::from_secs(1)).await, Turn::Never(Reason::Missing)));
        let (waiting, ()) = tokio::join!(session.turn(1, PATIENCE), async {
            session.acted(0, StatusCode::OK, Bytes::from_static(b"{}"));
        });
        assert!(matches!(waiting, Turn::Now));
        let Turn::Done(status, body) = session.turn(0, PATIENCE).await else { panic!("it was done") };
        assert_eq!((status, &*body), (StatusCode::OK, &b"{}"[..]));
        // What the server could not do is still to be done.
        session.acted(1, StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        assert!(matches!(session.turn(1, PATIENCE).await, Turn::Now));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_in_a_session_that_is_over() {
        let sessions = sessions();
        let session = enter(&sessions, None).session;
        assert!(matches!(session.turn(0, PATIENCE).await, Turn::Now));
        let (waiting, ()) = tokio::join!(session.turn(1, PATIENCE), async {
            assert!(sessions.end(&session));
        });
        assert!(matches!(waiting, Turn::Never(Reason::Over)));
        assert!(!sessions.end(&session));
        assert!(enter(&sessions, Some(&session.id)).begins);
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_are_forgotten() {
        let session = enter(&sessions(), None).session;
        for action in 0..=KEPT_ANSWERS as u64 {
            session.acted(action, StatusCode::OK, Bytes::new());
        }
        assert!(matches!(session.turn(0, PATIENCE).await, Turn::Never(Reason::Forgotten)));
        assert!(matches!(session.turn(1, PATIENCE).await, Turn::Done(..)));
    }
}
