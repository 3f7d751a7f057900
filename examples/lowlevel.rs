//! An application service without a bridge: it greets whoever joins the room that it makes.

use std::sync::Arc;

use async_trait::async_trait;
use matrix_appservice::{
    Appservice, AppserviceHandler, EventContext, Intents, Namespace, Outcome, Registration, RoomEvent,
};
use matrix_homeserver::Homeserver;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Greets people.
struct Greeter {
    intents: Intents,
}

#[async_trait]
impl AppserviceHandler for Greeter {
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome {
        let joined = event.content::<Value>().is_ok_and(|content| content["membership"] == "join");
        if event.event_type != "m.room.member" || !joined || self.intents.owns(&event.sender) {
            return Outcome::Done;
        }
        let greeting =
            json!({ "msgtype": "m.text", "body": format!("Welcome, {}!", event.sender.localpart()) });
        // The event may come again after a crash; under the same key it is greeted once.
        let sent = self
            .intents
            .bot()
            .send(&event.room_id, "m.room.message", &greeting)
            .key(&*cx.idempotency_key)
            .await;
        match sent {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_retryable() => {
                Outcome::Retry { after: error.retry_after().unwrap_or_default(), reason: error.to_string() }
            }
            Err(error) => Outcome::Reject { reason: error.to_string(), notify: false },
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let registration = Registration::builder("greeter")
        .url(format!("http://{}", listener.local_addr()?))
        .users(Namespace::exclusive("@greeter_.*"))
        .aliases(Namespace::exclusive("#lobby"))
        .build();
    let homeserver = Homeserver::builder("hs.test").registration(registration.clone()).start().await?;
    let appservice = Appservice::builder(registration)
        .homeserver(homeserver.url())
        .server_name(homeserver.server_name())
        .build()?;
    let intents = appservice.intents().clone();
    let stop = CancellationToken::new();
    let greeter = Arc::new(Greeter { intents: intents.clone() });
    let running = tokio::spawn(appservice.run(greeter, listener, stop.clone()));

    let mut lobby = matrix_appservice::intent::CreateRoom::new();
    lobby.room_alias_name = Some("lobby".to_owned());
    lobby.preset = Some(ruma::api::client::room::create_room::v3::RoomPreset::PublicChat);
    intents.bot().create_room(lobby).await?;
    let alice = homeserver.user("alice").await?;
    let room = alice.join("#lobby:hs.test").await?;
    alice.wait_for_text(room.as_str(), "Welcome, alice!").await?;

    stop.cancel();
    running.await??;
    homeserver.shutdown().await;
    Ok(())
}
