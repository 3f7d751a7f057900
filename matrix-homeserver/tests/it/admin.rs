//! What administrators may do.

use hmac::{Hmac, KeyInit, Mac};
use matrix_homeserver::testing::{PASSWORD, TestUser};
use reqwest::Method;
use ruma::OwnedUserId;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";
const V1: &str = "/_matrix/client/v1";

/// Makes an administrator by the shared secret, as harnesses do.
pub(crate) async fn admin(server: &Server, name: &str) -> TestUser {
    let path = "/_synapse/admin/v1/register";
    let nonce = server.get(path, "").await.ok()["nonce"].as_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha1>::new_from_slice(b"s3cret").unwrap();
    mac.update([&nonce, name, "pw", "admin"].join("\0").as_bytes());
    let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({"nonce": nonce, "username": name, "password": "pw", "admin": true, "mac": mac});
    let login = server.post(path, "", body).await.ok();
    let user_id: OwnedUserId = login["user_id"].as_str().unwrap().try_into().unwrap();
    TestUser::from_token(server.hs.url(), user_id, login["access_token"].as_str().unwrap())
}

async fn administered() -> Server {
    Server::with(|builder| builder.registration_shared_secret("s3cret")).await
}

#[tokio::test]
async fn only_administrators_lock_and_suspend_and_not_each_other() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    admin(&server, "toor").await;
    server.hs.user("alice").await.unwrap();
    let mallory = server.hs.user("mallory").await.unwrap();
    let path = |verb: &str, who: &str| format!("{V1}/admin/{verb}/@{who}");
    for (verb, body) in [("lock", json!({"locked": true})), ("suspend", json!({"suspended": true}))] {
        for who in ["root:hs.test", "nobody:hs.test"] {
            server
                .put(&path(verb, who), mallory.access_token(), body.clone())
                .await
                .refused(403, "M_FORBIDDEN");
            server.get(&path(verb, who), mallory.access_token()).await.refused(403, "M_FORBIDDEN");
        }
        let token = root.access_token();
        server.put(&path(verb, "toor:hs.test"), token, body.clone()).await.refused(403, "M_FORBIDDEN");
        server.put(&path(verb, "root:hs.test"), token, body.clone()).await.refused(403, "M_FORBIDDEN");
        server.put(&path(verb, "nobody:hs.test"), token, body.clone()).await.refused(404, "M_NOT_FOUND");
        server.put(&path(verb, "alice:else.test"), token, body.clone()).await.refused(400, "M_INVALID_PARAM");
        server.put(&path(verb, "alice:hs.test"), token, json!({})).await.refused(400, "M_MISSING_PARAM");
        assert_eq!(server.put(&path(verb, "alice:hs.test"), token, body.clone()).await.ok(), body);
        assert_eq!(server.get(&path(verb, "alice:hs.test"), token).await.ok(), body);
    }
    let moderation = |user: &TestUser| {
        let user = user.clone();
        async move {
            user.get(&format!("{V3}/capabilities")).await.unwrap()["capabilities"]["m.account_moderation"]
                .clone()
        }
    };
    assert_eq!(moderation(&root).await, json!({"suspend": true, "lock": true}));
    let bob = server.hs.user("bob").await.unwrap();
    assert_eq!(moderation(&bob).await, Value::Null);
}

#[tokio::test]
async fn who_is_locked_can_only_log_out() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path();
        Server::with(move |builder| builder.data_dir(path).registration_shared_secret("s3cret"))
    };
    let server = start().await;
    let (root_token, alice_token) = {
        let root = admin(&server, "root").await;
        let alice = server.hs.user("alice").await.unwrap();
        let lock = format!("{V1}/admin/lock/@alice:hs.test");
        root.put(&lock, json!({"locked": true})).await.unwrap();
        (root.access_token().to_owned(), alice.access_token().to_owned())
    };
    let refused = server.get(&format!("{V3}/account/whoami"), &alice_token).await;
    assert_eq!(refused.body["soft_logout"], true);
    refused.refused(401, "M_USER_LOCKED");
    server.stop().await;
    let server = start().await;
    server.get(&format!("{V3}/sync"), &alice_token).await.refused(401, "M_USER_LOCKED");
    server.put(&format!("{V1}/admin/lock/@alice:hs.test"), &root_token, json!({"locked": false})).await.ok();
    server.get(&format!("{V3}/account/whoami"), &alice_token).await.ok();
    server.put(&format!("{V1}/admin/lock/@alice:hs.test"), &root_token, json!({"locked": true})).await.ok();
    server.post(&format!("{V3}/logout"), &alice_token, json!({})).await.ok();
}

#[tokio::test]
async fn who_is_suspended_reads_and_leaves_and_no_more() {
    let server = Server::with(|builder| builder.registration_shared_secret("s3cret").v2_draft(true)).await;
    let root = admin(&server, "root").await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    let event = alice.send_text(&room, "before").await.unwrap();
    let suspend = format!("{V1}/admin/suspend/@alice:hs.test");
    root.put(&suspend, json!({"suspended": true})).await.unwrap();
    let refused = alice.send_text(&room, "after").await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(403), Some("M_USER_SUSPENDED")));
    for refused in [
        alice.create_room(json!({})).await.unwrap_err(),
        alice.invite(&room, "@root:hs.test").await.unwrap_err(),
        alice.set_state(&room, "m.room.topic", "", json!({"topic": "x"})).await.unwrap_err(),
        alice
            .put(&format!("{V3}/profile/@alice:hs.test/displayname"), json!({"displayname": "A"}))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(refused.errcode(), Some("M_USER_SUSPENDED"));
    }
    let draft = |path: &str| format!("/_matrix/client/v2_alpha{path}");
    for (path, body) in [
        (format!("/rooms/{room}/typing"), json!({"typing": true})),
        ("/presence".to_owned(), json!({"presence": "online"})),
        (format!("/rooms/{room}/state/m.room.topic"), json!({"topic": "x"})),
        (format!("/rooms/{room}/send/m.room.message/1"), json!({"body": "x"})),
    ] {
        server.put(&draft(&path), alice.access_token(), body).await.refused(403, "M_USER_SUSPENDED");
    }
    alice.get(&format!("{V3}/sync")).await.unwrap();
    alice.messages(&room, 5).await.unwrap();
    alice.redact(&room, &event, "mine").await.unwrap();
    alice.leave(&room).await.unwrap();
    TestUser::login(server.hs.url(), "alice", PASSWORD).await.unwrap();
    root.put(&suspend, json!({"suspended": false})).await.unwrap();
    alice.create_room(json!({})).await.unwrap();
}

#[tokio::test]
async fn whois_tells_from_where_devices_were_used() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let path = format!("{V3}/admin/whois/@alice:hs.test");
    let own = alice.get(&path).await.unwrap();
    assert_eq!(own["user_id"], "@alice:hs.test");
    let (_, device) = own["devices"].as_object().unwrap().iter().next().unwrap();
    let connection = &device["sessions"][0]["connections"][0];
    assert_eq!(connection["ip"], "127.0.0.1");
    assert!(connection["last_seen"].as_u64().unwrap() > 0);
    assert_eq!(bob.get(&path).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    root.get(&path).await.unwrap();
    let devices = alice.get(&format!("{V3}/devices")).await.unwrap();
    assert_eq!(devices["devices"][0]["last_seen_ip"], "127.0.0.1");
}

#[tokio::test]
async fn bridges_get_a_token_of_the_users_that_they_puppet() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    let alice = server.hs.user("alice").await.unwrap();
    let path = "/_synapse/admin/v1/users/@alice:hs.test/login";
    server.post(path, alice.access_token(), json!({})).await.refused(403, "M_FORBIDDEN");
    let login = root.post(path, json!({})).await.unwrap();
    let whoami =
        server.get(&format!("{V3}/account/whoami"), login["access_token"].as_str().unwrap()).await.ok();
    assert_eq!(whoami["user_id"], "@alice:hs.test");
}

#[tokio::test]
async fn administrators_make_change_list_and_close_accounts() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    let path = "/_synapse/admin/v2/users/@carol:hs.test";
    let body = json!({"password": "first", "displayname": "Carol"});
    let made = server.put(path, root.access_token(), body).await;
    assert_eq!((made.status, &made.body["displayname"]), (201, &json!("Carol")));
    TestUser::login(server.hs.url(), "carol", "first").await.unwrap();
    let reset = "/_synapse/admin/v1/reset_password/@carol:hs.test";
    root.post(reset, json!({"new_password": "second"})).await.unwrap();
    let carol = TestUser::login(server.hs.url(), "carol", "second").await.unwrap();
    root.put(path, json!({"admin": true})).await.unwrap();
    let own = "/_synapse/admin/v2/users/@root:hs.test";
    server.put(own, root.access_token(), json!({"admin": false})).await.refused(400, "M_UNKNOWN");
    assert_eq!(carol.get(path).await.unwrap()["admin"], true);
    let listed = root.get("/_synapse/admin/v2/users?limit=1").await.unwrap();
    assert_eq!((&listed["total"], &listed["next_token"]), (&json!(2), &json!("1")));
    root.post("/_synapse/admin/v1/deactivate/@carol:hs.test", json!({"erase": true})).await.unwrap();
    TestUser::login(server.hs.url(), "carol", "second").await.unwrap_err();
    let closed = root.get(path).await.unwrap();
    assert_eq!((&closed["deactivated"], &closed["erased"]), (&json!(true), &json!(true)));
    let late = server.post(reset, root.access_token(), json!({"new_password": "third"})).await;
    late.refused(403, "M_USER_DEACTIVATED");
    let stranger = server.hs.user("stranger").await.unwrap();
    for (method, path) in
        [(Method::GET, "/_synapse/admin/v2/users"), (Method::GET, path), (Method::POST, reset)]
    {
        let answer = server.raw(method, path, Some(stranger.access_token()), Some(b"{}".to_vec())).await;
        answer.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn administrators_list_rooms_and_look_at_them() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let large = alice
        .create_room(json!({"preset": "public_chat", "name": "A room", "room_alias_name": "large",
            "visibility": "public", "topic": "t"}))
        .await
        .unwrap();
    bob.join(&large).await.unwrap();
    let small = alice.create_room(json!({"name": "b room"})).await.unwrap();
    alice.leave(&small).await.unwrap();
    let rooms = "/_synapse/admin/v1/rooms";
    server.get(rooms, alice.access_token()).await.refused(403, "M_FORBIDDEN");
    let list = root.get(rooms).await.unwrap();
    assert_eq!((&list["total_rooms"], &list["offset"]), (&json!(2), &json!(0)));
    let expected = json!({
        "room_id": large, "name": "A room", "canonical_alias": "#large:hs.test", "joined_members": 2,
        "joined_local_members": 2, "version": "12", "creator": "@alice:hs.test", "encryption": null,
        "federatable": true, "public": true, "join_rules": "public", "guest_access": "forbidden",
        "history_visibility": "shared", "state_events": list["rooms"][0]["state_events"], "room_type": null,
    });
    assert_eq!(list["rooms"][0], expected);
    assert!(expected["state_events"].as_u64().unwrap() > 7);
    let ids = async |query: &str| {
        let list = root.get(&format!("{rooms}?{query}")).await.unwrap();
        let rooms = list["rooms"].as_array().unwrap().iter();
        rooms.map(|room| room["room_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (large, small) = (large.to_string(), small.to_string());
    assert_eq!(ids("dir=b").await, [small.clone(), large.clone()]);
    assert_eq!(ids("order_by=joined_members").await, [large.clone(), small.clone()]);
    assert_eq!(ids("search_term=LARG").await, std::slice::from_ref(&large));
    assert_eq!(ids("search_term=room&limit=1&from=1").await, std::slice::from_ref(&small));
    assert_eq!(
        ids(&format!("search_term={}", matrix_homeserver::testing::encode(&small))).await,
        std::slice::from_ref(&small)
    );
    assert_eq!(ids("public_rooms=false").await, std::slice::from_ref(&small));
    assert_eq!(ids("empty_rooms=true").await, std::slice::from_ref(&small));
    let page = root.get(&format!("{rooms}?limit=1")).await.unwrap();
    assert_eq!((&page["next_batch"], &page["prev_batch"]), (&json!(1), &Value::Null));
    for query in ["order_by=x", "dir=x", "search_term="] {
        let path = format!("{rooms}?{query}");
        server.get(&path, root.access_token()).await.refused(400, "M_INVALID_PARAM");
    }
    let room = root.get(&format!("{rooms}/{large}")).await.unwrap();
    assert_eq!(
        (&room["topic"], &room["forgotten"], &room["tombstoned"]),
        (&json!("t"), &json!(false), &json!(false))
    );
    assert_eq!((&room["joined_local_devices"], &room["replacement_room"]), (&json!(2), &Value::Null));
    let members = root.get(&format!("{rooms}/{large}/members")).await.unwrap();
    assert_eq!(members, json!({"members": ["@alice:hs.test", "@bob:hs.test"], "total": 2}));
    let state = root.get(&format!("{rooms}/{large}/state?type=m.room.name")).await.unwrap();
    assert_eq!(state["state"][0]["content"], json!({"name": "A room"}));
    assert_eq!(state["state"].as_array().unwrap().len(), 1);
    server.get(&format!("{rooms}/!none:hs.test"), root.access_token()).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn administrators_bring_users_into_rooms_and_take_power_there() {
    let server = administered().await;
    let root = admin(&server, "root").await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.user("bob").await.unwrap();
    let public =
        alice.create_room(json!({"preset": "public_chat", "room_alias_name": "public"})).await.unwrap();
    let private = alice.create_room(json!({"room_version": "10"})).await.unwrap();
    let join = |room: &str| format!("/_synapse/admin/v1/join/{}", matrix_homeserver::testing::encode(room));
    let bob = json!({"user_id": "@bob:hs.test"});
    assert_eq!(root.post(&join("#public:hs.test"), bob.clone()).await.unwrap(), json!({"room_id": public}));
    let token = root.access_token();
    server.post(&join(private.as_str()), token, bob.clone()).await.refused(403, "M_FORBIDDEN");
    server.post(&join(public.as_str()), token, json!({})).await.refused(400, "M_MISSING_PARAM");
    let nobody = json!({"user_id": "@nobody:hs.test"});
    server.post(&join(public.as_str()), token, nobody).await.refused(404, "M_NOT_FOUND");
    let elsewhere = json!({"user_id": "@bob:else.test"});
    server.post(&join(public.as_str()), token, elsewhere).await.refused(400, "M_UNKNOWN");

    let power = |room: &str| format!("/_synapse/admin/v1/rooms/{room}/make_room_admin");
    for room in [&public, &private] {
        root.post(&power(room.as_str()), json!({})).await.unwrap();
        let levels = alice.state(room, "m.room.power_levels", "").await.unwrap().unwrap();
        assert_eq!(levels["users"]["@root:hs.test"], 100);
    }
    assert!(alice.state(&public, "m.room.member", "@root:hs.test").await.unwrap().is_none());
    root.join(&private).await.expect("an invitation");
    root.post(&join(private.as_str()), bob).await.expect("who has power invites");
    alice.leave(&public).await.unwrap();
    server.post(&power(public.as_str()), token, json!({})).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn a_closed_room_has_nobody_in_it_and_nobody_comes_in_again() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path();
        Server::with(move |builder| builder.data_dir(path).registration_shared_secret("s3cret"))
    };
    let server = start().await;
    let root = admin(&server, "root").await;
    let (alice, bob, room) = server.room_of_two().await;
    alice.invite(&room, "@root:hs.test").await.unwrap();
    let alias = format!("{V3}/directory/room/{}", matrix_homeserver::testing::encode("#closed:hs.test"));
    alice.put(&alias, json!({"room_id": room})).await.unwrap();
    alice
        .set_state(&room, "m.room.history_visibility", "", json!({"history_visibility": "world_readable"}))
        .await
        .unwrap();
    let path = format!("/_synapse/admin/v2/rooms/{room}");
    let token = root.access_token();
    let send = async |method: Method, path: &str, token: &str, body: Value| {
        server.raw(method, path, Some(token), Some(body.to_string().into_bytes())).await
    };
    send(Method::DELETE, &path, alice.access_token(), json!({})).await.refused(403, "M_FORBIDDEN");
    server.get(&format!("{path}/delete_status"), token).await.refused(404, "M_NOT_FOUND");
    let body = json!({"new_room_user_id": "@alice:hs.test", "room_name": "Closed", "message": "over"});
    let begun = send(Method::DELETE, &path, token, body).await.ok();
    let status = root.get(&format!("{path}/delete_status")).await.unwrap();
    let status = &status["results"][0];
    assert_eq!((&status["delete_id"], &status["status"]), (&begun["delete_id"], &json!("complete")));
    let done = &status["shutdown_room"];
    assert_eq!(done["kicked_users"], json!(["@alice:hs.test", "@bob:hs.test", "@root:hs.test"]));
    assert_eq!(
        (&done["failed_to_kick_users"], &done["local_aliases"]),
        (&json!([]), &json!(["#closed:hs.test"]))
    );
    let by_id = format!("/_synapse/admin/v2/rooms/delete_status/{}", begun["delete_id"].as_str().unwrap());
    assert_eq!(&root.get(&by_id).await.unwrap(), status);
    let new = done["new_room_id"].as_str().unwrap();
    assert_eq!(bob.get(&alias).await.unwrap()["room_id"], new);
    let joined = bob.get(&format!("{V3}/joined_rooms")).await.unwrap();
    assert_eq!(joined, json!({"joined_rooms": [new]}));
    let name = bob.state(new, "m.room.name", "").await.unwrap();
    assert_eq!(name, Some(json!({"name": "Closed"})));

    send(Method::DELETE, &path, token, json!({})).await.ok();
    let again = root.get(&format!("{path}/delete_status")).await.unwrap();
    assert_eq!(again["results"][1]["shutdown_room"]["kicked_users"], json!([]), "nobody is left in it");
    let blocked = format!("/_synapse/admin/v1/rooms/{new}/block");
    assert_eq!(root.get(&blocked).await.unwrap(), json!({"block": false}));
    assert_eq!(root.put(&blocked, json!({"block": true})).await.unwrap(), json!({"block": true}));
    let (alice_token, bob_token) = (alice.access_token().to_owned(), bob.access_token().to_owned());
    let root_token = token.to_owned();
    server.stop().await;

    let server = start().await;
    let gone = server.get(&format!("{V3}/rooms/{room}/messages?dir=b"), &alice_token).await;
    gone.refused(403, "M_FORBIDDEN");
    server.post(&format!("{V3}/join/{room}"), &bob_token, json!({})).await.refused(404, "M_NOT_FOUND");
    server.get(&format!("/_synapse/admin/v1/rooms/{room}"), &root_token).await.refused(404, "M_NOT_FOUND");
    server
        .get(&format!("/_matrix/client/v1/room_summary/{room}"), &bob_token)
        .await
        .refused(404, "M_NOT_FOUND");
    server.get(&format!("{V3}/sync?timeout=0"), &bob_token).await.ok();
    server.post(&format!("{V3}/join/{new}"), &root_token, json!({})).await.refused(403, "M_FORBIDDEN");
    let block = server.get(&blocked, &root_token).await.ok();
    assert_eq!(block, json!({"block": true, "user_id": "@root:hs.test"}));
    server.put(&blocked, &root_token, json!({"block": false})).await.ok();
    server.post(&format!("{V3}/join/{new}"), &root_token, json!({})).await.ok();
}

#[tokio::test]
async fn registration_tokens_are_good_for_as_many_accounts_as_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path();
        let builder = move |builder: matrix_homeserver::HomeserverBuilder| {
            builder.data_dir(path).registration_shared_secret("s3cret").registration_token("of the settings")
        };
        Server::with(builder)
    };
    let server = start().await;
    let root = admin(&server, "root").await;
    let tokens = "/_synapse/admin/v1/registration_tokens";
    let created =
        root.post(&format!("{tokens}/new"), json!({"token": "once", "uses_allowed": 1})).await.unwrap();
    let expected =
        json!({"token": "once", "uses_allowed": 1, "pending": 0, "completed": 0, "expiry_time": null});
    assert_eq!(created, expected);
    let made = root.post(&format!("{tokens}/new"), json!({"length": 5})).await.unwrap();
    let made = made["token"].as_str().unwrap().to_owned();
    assert_eq!(made.len(), 5);
    let register = async |name: &str, token: &str| {
        let auth = json!({"type": "m.login.registration_token", "token": token});
        let body = json!({"username": name, "password": "pw", "auth": auth});
        server.post(&format!("{V3}/register"), "", body).await
    };
    register("alice", "once").await.ok();
    let used = root.get(&format!("{tokens}/once")).await.unwrap();
    assert_eq!((&used["pending"], &used["completed"]), (&json!(0), &json!(1)));
    register("bob", "once").await.refused(401, "M_UNAUTHORIZED");
    let valid = |token: &str| format!("{V1}/register/m.login.registration_token/validity?token={token}");
    assert_eq!(server.get(&valid("once"), "").await.ok(), json!({"valid": false}));
    assert_eq!(server.get(&valid(&made), "").await.ok(), json!({"valid": true}));
    let names = async |query: &str| {
        let list = root.get(&format!("{tokens}{query}")).await.unwrap();
        let list = list["registration_tokens"].as_array().unwrap().iter();
        list.map(|token| token["token"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await.len(), 2);
    assert_eq!(names("?valid=true").await, std::slice::from_ref(&made));
    assert_eq!(names("?valid=false").await, ["once"]);
    // The account fails, but the token is held for who has shown it.
    root.put(&format!("{tokens}/once"), json!({"uses_allowed": 2, "expiry_time": 4_000_000_000_000_u64}))
        .await
        .unwrap();
    let auth = json!({"type": "m.login.registration_token", "token": "once"});
    let half = server.post(&format!("{V3}/register"), "", json!({"username": "bob", "auth": auth})).await;
    half.refused(400, "M_MISSING_PARAM");
    assert_eq!(root.get(&format!("{tokens}/once")).await.unwrap()["pending"], 1);
    register("carol", "once").await.refused(401, "M_UNAUTHORIZED");
    let token = root.access_token();
    for body in [
        json!({"token": "once"}),
        json!({"token": "a b"}),
        json!({"token": ""}),
        json!({"length": 65}),
        json!({"uses_allowed": -1}),
        json!({"expiry_time": 1}),
        json!({"uses_allowed": "x"}),
    ] {
        server.post(&format!("{tokens}/new"), token, body).await.refused(400, "M_INVALID_PARAM");
    }
    server.get(tokens, "").await.refused(401, "M_MISSING_TOKEN");
    server.get(&format!("{tokens}/none"), token).await.refused(404, "M_NOT_FOUND");
    let path = format!("{tokens}/{made}");
    server.raw(Method::DELETE, &path, Some(token), None).await.ok();
    server.raw(Method::DELETE, &path, Some(token), None).await.refused(404, "M_NOT_FOUND");
    let token = token.to_owned();
    server.stop().await;
    let server = start().await;
    let kept = server.get(&format!("{tokens}/once"), &token).await.ok();
    let expected = json!({
        "token": "once", "uses_allowed": 2, "pending": 0, "completed": 1, "expiry_time": 4_000_000_000_000_u64,
    });
    assert_eq!(kept, expected);
}
