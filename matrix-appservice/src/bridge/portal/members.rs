//! Who is in a portal. Changes come in floods (a list of names, a netsplit), so they are applied in the
//! background, several at once and only the last wish for each user, while messages go on. But
//! nobody speaks before he has joined.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::{Portal, RoomError, backoff};
use crate::{
    bridge::{MemberChange, MembershipState, core::Core, keyed::Keyed},
    client::ClientError,
    intent::Intent,
    network_id::{LoginId, RemoteUserId},
    store::{Batch, PortalRow},
};

/// How many users of one portal are changed at once.
const AT_ONCE: usize = 8;

/// What is wished for and not done yet.
#[derive(Default)]
pub(super) struct Members {
    state: Mutex<State>,
    /// Who touches which user just now.
    touching: Keyed<RemoteUserId>,
}

#[derive(Default)]
struct State {
    wishes: HashMap<RemoteUserId, Wish>,
    order: VecDeque<RemoteUserId>,
    /// Whose wish is just being fulfilled, so that nobody knows whether he is in.
    changing: HashSet<RemoteUserId>,
    workers: usize,
    /// The journal rows that wishes came from, oldest first. A row is let go only after all before
    /// it: replayed out of order, an old join would bring back who has left.
    tickets: VecDeque<Ticket>,
    first_ticket: u64,
}

struct Wish {
    change: MemberChange,
    ticket: u64,
}

struct Ticket {
    number: Option<u64>,
    open: usize,
}

impl Members {
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().workers == 0
    }

    /// Wishes for changes; everybody else leaves if `complete`. `number` is the journal row to let go when all is
    /// done.
    pub(super) fn put(
        &self,
        core: &Arc<Core>,
        portal: &Arc<Portal>,
        row: &PortalRow,
        mut changes: Vec<MemberChange>,
        complete: bool,
        number: Option<u64>,
    ) {
        let mut state = self.state.lock();
        // Under the lock, so that whoever is being changed is seen here or there.
        let joined = joined_ghosts(core, row);
        if complete {
            let named: HashSet<&RemoteUserId> = changes.iter().map(|change| &change.user).collect();
            let gone: HashSet<RemoteUserId> = joined
                .iter()
                .chain(state.wishes.keys())
                .chain(&state.changing)
                .filter(|user| !named.contains(user))
                .cloned()
                .collect();
            changes.extend(gone.into_iter().map(MemberChange::leave));
        }
        let ticket = state.first_ticket + state.tickets.len() as u64;
        let mut open = 0;
        for change in changes {
            let done = match change.membership {
                MembershipState::Join => joined.contains(&change.user) && change.info.is_none(),
                MembershipState::Leave => !joined.contains(&change.user),
                _ => false,
            };
            let in_doubt = state.wishes.contains_key(&change.user) || state.changing.contains(&change.user);
            if done && change.power.is_none() && !in_doubt {
                continue;
            }
            open += 1;
            state.wish(change, ticket);
        }
        state.tickets.push_back(Ticket { number, open });
        state.let_go(core);
        while state.workers < AT_ONCE && state.workers < state.order.len() {
            state.workers += 1;
            core.tasks.spawn(work(Arc::clone(core), Arc::clone(portal), row.clone()));
        }
    }

    /// Makes sure that `user` is in the room now, ahead of all wishes.
    pub(super) async fn ensure_joined(
        &self,
        core: &Arc<Core>,
        row: &PortalRow,
        user: &RemoteUserId,
        login: Option<&LoginId>,
    ) -> Result<Intent, RoomError> {
        let intent = core.ensure_ghost(user, None, login).await?;
        if core.store.is_room_member(&row.room_id, intent.user_id())? {
            return Ok(intent);
        }
        let _touching = self.touching.lock(user).await;
        join(core, row, &intent).await?;
        Ok(intent)
    }
}

impl State {
    /// The last wish for a user replaces the one before, which then is as good as done.
    fn wish(&mut self, mut change: MemberChange, ticket: u64) {
        match self.wishes.remove(&change.user) {
            None => self.order.push_back(change.user.clone()),
            Some(before) => {
                if change.membership == MembershipState::Unchanged {
                    change.membership = before.change.membership;
                    change.by = change.by.or(before.change.by);
                    change.reason = change.reason.or(before.change.reason);
                }
                change.info = change.info.or(before.change.info);
                change.power = change.power.or(before.change.power);
                self.close(before.ticket, ticket);
            }
        }
        self.wishes.insert(change.user.clone(), Wish { change, ticket });
    }

    /// A wish of `ticket` is done. `pending` is the ticket that is just being made, which is not listed yet.
    fn close(&mut self, ticket: u64, pending: u64) {
        if ticket == pending {
            return;
        }
        let place = usize::try_from(ticket - self.first_ticket).unwrap_or(usize::MAX);
        if let Some(ticket) = self.tickets.get_mut(place) {
            ticket.open = ticket.open.saturating_sub(1);
        }
    }

    /// Deletes the journal rows that are done, oldest first.
    fn let_go(&mut self, core: &Core) {
        let mut batch = Batch::default();
        while self.tickets.front().is_some_and(|ticket| ticket.open == 0) {
            self.first_ticket += 1;
            if let Some(number) = self.tickets.pop_front().and_then(|ticket| ticket.number) {
                batch.delete_journal(number);
            }
        }
        core.apply(batch);
    }
}

/// Fulfils wishes until none is left or the bridge stops.
async fn work(core: Arc<Core>, portal: Arc<Portal>, row: PortalRow) {
    loop {
        let wish = {
            let mut state = portal.members.state.lock();
            let next = if core.shutdown.is_cancelled() { None } else { state.order.pop_front() };
            match next.and_then(|user| state.wishes.remove(&user)) {
                Some(wish) => {
                    state.changing.insert(wish.change.user.clone());
                    wish
                }
                None => {
                    state.workers -= 1;
                    break;
                }
            }
        };
        fulfil(&core, &portal, &row, &wish.change).await;
        if core.shutdown.is_cancelled() {
            // It may not be done: its row stays for the next process.
            portal.members.state.lock().workers -= 1;
            break;
        }
        let mut state = portal.members.state.lock();
        state.changing.remove(&wish.change.user);
        state.close(wish.ticket, u64::MAX);
        state.let_go(&core);
    }
    core.portals.release(&portal);
}

async fn fulfil(core: &Arc<Core>, portal: &Portal, row: &PortalRow, change: &MemberChange) {
    for attempt in 0.. {
        let _touching = portal.members.touching.lock(&change.user).await;
        let _permit = core.portals.membership_permit().await;
        match change_member(core, portal, row, change).await {
            Ok(()) => return,
            Err(error) if error.is_retryable() => {
                let pause = error.retry_after().unwrap_or_else(|| backoff(attempt));
                tracing::debug!(portal = %portal.key, %error, attempt, "a membership waits for the homeserver");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = core.shutdown.cancelled() => return,
                }
            }
            Err(error) => {
                tracing::warn!(portal = %portal.key, %error, "a membership cannot be shown in Matrix");
                return;
            }
        }
    }
}

/// Does one change. Doing it again changes nothing.
async fn change_member(
    core: &Arc<Core>,
    portal: &Portal,
    row: &PortalRow,
    change: &MemberChange,
) -> Result<(), RoomError> {
    let real = core.network()?.matrix_user(&change.user);
    let is_real = real.is_some();
    let target = match real {
        Some(user) => user,
        None => core.ghost_id(&change.user)?,
    };
    let joined = core.store.is_room_member(&row.room_id, &target)?;
    match change.membership {
        MembershipState::Join if !is_real => {
            let intent = core.ensure_ghost(&change.user, change.info.as_ref(), row.login.as_ref()).await?;
            if !joined {
                join(core, row, &intent).await?;
            }
        }
        MembershipState::Leave if joined => {
            let by_other = change.by.as_ref().filter(|by| **by != change.user);
            if let Some(by) = by_other {
                remove(core, row, &target, by, change.reason.as_deref(), false).await?;
            } else if !is_real {
                ignore_forbidden(core.intent(&target).leave(&row.room_id, change.reason.as_deref()).await)?;
                note(core, row, &target, false);
            }
        }
        MembershipState::Ban => {
            let by = change.by.as_ref().unwrap_or(&change.user);
            remove(core, row, &target, by, change.reason.as_deref(), true).await?;
        }
        MembershipState::Invite if !joined => {
            core.intent(&row.speaker).invite(&row.room_id, &target, None).await?;
        }
        _ => {
            if let Some(info) = change.info.as_ref().filter(|_| !is_real) {
                core.ensure_ghost(&change.user, Some(info), row.login.as_ref()).await?;
            }
        }
    }
    if let Some(power) = change.power {
        set_power(core, portal, row, &target, power).await?;
    }
    Ok(())
}

async fn join(core: &Core, row: &PortalRow, intent: &Intent) -> Result<(), RoomError> {
    intent.ensure_joined(&row.room_id).await?;
    note(core, row, intent.user_id(), true);
    Ok(())
}

/// Kicks or bans, as the one who did it where he may, else as the room's speaker.
async fn remove(
    core: &Core,
    row: &PortalRow,
    target: &UserId,
    by: &RemoteUserId,
    reason: Option<&str>,
    ban: bool,
) -> Result<(), RoomError> {
    let act = async |intent: Intent| {
        if ban {
            intent.ban(&row.room_id, target, reason).await
        } else {
            intent.kick(&row.room_id, target, reason).await
        }
    };
    let by = core.ghost_id(by)?;
    let as_ghost = by != *target && core.store.is_room_member(&row.room_id, &by)?;
    let done = if as_ghost { act(core.intent(&by)).await } else { act(core.intent(&row.speaker)).await };
    match done {
        Err(error) if as_ghost && error.errcode() == Some("M_FORBIDDEN") => {
            act(core.intent(&row.speaker)).await?;
        }
        other => other?,
    }
    note(core, row, target, false);
    Ok(())
}

/// Remembers what was done, before the homeserver tells.
fn note(core: &Core, row: &PortalRow, user: &UserId, joined: bool) {
    let mut batch = Batch::default();
    batch.put_room_member(&row.room_id, user, joined.then_some(""));
    core.apply(batch);
    if !joined {
        core.intent(user).forget_joined(&row.room_id);
    }
}

async fn set_power(
    core: &Core,
    portal: &Portal,
    row: &PortalRow,
    user: &OwnedUserId,
    power: i64,
) -> Result<(), RoomError> {
    let _power = portal.power.lock().await;
    let speaker = core.intent(&row.speaker);
    let mut levels = speaker.state(&row.room_id, "m.room.power_levels", "").await?.unwrap_or_default();
    let default = levels.get("users_default").and_then(serde_json::Value::as_i64).unwrap_or(0);
    let users = levels.entry("users").or_insert_with(|| json!({}));
    let Some(users) = users.as_object_mut() else { return Ok(()) };
    let now = users.get(user.as_str()).and_then(serde_json::Value::as_i64).unwrap_or(default);
    if now == power {
        return Ok(());
    }
    if power == default {
        users.remove(user.as_str());
    } else {
        users.insert(user.to_string(), json!(power));
    }
    speaker.send_state(&row.room_id, "m.room.power_levels", "", &levels).await?;
    Ok(())
}

/// Who is not in a room cannot leave it, which is all that was wanted.
fn ignore_forbidden(result: Result<(), ClientError>) -> Result<(), ClientError> {
    match result {
        Err(error) if error.errcode() == Some("M_FORBIDDEN") => Ok(()),
        other => other,
    }
}

fn joined_ghosts(core: &Core, row: &PortalRow) -> HashSet<RemoteUserId> {
    let members = crate::bridge::core::or_report(core.store.room_members(&row.room_id));
    members
        .iter()
        .filter(|user| **user != row.speaker || row.key.receiver.is_none())
        .filter_map(|user| core.remote_user_of(user))
        .collect()
}
