//! The partner in the conversation that every client has.
//!
//! Each side waits for what the other has done before it goes on, so both see everything:
//!
//! | client | partner |
//! |---|---|
//! | makes a room with name and topic, invites | sees both in the invitation, joins |
//! | `hello, partner` | receipt, typing |
//! | typing | `hello, client` |
//! | stops typing, receipt, reacts 👍, edits to `hello again, partner` | reacts 🎉, edits to `hello again, client`, a file |
//! | reads the file; a file, `a slip` | reads the file; `my slip` |
//! | redacts its slip | redacts its slip |
//! | `goodbye`, leaves | looks at what is left |

use matrix_homeserver::testing::{TestUser, encode};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use super::media;

const FROM_THE_CLIENT: &[u8] = b"from the client\n";
const FROM_THE_PARTNER: &[u8] = b"from the partner\n";

/// When the doorman of a bridge says welcome.
const LONG_AGO: u64 = 1_421_416_883_000;

/// A user of our own, with the part that the clients' programs expect of it.
pub(super) struct Partner {
    user: TestUser,
}

/// A room with a client in it.
struct Conversation<'a> {
    user: &'a TestUser,
    room: OwnedRoomId,
    client: OwnedUserId,
}

impl Partner {
    pub(super) fn new(user: TestUser) -> Self {
        Self { user }
    }

    /// Plays the partner's part once, from the invitation to the client's leaving.
    pub(super) async fn converse(&self) {
        let conversation = Conversation::begin(&self.user).await;
        let (hello, said) = conversation.greet().await;
        conversation.annotate_and_edit(&hello, &said).await;
        conversation.exchange_files().await;
        conversation.slip().await;
        conversation.part(&hello).await;
    }

    /// Makes a bridge provide what did not exist: a room, by its alias, and a ghost, by an invitation.
    pub(super) async fn visit(&self) {
        let user = &self.user;
        let server = user.user_id().server_name();
        let lobby = user.join(format!("#bridge_lobby:{server}")).await.unwrap();
        assert_eq!(user.state(&lobby, "m.room.name", "").await.unwrap().unwrap()["name"], "The lobby");
        user.send_text(&lobby, "is anybody here?").await.unwrap();
        let welcome = user.wait_for_text(&lobby, &format!("welcome, {}", user.user_id())).await.unwrap();
        assert_eq!(welcome["sender"], format!("@bridge_doorman:{server}"));
        assert_eq!(welcome["origin_server_ts"], LONG_AGO);

        let called = format!("@bridge_called:{server}");
        let room = user.create_room(json!({"preset": "private_chat", "is_direct": true})).await.unwrap();
        user.invite(&room, &called).await.unwrap();
        let answer = user.wait_for_text(&room, "you called?").await.unwrap();
        assert_eq!(answer["sender"], called);
        assert_eq!(answer["content"]["msgtype"], "m.notice");
        let profile = user.get(&format!("/_matrix/client/v3/profile/{}", encode(&called))).await.unwrap();
        assert_eq!(profile["displayname"], "Called");
        user.send_text(&room, "that is all").await.unwrap();
        user.wait_for_membership(&room, &called, "leave").await.unwrap();
    }
}

impl<'a> Conversation<'a> {
    async fn begin(user: &'a TestUser) -> Self {
        let me = user.user_id().as_str();
        let invitation = user
            .wait_for_described("an invitation", |event| {
                event["type"] == "m.room.member"
                    && event["state_key"] == me
                    && event["content"]["membership"] == "invite"
            })
            .await
            .unwrap();
        let room = invitation["room_id"].as_str().unwrap();
        user.wait_for_described("the room's name in the invitation", |event| {
            event["type"] == "m.room.name"
                && event["room_id"] == room
                && event["content"]["name"] == "A conversation"
        })
        .await
        .unwrap();
        let client = invitation["sender"].as_str().unwrap().try_into().unwrap();
        let room = user.join(room).await.unwrap();
        let topic = user.state(&room, "m.room.topic", "").await.unwrap().unwrap();
        assert_eq!(topic["topic"], "What clients do");
        Self { user, room, client }
    }

    async fn greet(&self) -> (OwnedEventId, OwnedEventId) {
        let hello = id(&self.text("hello, partner").await);
        self.user
            .post(&self.path(&format!("receipt/m.read/{}", encode(hello.as_str()))), json!({}))
            .await
            .unwrap();
        self.typing(true).await;
        self.wait_for("the client typing", |event| {
            event["type"] == "m.typing"
                && event["content"]["user_ids"].as_array().unwrap().contains(&json!(self.client))
        })
        .await;
        let said = self.user.send_text(&self.room, "hello, client").await.unwrap();
        self.typing(false).await;
        (hello, said)
    }

    async fn annotate_and_edit(&self, hello: &OwnedEventId, said: &OwnedEventId) {
        let client = self.client.as_str();
        self.wait_for("the client's receipt", |event| {
            event["type"] == "m.receipt" && event["content"][said.as_str()]["m.read"][client].is_object()
        })
        .await;
        let reaction = self.wait_for("the client's reaction", |event| event["type"] == "m.reaction").await;
        let relation = json!({"rel_type": "m.annotation", "event_id": said, "key": "👍"});
        assert_eq!(reaction["content"]["m.relates_to"], relation);
        let edit = self
            .wait_for("the client's edit", |event| {
                event["content"]["m.new_content"]["body"] == "hello again, partner"
            })
            .await;
        assert_eq!(edit["content"]["m.relates_to"]["rel_type"], "m.replace");
        assert_eq!(edit["content"]["m.relates_to"]["event_id"], hello.as_str());

        let relation = json!({"rel_type": "m.annotation", "event_id": hello, "key": "🎉"});
        self.user.send_event(&self.room, "m.reaction", json!({"m.relates_to": relation})).await.unwrap();
        let content = json!({
            "msgtype": "m.text", "body": "* hello again, client",
            "m.new_content": {"msgtype": "m.text", "body": "hello again, client"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": said},
        });
        self.user.send_event(&self.room, "m.room.message", content).await.unwrap();
    }

    async fn exchange_files(&self) {
        let uri = media::upload(self.user, "partner.txt", "text/plain", FROM_THE_PARTNER).await;
        let content = json!({"msgtype": "m.file", "body": "partner.txt", "url": uri, "info": {"mimetype": "text/plain"}});
        self.user.send_event(&self.room, "m.room.message", content).await.unwrap();
        let client = self.client.as_str();
        let file = self
            .wait_for("the client's file", |event| {
                event["content"]["msgtype"] == "m.file" && event["sender"] == client
            })
            .await;
        let bytes = media::download(self.user, file["content"]["url"].as_str().unwrap()).await;
        assert_eq!(bytes, FROM_THE_CLIENT);
    }

    async fn slip(&self) {
        let slip = id(&self.text("a slip").await);
        let own = self.user.send_text(&self.room, "my slip").await.unwrap();
        self.wait_for("the redaction of the slip", |event| event["content"]["reason"] == "it slipped").await;
        let pruned = self.event(&slip).await;
        assert_eq!(pruned["content"], json!({}), "a redacted message has no content");
        assert_eq!(pruned["unsigned"]["redacted_because"]["sender"], self.client.as_str());
        self.user.redact(&self.room, &own, "it slipped too").await.unwrap();
    }

    async fn part(&self, hello: &OwnedEventId) {
        self.text("goodbye").await;
        self.user.wait_for_membership(&self.room, &self.client, "leave").await.unwrap();
        assert_eq!(self.user.joined_members(&self.room).await.unwrap(), [self.user.user_id().as_str()]);
        let edited = self.event(hello).await;
        let replacement = &edited["unsigned"]["m.relations"]["m.replace"];
        assert_eq!(replacement["content"]["m.new_content"]["body"], "hello again, partner", "{edited}");
    }

    async fn typing(&self, typing: bool) {
        let body = if typing { json!({"typing": true, "timeout": 20_000}) } else { json!({"typing": false}) };
        let path = self.path(&format!("typing/{}", encode(self.user.user_id().as_str())));
        self.user.put(&path, body).await.unwrap();
    }

    async fn text(&self, body: &str) -> Value {
        let event = self.user.wait_for_text(&self.room, body).await.unwrap();
        assert_eq!(event["sender"], self.client.as_str());
        event
    }

    async fn event(&self, event: &OwnedEventId) -> Value {
        self.user.get(&self.path(&format!("event/{}", encode(event.as_str())))).await.unwrap()
    }

    async fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let here = |event: &Value| event["room_id"] == self.room.as_str() && wanted(event);
        self.user.wait_for_described(what, here).await.unwrap()
    }

    fn path(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", encode(self.room.as_str()))
    }
}

fn id(event: &Value) -> OwnedEventId {
    event["event_id"].as_str().unwrap().try_into().unwrap()
}
