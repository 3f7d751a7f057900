//! A server that lets clients in and then sends whatever bytes it is told to, which no real server would.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Line;
use crate::deadline::observe;

/// Every connection in the channels it joined, by what writes to it.
type Members = Arc<Mutex<Vec<(String, mpsc::UnboundedSender<Vec<u8>>)>>>;

/// A running hostile server.
#[derive(Debug)]
pub struct HostileServer {
    /// Where clients connect.
    pub address: SocketAddr,
    members: Members,
    server: JoinHandle<()>,
}

impl HostileServer {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port can be bound");
        let address = listener.local_addr().expect("a bound listener has an address");
        let members = Members::default();
        let known = Arc::clone(&members);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(welcome(stream, Arc::clone(&known)));
            }
        });
        Self { address, members, server }
    }

    /// Waits until this many connections have joined a channel.
    pub async fn until_joined(&self, connections: usize) {
        observe(&format!("{connections} connections have joined"), || async {
            (self.members.lock().len() >= connections).then_some(())
        })
        .await;
    }

    /// Sends bytes to everybody who joined.
    pub fn send(&self, bytes: &[u8]) {
        for (_, member) in self.members.lock().iter() {
            // One that is gone hears nothing.
            let _ = member.send(bytes.to_vec());
        }
    }

    /// Sends a line as `evil` says it.
    pub fn say(&self, channel: &str, text: &[u8]) {
        let mut line = format!(":evil!evil@hostile PRIVMSG {channel} :").into_bytes();
        line.extend_from_slice(text);
        line.extend_from_slice(b"\r\n");
        self.send(&line);
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn welcome(stream: TcpStream, members: Members) {
    let (reader, writer) = stream.into_split();
    let (queue, outgoing) = mpsc::unbounded_channel();
    tokio::spawn(write(writer, outgoing));
    let (mut reader, mut bytes, mut nick) = (BufReader::new(reader), Vec::new(), String::from("*"));
    while matches!(reader.read_until(b'\n', &mut bytes).await, Ok(1..)) {
        let line = Line::parse(&bytes);
        bytes.clear();
        if line.command == "NICK" {
            line.parameter(0).clone_into(&mut nick);
        }
        if line.command == "JOIN" {
            members.lock().push((nick.clone(), queue.clone()));
        }
        for answer in answers(&line, &nick) {
            let _ = queue.send(format!("{answer}\r\n").into_bytes());
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = outgoing.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// As little of IRC as a client needs to believe that it is connected.
fn answers(line: &Line, nick: &str) -> Vec<String> {
    let first = line.parameter(0);
    match line.command.as_str() {
        "CAP" if first == "LS" => vec![":hostile CAP * LS :".to_owned()],
        "CAP" if first == "REQ" => vec![format!(":hostile CAP * NAK :{}", line.parameter(1))],
        "USER" => vec![
            format!(":hostile 001 {nick} :Welcome"),
            format!(
                ":hostile 005 {nick} CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 PREFIX=(ov)@+ :are supported"
            ),
            format!(":hostile 376 {nick} :End"),
        ],
        "PING" => vec![format!(":hostile PONG hostile :{first}")],
        "JOIN" => vec![
            format!(":{nick}!u@h JOIN {first}"),
            format!(":hostile 353 {nick} = {first} :{nick} evil"),
            format!(":hostile 366 {nick} {first} :End"),
        ],
        "MODE" => vec![format!(":hostile 324 {nick} {first} +nt")],
        "WHO" => vec![format!(":hostile 315 {nick} {first} :End")],
        "WHOIS" => vec![format!(":hostile 318 {nick} {first} :End")],
        _ => Vec::new(),
    }
}
