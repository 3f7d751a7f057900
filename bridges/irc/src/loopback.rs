//! A small IRC network in this process: a real server on a TCP port, for the demo and for scripted tests.
//!
//! It speaks what clients meet on today's networks: registration with capability negotiation, `message-tags`,
//! `server-time`, `echo-message`, `labeled-response`, `msgid`, `batch`, channels with modes and ranks, `WHO`,
//! `WHOIS`, SASL PLAIN. Like the real ones it cuts what it relays at 512 bytes, even within a character. It has
//! no services, no operators and no links to other servers; a split is staged ([`Loopback::split`]).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod capability;
mod channel;
mod client;
mod command;
mod fault;
mod state;
mod test_client;
mod wire;

#[cfg(test)]
mod tests;

pub use self::test_client::{IrcLine, TestClient};

use self::state::{ConnectionId, State};
use self::wire::Request;

/// Longest line that is read from a client, tags included.
const MAX_LINE: u64 = 8192 + 512;
/// Lines that may wait for a slow reader before it is thrown off ("SendQ exceeded").
const SEND_QUEUE: usize = 8192;

/// What a network is like. Every field has a default.
#[derive(Debug, Clone)]
pub struct LoopbackConfig {
    /// Name of the server and the network.
    pub name: String,
    /// Address to listen on.
    pub listen: String,
    /// The `CASEMAPPING` that is announced and applied: `ascii` or `rfc1459`.
    pub casemapping: String,
    /// The longest nick. A longer one is refused with 432 while registering, as InspIRCd does.
    pub nick_length: usize,
    /// The capabilities on offer. Empty: a network from before capabilities, which answers `CAP` with 421.
    pub capabilities: Vec<String>,
    /// Password that every client must send with `PASS`.
    pub password: Option<String>,
    /// Accounts with their passwords, for SASL PLAIN.
    pub accounts: HashMap<String, String>,
}

impl Default for LoopbackConfig {
    fn default() -> Self {
        Self {
            name: "irc.loopback.test".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            casemapping: "rfc1459".to_owned(),
            nick_length: 30,
            capabilities: capability::ALL.iter().map(|name| (*name).to_owned()).collect(),
            password: None,
            accounts: HashMap::new(),
        }
    }
}

impl LoopbackConfig {
    /// A network from before capabilities, like ngIRCd: no tags, no times, no echoes.
    pub fn legacy() -> Self {
        Self { capabilities: Vec::new(), casemapping: "ascii".to_owned(), ..Self::default() }
    }
}

/// A running network. Dropping it stops it.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    shutdown: CancellationToken,
}

impl Loopback {
    /// Starts a network with the defaults on a free port of the loopback interface.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_with(LoopbackConfig::default()).await
    }

    /// Starts a network.
    pub async fn start_with(config: LoopbackConfig) -> std::io::Result<Self> {
        let listener = TcpListener::bind(&config.listen).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new(config)), shutdown: CancellationToken::new() });
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, Arc::clone(&shared), tasks.clone()));
        Ok(Self { address, shared, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects a client with this nick and waits until it is registered.
    pub async fn client(&self, nick: &str) -> TestClient {
        TestClient::connect(self.address, nick).await
    }

    /// The nicks in a channel, in alphabetical order.
    pub fn members(&self, channel: &str) -> Vec<String> {
        self.shared.state.lock().members(channel)
    }

    /// The nicks of all registered clients, in alphabetical order.
    pub fn nicks(&self) -> Vec<String> {
        self.shared.state.lock().nicks()
    }

    /// Closes all connections and stops listening.
    pub async fn shutdown(self) {
        self.shared.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else { continue };
        if shared.state.lock().faults.refuse {
            continue;
        }
        let _ = stream.set_nodelay(true);
        tasks.spawn(serve(stream, peer, Arc::clone(&shared)));
    }
}

/// Serves one client until either side closes.
async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let (reader, mut writer) = stream.into_split();
    let (sender, mut queue) = mpsc::channel::<Vec<u8>>(SEND_QUEUE);
    let closed = shared.shutdown.child_token();
    let id = shared.state.lock().connect(peer, sender, closed.clone());

    let write = async {
        while let Some(line) = queue.recv().await {
            let mut batch = line;
            while let Ok(next) = queue.try_recv() {
                batch.extend_from_slice(&next);
            }
            if writer.write_all(&batch).await.is_err() {
                break;
            }
        }
    };
    let read = read(BufReader::new(reader), id, &shared);
    tokio::select! {
        () = write => {}
        () = read => {}
        () = closed.cancelled() => {}
    }
    shared.state.lock().disconnected(id, "Connection closed");
    queue.close();
    while let Ok(line) = queue.try_recv() {
        if writer.write_all(&line).await.is_err() {
            break;
        }
    }
    let _ = writer.shutdown().await;
}

async fn read(mut reader: BufReader<tokio::net::tcp::OwnedReadHalf>, id: ConnectionId, shared: &Shared) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(MAX_LINE);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let stalled = shared.state.lock().stalled(id);
        if let Some(stalled) = stalled {
            stalled.cancelled().await;
        }
        let Some(request) = Request::parse(&line) else { continue };
        shared.state.lock().handle(id, &request, SystemTime::now());
    }
}
