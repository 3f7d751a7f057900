//! Finding people, proving who one is, and not hearing of those whom one ignores.

use matrix_homeserver::{SupportContact, TurnServer, testing::TestUser};
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn found(user: &TestUser, term: &str) -> Vec<String> {
    let path = format!("{V3}/user_directory/search");
    let answer = user.post(&path, json!({"search_term": term})).await.unwrap();
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|user| user["user_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn people_are_found_by_those_who_share_a_room_or_could_see_them_in_public() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let carol = server.hs.user("carol").await.unwrap();
    assert_eq!(found(&alice, "bob").await, [""; 0]);
    let private =
        bob.create_room(json!({"preset": "private_chat", "invite": ["@alice:hs.test"]})).await.unwrap();
    assert_eq!(found(&alice, "bob").await, [""; 0]);
    alice.join(&private).await.unwrap();
    assert_eq!(found(&alice, "bob").await, ["@bob:hs.test"]);
    assert_eq!(found(&carol, "bob").await, [""; 0]);
    bob.create_room(json!({"preset": "public_chat"})).await.unwrap();
    assert_eq!(found(&carol, "BOB").await, ["@bob:hs.test"]);
    bob.put(&format!("{V3}/profile/@bob:hs.test/displayname"), json!({"displayname": "Robert Tables"}))
        .await
        .unwrap();
    assert_eq!(found(&carol, "tab rob").await, ["@bob:hs.test"]);
    assert_eq!(found(&carol, "carol").await, [""; 0], "nobody searches for himself");
    let path = format!("{V3}/user_directory/search");
    let whole = carol.post(&path, json!({"search_term": "bob"})).await.unwrap();
    assert_eq!(whole["results"][0]["display_name"], "Robert Tables");
    server.post(&path, carol.access_token(), json!({})).await.refused(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn the_best_come_first_and_no_more_than_wanted() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    for name in ["xannax", "anna.b", "anna", "bananna"] {
        server.hs.user(name).await.unwrap().join(&room).await.unwrap();
    }
    assert_eq!(
        found(&alice, "anna").await,
        ["@anna:hs.test", "@anna.b:hs.test", "@bananna:hs.test", "@xannax:hs.test"]
    );
    let body = json!({"search_term": "anna", "limit": 2});
    let answer = alice.post(&format!("{V3}/user_directory/search"), body).await.unwrap();
    assert_eq!((answer["results"].as_array().unwrap().len(), &answer["limited"]), (2, &json!(true)));
}

#[tokio::test]
async fn an_openid_token_says_who_somebody_is_and_nothing_more() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let path = format!("{V3}/user/@alice:hs.test/openid/request_token");
    let token = alice.post(&path, json!({})).await.unwrap();
    assert_eq!((&token["token_type"], &token["matrix_server_name"]), (&json!("Bearer"), &json!("hs.test")));
    assert_eq!(token["expires_in"], 3600);
    let token = token["access_token"].as_str().unwrap();
    let userinfo = "/_matrix/federation/v1/openid/userinfo";
    let told = server.get(&format!("{userinfo}?access_token={token}"), "").await.ok();
    assert_eq!(told, json!({"sub": "@alice:hs.test"}));
    server.get(&format!("{V3}/account/whoami"), token).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&format!("{userinfo}?access_token=guess"), "").await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(userinfo, "").await.refused(401, "M_MISSING_TOKEN");
    let other = format!("{V3}/user/@bob:hs.test/openid/request_token");
    server.post(&other, alice.access_token(), json!({})).await.refused(403, "M_FORBIDDEN");
}

async fn sync(user: &TestUser) -> Value {
    user.get(&format!("{V3}/sync")).await.unwrap()
}

#[tokio::test]
async fn nothing_is_heard_of_those_who_are_ignored() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let ignored = format!("{V3}/user/@alice:hs.test/account_data/m.ignored_user_list");
    alice.put(&ignored, json!({"ignored_users": {"@bob:hs.test": {}}})).await.unwrap();
    let unread = |synced: &Value| {
        synced["rooms"]["join"][room.as_str()]["unread_notifications"]["notification_count"].clone()
    };
    let before = unread(&sync(&alice).await);
    let event = bob.send_text(&room, "psst").await.unwrap();
    bob.put(&format!("{V3}/rooms/{room}/typing/@bob:hs.test"), json!({"typing": true})).await.unwrap();
    bob.post(&format!("{V3}/rooms/{room}/receipt/m.read/{event}"), json!({})).await.unwrap();
    bob.create_room(json!({"invite": ["@alice:hs.test"]})).await.unwrap();
    let synced = sync(&alice).await;
    let joined = &synced["rooms"]["join"][room.as_str()];
    let timeline = joined["timeline"]["events"].as_array().unwrap();
    assert!(!timeline.iter().any(|event| event["content"]["body"] == "psst"), "{timeline:?}");
    let ephemeral = joined["ephemeral"].to_string();
    assert!(!ephemeral.contains("@bob:hs.test"), "{ephemeral}");
    assert_eq!(unread(&synced), before);
    assert!(synced["rooms"].get("invite").is_none_or(|invite| invite.as_object().unwrap().is_empty()));
    let notified = alice.get(&format!("{V3}/notifications")).await.unwrap();
    assert!(!notified.to_string().contains("psst"));
    alice.put(&ignored, json!({"ignored_users": {}})).await.unwrap();
    let synced = sync(&alice).await;
    assert!(synced.to_string().contains("psst"));
    assert_eq!(synced["rooms"]["invite"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn the_server_says_where_it_is_and_whom_to_turn_to() {
    let server = Server::with(|builder| {
        let contact = SupportContact {
            role: "m.role.admin".into(),
            matrix_id: Some("@root:hs.test".into()),
            email_address: None,
        };
        builder
            .support_contact(contact)
            .support_page("https://hs.test/help")
            .turn_server(TurnServer::new(["turn:turn.test"], "relay secret"))
    })
    .await;
    let support = server.get("/.well-known/matrix/support", "").await.ok();
    assert_eq!(
        support,
        json!({"contacts": [{"role": "m.role.admin", "matrix_id": "@root:hs.test"}], "support_page": "https://hs.test/help"})
    );
    let client = server.get("/.well-known/matrix/client", "").await.ok();
    assert_eq!(client["m.homeserver"]["base_url"], server.hs.url());
    let address = server.get("/.well-known/matrix/server", "").await.ok();
    assert_eq!(format!("http://{}", address["m.server"].as_str().unwrap()), server.hs.url());
    let alice = server.hs.user("alice").await.unwrap();
    let turn = alice.get(&format!("{V3}/voip/turnServer")).await.unwrap();
    assert_eq!((&turn["uris"], &turn["ttl"]), (&json!(["turn:turn.test"]), &json!(86_400)));
    assert!(turn["username"].as_str().unwrap().ends_with(":@alice:hs.test"));
    let silent = Server::start().await;
    silent.get("/.well-known/matrix/support", "").await.refused(404, "M_NOT_FOUND");
}
