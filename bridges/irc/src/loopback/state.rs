//! Who is connected, which channels there are, and how lines reach people.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::LoopbackConfig;
use super::channel::Channel;
use super::client::Client;
use super::fault::Faults;
use super::wire::{Reply, Request};

/// A connection, unique for the life of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionId(u64);

/// The network.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: LoopbackConfig,
    clients: BTreeMap<ConnectionId, Client>,
    nicks: HashMap<String, ConnectionId>,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) faults: Faults,
    next: u64,
    messages: u64,
    now: SystemTime,
}

impl State {
    pub(super) fn new(config: LoopbackConfig) -> Self {
        Self {
            config,
            clients: BTreeMap::new(),
            nicks: HashMap::new(),
            channels: BTreeMap::new(),
            faults: Faults::default(),
            next: 0,
            messages: 0,
            now: UNIX_EPOCH,
        }
    }

    pub(super) fn connect(
        &mut self,
        peer: SocketAddr,
        queue: mpsc::Sender<Vec<u8>>,
        closed: CancellationToken,
    ) -> ConnectionId {
        self.next += 1;
        let id = ConnectionId(self.next);
        self.clients.insert(id, Client::new(peer, queue, closed));
        id
    }

    /// Forgets a connection and tells those who saw it.
    pub(super) fn disconnected(&mut self, id: ConnectionId, reason: &str) {
        let Some(client) = self.clients.get(&id) else { return };
        client.close();
        if client.registered {
            let quit = Reply::new(client.mask(), "QUIT").param(reason);
            self.send_to_acquaintances(id, &quit, false);
        }
        for channel in self.channels.values_mut() {
            channel.members.remove(&id);
        }
        self.channels.retain(|_, channel| !channel.members.is_empty());
        if let Some(nick) = self.clients.remove(&id).and_then(|client| client.nick) {
            self.nicks.remove(&self.fold(&nick));
        }
    }

    /// Handles a line; the answers to a labelled one are collected and labelled.
    pub(super) fn handle(&mut self, id: ConnectionId, request: &Request, now: SystemTime) {
        self.now = now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let label = request.label.clone().filter(|_| client.has("labeled-response"));
        client.collected = label.as_ref().map(|_| Vec::new());
        self.dispatch(id, request);
        let Some(label) = label else { return };
        let Some(answers) = self.clients.get_mut(&id).and_then(|client| client.collected.take()) else {
            return;
        };
        let server = self.config.name.clone();
        let labelled = |reply: Reply| reply.tag("labeled-response", "label", label.clone());
        match answers.len() {
            0 => self.send(id, &labelled(Reply::new(server, "ACK"))),
            1 => self.send(id, &labelled(answers[0].clone())),
            _ => {
                let batch = self.message_id();
                let open = Reply::new(&server, "BATCH").param(format!("+{batch}")).param("labeled-response");
                self.send(id, &labelled(open));
                for answer in answers {
                    self.send(id, &answer.tag("batch", "batch", batch.clone()));
                }
                self.send(id, &Reply::new(&server, "BATCH").param(format!("-{batch}")));
            }
        }
    }

    /// The connection's client. Only for connections that are known to be there.
    pub(super) fn client(&self, id: ConnectionId) -> &Client {
        self.clients.get(&id).expect("a connection is removed only by `disconnected`, after its last line")
    }

    pub(super) fn client_mut(&mut self, id: ConnectionId) -> &mut Client {
        self.clients
            .get_mut(&id)
            .expect("a connection is removed only by `disconnected`, after its last line")
    }

    pub(super) fn is_connected(&self, id: ConnectionId) -> bool {
        self.clients.contains_key(&id)
    }

    pub(super) fn find(&self, nick: &str) -> Option<ConnectionId> {
        self.nicks.get(&self.fold(nick)).copied()
    }

    /// Takes a nick for a client, giving up the one it had.
    pub(super) fn rename(&mut self, id: ConnectionId, nick: &str) {
        if let Some(old) = self.client(id).nick.clone() {
            self.nicks.remove(&self.fold(&old));
        }
        self.nicks.insert(self.fold(nick), id);
        self.client_mut(id).nick = Some(nick.to_owned());
    }

    /// The form in which names are compared.
    pub(super) fn fold(&self, name: &str) -> String {
        let rfc1459 = self.config.casemapping == "rfc1459";
        let fold = |c: char| match c {
            '[' if rfc1459 => '{',
            ']' if rfc1459 => '}',
            '\\' if rfc1459 => '|',
            '~' if rfc1459 => '^',
            c => c.to_ascii_lowercase(),
        };
        name.chars().map(fold).collect()
    }

    pub(super) fn members(&self, channel: &str) -> Vec<String> {
        let Some(channel) = self.channels.get(&self.fold(channel)) else { return Vec::new() };
        let mut nicks: Vec<_> = channel.members.keys().map(|id| self.client(*id).shown_nick()).collect();
        nicks.sort();
        nicks
    }

    pub(super) fn nicks(&self) -> Vec<String> {
        let registered = self.clients.values().filter(|client| client.registered);
        let mut nicks: Vec<_> = registered.map(Client::shown_nick).collect();
        nicks.sort();
        nicks
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.clients.keys().copied().collect()
    }

    pub(super) fn stalled(&self, id: ConnectionId) -> Option<CancellationToken> {
        self.clients.get(&id)?.stalled.clone()
    }

    /// An identifier for a message or a batch.
    pub(super) fn message_id(&mut self) -> String {
        self.messages += 1;
        format!("m{}", self.messages)
    }

    /// The time as `server-time` writes it, and the identifier of the message.
    pub(super) fn stamped(&mut self, reply: Reply) -> Reply {
        let reply = match self.faults.clock.unwrap_or(self.now).duration_since(UNIX_EPOCH) {
            Ok(since) => reply.tag("server-time", "time", iso8601(since.as_millis())),
            Err(_) => reply,
        };
        let id = self.message_id();
        reply.tag("message-tags", "msgid", id)
    }

    pub(super) fn numeric<P: AsRef<[u8]>>(&mut self, id: ConnectionId, code: u16, params: &[P]) {
        let nick = self.client(id).shown_nick();
        let reply = Reply::new(&self.config.name, format!("{code:03}")).param(nick).params(params);
        self.send(id, &reply);
    }

    /// Sends a line to a client, or keeps it for the labelled answer.
    pub(super) fn send(&mut self, id: ConnectionId, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match &mut client.collected {
            Some(collected) => collected.push(reply.clone()),
            None => client.write(reply.encode(|capability| client.has(capability))),
        }
    }

    pub(super) fn send_to_channel(&mut self, channel: &str, reply: &Reply, except: Option<ConnectionId>) {
        let Some(channel) = self.channels.get(&self.fold(channel)) else { return };
        let members: Vec<_> = channel.members.keys().copied().filter(|id| Some(*id) != except).collect();
        for member in members {
            self.send(member, reply);
        }
    }

    /// Sends to everybody who shares a channel with `id`, and to itself if wanted: once each.
    pub(super) fn send_to_acquaintances(&mut self, id: ConnectionId, reply: &Reply, itself: bool) {
        let mut seen: BTreeSet<ConnectionId> = self
            .channels
            .values()
            .filter(|channel| channel.members.contains_key(&id))
            .flat_map(|channel| channel.members.keys().copied())
            .collect();
        seen.remove(&id);
        if itself {
            seen.insert(id);
        }
        for other in seen {
            self.send(other, reply);
        }
    }
}

/// Milliseconds since 1970 as `2015-01-16T14:01:23.133Z`.
pub(super) fn iso8601(millis: u128) -> String {
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant's civil_from_days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1000 % 60,
        rest % 1000
    )
}
