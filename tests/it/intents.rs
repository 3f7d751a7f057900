//! The outbound half against real homeservers: what is sent again under the same key is the same event, also when the
//! homeserver has been restarted in between.

use matrix_appservice::intent::CreateRoom;
use matrix_appservice::{Client, Intents, Namespace, NamespaceSet, Registration, Store};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedRoomId, UserId};
use serde_json::json;
use tempfile::NamedTempFile;
use tests::programs::HomeserverProcess;
use tests::require;
use tests::servers::Synapse;

fn registration() -> (Registration, NamedTempFile) {
    let registration = Registration::builder("intents")
        .sender_localpart("intents_bot")
        .users(Namespace::exclusive("@it_.*"))
        .aliases(Namespace::exclusive("#it_.*"))
        .device_management()
        .build();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), registration.to_yaml()).unwrap();
    (registration, file)
}

fn intents(url: &str, registration: &Registration, store: &Store) -> Intents {
    let client = Client::new(url, registration.as_token.clone()).unwrap();
    let bot = format!("@{}:{}", registration.sender_localpart, tests::SERVER_NAME);
    let set = NamespaceSet::new(&registration.namespaces).unwrap();
    Intents::new(client, store.clone(), UserId::parse(bot).unwrap(), set)
}

/// What a bridge does first: a private room under an alias, a ghost in it, a message from the past.
async fn first_conversation(intents: &Intents) -> (OwnedRoomId, String) {
    let create = || {
        let mut request = CreateRoom::new();
        request.room_alias_name = Some("it_#rust".to_owned());
        request.name = Some("#rust".to_owned());
        request
    };
    let room = intents.bot().create_room(create()).await.unwrap();
    let again = intents.bot().create_room(create()).await.unwrap();
    assert_eq!(room, again, "the alias leads back to the room");

    let bob = intents.of_localpart("it_bob").unwrap();
    bob.set_display_name(Some("Bob")).await.unwrap();
    let past = MilliSecondsSinceUnixEpoch(1_421_416_883_133_u64.try_into().unwrap());
    let hello = json!({"msgtype": "m.text", "body": "hello?"});
    let event_id = bob.send(&room, "m.room.message", &hello).at(past).key("hello").await.unwrap();
    let event = intents.bot().event(&room, &event_id).await.unwrap().unwrap();
    assert_eq!(event["sender"], bob.user_id().as_str());
    assert_eq!(event["origin_server_ts"], 1_421_416_883_133_u64);
    assert_eq!(event["content"], hello);

    let topic = json!({"topic": "Rust"});
    intents.bot().send_state(&room, "m.room.topic", "", &topic).await.unwrap();
    assert_eq!(intents.bot().state(&room, "m.room.topic", "").await.unwrap().unwrap()["topic"], "Rust");
    assert_eq!(intents.bot().state(&room, "m.room.avatar", "").await.unwrap(), None);
    bob.typing(&room, Some(std::time::Duration::from_secs(5))).await.unwrap();
    bob.read(&room, &event_id).await.unwrap();
    let profile = intents.bot().profile(bob.user_id()).await.unwrap().unwrap();
    assert_eq!(profile.display_name.as_deref(), Some("Bob"));
    assert_eq!(intents.bot().joined_members(&room).await.unwrap().len(), 2);
    (room, event_id.to_string())
}

/// Says the same again, as a bridge does that died before it noted the answer.
async fn say_again(intents: &Intents, room: &OwnedRoomId) -> String {
    let bob = intents.of_localpart("it_bob").unwrap();
    let hello = json!({"msgtype": "m.text", "body": "hello?"});
    bob.send(room, "m.room.message", &hello).key("hello").await.unwrap().to_string()
}

#[tokio::test]
async fn a_repeated_send_is_one_event_on_our_homeserver_even_if_that_was_killed() {
    let (registration, file) = registration();
    let mut homeserver = HomeserverProcess::start(&[file.path()]).await;
    let store = Store::temporary().unwrap();
    let (room, first) = first_conversation(&intents(&homeserver.url(), &registration, &store)).await;
    assert_eq!(say_again(&intents(&homeserver.url(), &registration, &store), &room).await, first);
    homeserver.kill_and_restart().await;
    assert_eq!(say_again(&intents(&homeserver.url(), &registration, &store), &room).await, first);
}

#[tokio::test]
async fn a_repeated_send_is_one_event_on_synapse_even_if_that_was_restarted() {
    let (registration, file) = registration();
    let mut synapse = require!(Synapse::start(&[file.path()]).await);
    let store = Store::temporary().unwrap();
    let (room, first) = first_conversation(&intents(&synapse.url(), &registration, &store)).await;
    assert_eq!(say_again(&intents(&synapse.url(), &registration, &store), &room).await, first);
    synapse.restart().await;
    assert_eq!(say_again(&intents(&synapse.url(), &registration, &store), &room).await, first);
}
