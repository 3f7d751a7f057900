//! A complete bridge to a made-up network where everybody hears an echo of what he says. The scene: Alice joins a
//! room that does not exist until she asks for it, says something, and hears it from a ghost.

use async_trait::async_trait;
use matrix_appservice::{Namespace, Registration, bridge::prelude::*};
use matrix_homeserver::Homeserver;
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

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let registration = Registration::builder("echo")
        .url(format!("http://{}", listener.local_addr()?))
        .users(Namespace::exclusive("@echo_.*"))
        .aliases(Namespace::exclusive("#echo_.*"))
        .build();
    let homeserver = Homeserver::builder("hs.test").registration(registration.clone()).start().await?;
    let bridge = Bridge::<EchoNetwork>::builder(registration, ())
        .homeserver(homeserver.url(), homeserver.server_name());
    let stop = CancellationToken::new();
    let running = tokio::spawn(bridge.build()?.run(listener, stop.clone()));

    let alice = homeserver.user("alice").await?;
    let room = alice.join("#echo_cave:hs.test").await?;
    alice.send_text(&room, "hello").await?;
    let heard = alice.wait_for(|event| event["content"]["body"] == "<alice> hello!").await?;
    assert_eq!(heard["sender"], "@echo_echo:hs.test");

    stop.cancel();
    running.await??;
    homeserver.shutdown().await;
    Ok(())
}
