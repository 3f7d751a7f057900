//! The fault dial as a torture kit. The bridge is a small one: everybody hears an echo of what he says. The scene: Alice
//! talks while answers are lost, connections break, the homeserver is slow and says 502, and transactions come twice.
//! She hears every echo once.

use std::time::Duration;

use async_trait::async_trait;
use matrix_appservice::{Namespace, Registration, bridge::prelude::*};
use matrix_homeserver::{
    Homeserver,
    fault::{Fault, FaultDial, FaultRule},
    testing::TestUser,
};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

struct EchoNetwork;

#[async_trait]
impl Network for EchoNetwork {
    type Config = ();
    type Login = Cave;

    fn describe((): &()) -> NetworkInfo {
        NetworkInfo::new("echo", "Echo").with_relay()
    }
    async fn start(_: BridgeContext, (): ()) -> Result<Self, NetworkError> {
        Ok(Self)
    }
    async fn open(&self, _: LoginRecord) -> Result<Cave, NetworkError> {
        Ok(Cave::default())
    }
    async fn own_logins(&self) -> Vec<LoginRecord> {
        vec![LoginRecord::own("listener")]
    }
}

/// The bridge's only connection to the network.
#[derive(Default)]
struct Cave(OnceCell<RemoteSink>);

#[async_trait]
impl Login for Cave {
    async fn connect(&self, sink: RemoteSink) -> Result<(), NetworkError> {
        self.0.set(sink).map_err(|_| NetworkError::refused("connected already"))
    }
    async fn disconnect(&self) {}
    async fn send(&self, message: OutgoingMessage) -> Sent {
        let Some(sink) = self.0.get() else { return NetworkError::unavailable("not connected").into() };
        // The same message has the same key when it comes again, and so its echo is the same echo.
        let (id, echo) = (format!("echo of {}", message.key), format!("{}!", message.body()));
        match sink.push(RemoteEvent::text(message.portal, "echo", id, echo)).await {
            Ok(()) => Sent::acked(message.key.as_str()),
            Err(error) => NetworkError::unavailable(error.to_string()).into(),
        }
    }
    async fn chat_info(&self, portal: &PortalKey) -> Result<ChatInfo, NetworkError> {
        Ok(ChatInfo::channel(portal.id.as_str()))
    }
}

/// Whatever a client or a bridge sends into a room.
const SEND: &str = "PUT /_matrix/client/v3/rooms/*/send/*";

/// Everything that goes wrong, in the order in which the dial is turned.
fn torments() -> Vec<FaultRule> {
    let status = |status| Fault::Status { status, retry_after_ms: None };
    let slow_down = Fault::Status { status: 429, retry_after_ms: Some(10) };
    vec![
        // The event is there, but whoever sent it does not learn of it.
        FaultRule::route(SEND, Fault::LoseAcknowledgement).after(1).times(4),
        FaultRule::route(SEND, Fault::CutConnection).after(4).times(3),
        FaultRule::route(SEND, status(502)).after(8).times(3),
        FaultRule::route(SEND, slow_down).after(12).times(3),
        FaultRule::route("* /_matrix/client/*", Fault::Delay { delay_ms: 5 }).times(40),
        // The bridge has accepted a transaction, but the homeserver does not learn of it.
        FaultRule::appservice("echo", Fault::LoseAcknowledgement).times(3),
        FaultRule::appservice("echo", Fault::RepeatTransaction).times(3),
        FaultRule::appservice("echo", Fault::CutConnection).after(2).times(2),
        FaultRule::appservice("echo", status(500)).after(5).times(2),
    ]
}

/// Turns the dial all the way.
fn torture(dial: &FaultDial) -> anyhow::Result<()> {
    for torment in torments() {
        dial.turn(torment)?;
    }
    Ok(())
}

/// Says it until the homeserver has confirmed it; under the same transaction ID it is one event.
async fn insist(alice: &TestUser, room: &str, word: &str) {
    let content = json!({"msgtype": "m.text", "body": word});
    while alice.send_event_as(room, "m.room.message", word, content.clone()).await.is_err() {}
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let registration = Registration::builder("echo")
        .url(format!("http://{}", listener.local_addr()?))
        .users(Namespace::exclusive("@echo_.*"))
        .aliases(Namespace::exclusive("#echo_.*"))
        .build();
    let homeserver = Homeserver::builder("hs.test")
        .registration(registration.clone())
        .appservice_backoff(Duration::from_millis(20))
        .start()
        .await?;
    let bridge = Bridge::<EchoNetwork>::builder(registration, ())
        .homeserver(homeserver.url(), homeserver.server_name());
    let stop = CancellationToken::new();
    let running = tokio::spawn(bridge.build()?.run(listener, stop.clone()));

    let alice = homeserver.user("alice").await?.with_deadline(Duration::from_mins(1));
    let room = alice.join("#echo_cave:hs.test").await?.to_string();
    torture(homeserver.faults())?;
    let mut words = Vec::new();
    while words.len() < 12 || homeserver.faults().rules().iter().any(|(_, _, hits)| *hits == 0) {
        assert!(words.len() < 200, "some torment never came: {:?}", homeserver.faults().rules());
        let word = format!("word {}", words.len());
        insist(&alice, &room, &word).await;
        alice.wait_for_text(&*room, &format!("<alice> {word}!")).await?;
        words.push(word);
    }
    // What was told twice would come before this, too.
    homeserver.faults().clear();
    insist(&alice, &room, "the end").await;
    alice.wait_for_text(&*room, "<alice> the end!").await?;
    let heard = alice.messages(&room, 1000).await?;
    for word in &words {
        for (sender, body) in
            [("@alice:hs.test", word.clone()), ("@echo_echo:hs.test", format!("<alice> {word}!"))]
        {
            let times = heard
                .iter()
                .filter(|event| event["sender"] == sender && event["content"]["body"] == body.as_str());
            assert_eq!(times.count(), 1, "{sender} said {body:?}");
        }
    }

    stop.cancel();
    running.await??;
    homeserver.shutdown().await;
    Ok(())
}
