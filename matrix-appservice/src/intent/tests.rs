use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ruma::{MilliSecondsSinceUnixEpoch, event_id, room_alias_id, room_id, user_id};
use serde_json::json;

use super::{CreateRoom, Intents, send::transaction_id};
use crate::{
    client::{Client, RetryPolicy},
    fake::{Answer, Asked, Fake},
    metrics::Metrics,
    registration::{Namespace, NamespaceSet, Namespaces, Secret},
    store::Store,
};

fn said_at(ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(ms.try_into().expect("it is a time"))
}

fn intents_with(fake: &Fake, store: Store) -> Intents {
    let policy = RetryPolicy::default()
        .pauses(Duration::from_millis(1), Duration::from_millis(2))
        .deadline(Duration::from_secs(1));
    let client = Client::with(&fake.url, Secret::new("as"), policy, Metrics::default()).expect("it is valid");
    let namespaces = Namespaces { users: vec![Namespace::exclusive("@irc_.*")], ..Namespaces::default() };
    let set = NamespaceSet::new(&namespaces).expect("the pattern is valid");
    Intents::new(client, store, user_id!("@bot:hs").to_owned(), set)
}

fn intents(fake: &Fake) -> Intents {
    intents_with(fake, Store::temporary().expect("there is room for it"))
}

/// What a homeserver answers on which everything works.
fn works(asked: &Asked) -> Answer {
    let path = asked.path.as_str();
    if path.contains("/send/") || path.contains("/state/") || path.contains("/redact/") {
        Answer::ok(&json!({"event_id": "$event"}))
    } else if path.ends_with("/join") {
        Answer::ok(&json!({"room_id": "!room:hs"}))
    } else if path.ends_with("/register") {
        Answer::ok(&json!({"user_id": "@irc_bob:hs"}))
    } else if path.ends_with("/upload") {
        Answer::ok(&json!({"content_uri": "mxc://hs/media"}))
    } else {
        Answer::ok(&json!({}))
    }
}

#[tokio::test]
async fn the_first_send_makes_sure_of_everything_and_the_second_of_nothing() {
    let fake = Fake::start(works).await;
    let intents = intents(&fake);
    let bob = intents.of(user_id!("@irc_bob:hs"));
    let content = json!({"msgtype": "m.text", "body": "hello?"});
    let ts = said_at(1_421_416_883_133);
    bob.send(room_id!("!room:hs"), "m.room.message", &content).at(ts).key("k1").await.expect("it is sent");
    let asked = fake.asked();
    let txn = transaction_id(Some("k1"));
    assert_eq!(
        fake.take(),
        [
            "POST v3/register".to_owned(),
            "PUT devices/APPSERVICE".to_owned(),
            "POST !room:hs/join".to_owned(),
            format!("PUT m.room.message/{txn}"),
        ]
    );
    assert_eq!(
        asked[0].json(),
        json!({"type": "m.login.application_service", "username": "irc_bob", "inhibit_login": true})
    );
    assert_eq!(asked[0].parameter("user_id"), None);
    assert_eq!(asked[1].parameter("user_id").as_deref(), Some("@irc_bob:hs"));
    assert_eq!(asked[3].json(), content);
    assert_eq!(asked[3].parameter("ts").as_deref(), Some("1421416883133"));
    assert_eq!(asked[3].parameter("device_id").as_deref(), Some("APPSERVICE"));

    bob.send(room_id!("!room:hs"), "m.room.message", &content).key("k2").await.expect("it is sent");
    assert_eq!(fake.take(), [format!("PUT m.room.message/{}", transaction_id(Some("k2")))]);
}

#[tokio::test]
async fn what_was_ensured_outlives_the_process() {
    let fake = Fake::start(works).await;
    let directory = tempfile::tempdir().expect("there is room for it");
    let send = async |store| {
        let bob = intents_with(&fake, store).of(user_id!("@irc_bob:hs"));
        bob.send(room_id!("!room:hs"), "m.x", &json!({})).key("k").await.expect("it is sent");
    };
    send(Store::open(directory.path()).expect("it opens")).await;
    fake.take();
    send(Store::open(directory.path()).expect("it opens again")).await;
    assert_eq!(fake.take(), [format!("PUT m.x/{}", transaction_id(Some("k")))]);
}

#[tokio::test]
async fn a_user_who_exists_already_is_no_error() {
    let fake = Fake::start(|asked| {
        if asked.path.ends_with("/register") { Answer::error(400, "M_USER_IN_USE") } else { works(asked) }
    })
    .await;
    intents(&fake).of(user_id!("@irc_bob:hs")).ensure_registered().await.expect("he exists");
}

#[tokio::test]
async fn tasks_that_need_the_same_user_at_once_register_him_once() {
    let fake = Fake::start(works).await;
    let intents = intents(&fake);
    let sends = (0..20).map(|number| {
        let bob = intents.of(user_id!("@irc_bob:hs"));
        async move {
            let key = format!("k{number}");
            bob.send(room_id!("!room:hs"), "m.x", &json!({})).key(key).await.expect("it is sent");
        }
    });
    futures_util::future::join_all(sends).await;
    let asked = fake.take();
    assert_eq!(asked.iter().filter(|what| what.ends_with("/register")).count(), 1);
    assert_eq!(asked.iter().filter(|what| what.ends_with("/join")).count(), 1);
    assert_eq!(asked.len(), 23);
}

#[tokio::test]
async fn who_may_not_join_is_invited_by_the_bot() {
    let invited = AtomicBool::new(false);
    let fake = Fake::start(move |asked| {
        let as_bob = asked.parameter("user_id").as_deref() == Some("@irc_bob:hs");
        if asked.path.ends_with("/invite") {
            invited.store(true, Ordering::SeqCst);
        }
        if asked.path.ends_with("/join") && as_bob && !invited.load(Ordering::SeqCst) {
            return Answer::error(403, "M_FORBIDDEN");
        }
        works(asked)
    })
    .await;
    let bob = intents(&fake).of(user_id!("@irc_bob:hs"));
    bob.ensure_joined(room_id!("!room:hs")).await.expect("the bot invites him");
    let asked = fake.asked();
    let invitation = asked.iter().find(|asked| asked.path.ends_with("/invite")).expect("he is invited");
    assert_eq!(invitation.json(), json!({"user_id": "@irc_bob:hs"}));
    assert_eq!(invitation.parameter("user_id").as_deref(), Some("@bot:hs"));
    assert!(bob.is_joined(room_id!("!room:hs")));
}

#[tokio::test]
async fn who_can_neither_join_nor_be_invited_is_told_why_he_could_not_join() {
    let fake = Fake::start(|asked| {
        if asked.path.ends_with("/join") {
            return Answer::new(403, &json!({"errcode": "M_FORBIDDEN", "error": "you are banned"}));
        }
        if asked.path.ends_with("/invite") { Answer::error(403, "M_FORBIDDEN") } else { works(asked) }
    })
    .await;
    let bob = intents(&fake).of(user_id!("@irc_bob:hs"));
    let error = bob.ensure_joined(room_id!("!room:hs")).await.expect_err("he is banned");
    assert!(error.to_string().contains("you are banned"), "{error}");
    assert!(!bob.is_joined(room_id!("!room:hs")));
}

#[tokio::test]
async fn a_membership_that_the_homeserver_denies_is_ensured_anew_and_the_send_tried_once_more() {
    let denied = AtomicBool::new(false);
    let fake = Fake::start(move |asked| {
        if asked.path.contains("/send/") && !denied.swap(true, Ordering::SeqCst) {
            return Answer::error(403, "M_FORBIDDEN");
        }
        works(asked)
    })
    .await;
    let bob = intents(&fake).of(user_id!("@irc_bob:hs"));
    bob.send(room_id!("!room:hs"), "m.x", &json!({})).key("k").await.expect("the second attempt succeeds");
    let sends = fake.take().into_iter().filter(|what| what.starts_with("PUT m.x/")).collect::<Vec<_>>();
    assert_eq!(sends.len(), 2);
    assert_eq!(sends[0], sends[1], "both attempts carry the same transaction ID");
}

#[tokio::test]
async fn a_send_that_stays_forbidden_is_tried_twice_and_no_more() {
    let fake = Fake::start(|asked| {
        if asked.path.contains("/send/") { Answer::error(403, "M_FORBIDDEN") } else { works(asked) }
    })
    .await;
    let bob = intents(&fake).of(user_id!("@irc_bob:hs"));
    let error = bob.send(room_id!("!room:hs"), "m.x", &json!({})).await.expect_err("he lacks the power");
    assert!(error.is("M_FORBIDDEN"));
    assert_eq!(fake.take().iter().filter(|what| what.starts_with("PUT m.x/")).count(), 2);
}

#[tokio::test]
async fn a_device_that_is_gone_is_made_again() {
    let gone = AtomicBool::new(true);
    let fake = Fake::start(move |asked| {
        if asked.path.contains("/send/") && gone.swap(false, Ordering::SeqCst) {
            return Answer::error(400, "ORG.MATRIX.MSC3202.M_UNKNOWN_DEVICE");
        }
        works(asked)
    })
    .await;
    let bob = intents(&fake).of(user_id!("@irc_bob:hs"));
    bob.send(room_id!("!room:hs"), "m.x", &json!({})).await.expect("the second attempt succeeds");
    let devices = fake.take().into_iter().filter(|what| what.contains("devices/")).count();
    assert_eq!(devices, 2);
}

#[tokio::test]
async fn a_homeserver_without_devices_is_asked_for_one_only_once() {
    let fake = Fake::start(|asked| {
        if asked.path.contains("/devices/") { Answer::error(404, "M_UNRECOGNIZED") } else { works(asked) }
    })
    .await;
    let intents = intents(&fake);
    for user in ["irc_a", "irc_b", "irc_c"] {
        let ghost = intents.of_localpart(user).expect("it is a valid name");
        ghost.send(room_id!("!room:hs"), "m.x", &json!({})).await.expect("it is sent");
    }
    let asked = fake.asked();
    assert_eq!(asked.iter().filter(|asked| asked.path.contains("/devices/")).count(), 1);
    let sends = asked.iter().filter(|asked| asked.path.contains("/send/"));
    assert!(sends.clone().count() == 3 && sends.clone().all(|asked| asked.parameter("device_id").is_none()));
}

#[tokio::test]
async fn what_the_homeserver_says_of_own_users_is_remembered_and_of_others_not() {
    let fake = Fake::start(works).await;
    let intents = intents(&fake);
    let room = room_id!("!room:hs");
    for (user, joined) in [
        (user_id!("@irc_bob:hs"), true),
        (user_id!("@bot:hs"), true),
        (user_id!("@alice:hs"), false),
        (user_id!("@irc_bob:elsewhere"), false),
    ] {
        intents.member_changed(room, user, true);
        assert_eq!(intents.of(user).is_joined(room), joined, "{user}");
    }
    intents.member_changed(room, user_id!("@irc_bob:hs"), false);
    assert!(!intents.of(user_id!("@irc_bob:hs")).is_joined(room));
}

#[tokio::test]
async fn a_room_whose_alias_is_taken_is_the_room_that_a_cut_attempt_made() {
    let fake = Fake::start(|asked| {
        if asked.path.ends_with("/createRoom") {
            Answer::error(400, "M_ROOM_IN_USE")
        } else if asked.path.contains("/directory/room/") {
            Answer::ok(&json!({"room_id": "!made:hs", "servers": ["hs"]}))
        } else {
            works(asked)
        }
    })
    .await;
    let mut request = CreateRoom::new();
    request.room_alias_name = Some("irc_#rust".to_owned());
    let room = intents(&fake).bot().create_room(request).await.expect("it exists");
    assert_eq!(room, "!made:hs");
    let asked = fake.asked();
    let resolved = asked.last().expect("the alias is resolved");
    assert_eq!(resolved.path, "/_matrix/client/v3/directory/room/#irc_#rust:hs");
}

#[tokio::test]
async fn a_room_whose_creation_was_not_answered_is_found_by_its_alias() {
    let created = Arc::new(AtomicBool::new(false));
    let fake = Fake::start(move |asked| {
        if asked.path.ends_with("/createRoom") {
            created.store(true, Ordering::SeqCst);
            Answer::text(502, "the answer is lost")
        } else if asked.path.contains("/directory/room/") && created.load(Ordering::SeqCst) {
            Answer::ok(&json!({"room_id": "!made:hs", "servers": ["hs"]}))
        } else {
            works(asked)
        }
    })
    .await;
    let bot = intents(&fake).bot();
    let mut request = CreateRoom::new();
    request.room_alias_name = Some("irc_rust".to_owned());
    assert_eq!(bot.create_room(request).await.expect("it is found"), "!made:hs");
    // Without an alias there is nothing to find it by.
    bot.create_room(CreateRoom::new()).await.expect_err("whether it exists is unknown");
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let fake = Fake::start(|asked| {
        if asked.method == "GET" || asked.method == "DELETE" {
            Answer::error(404, "M_NOT_FOUND")
        } else {
            works(asked)
        }
    })
    .await;
    let bot = intents(&fake).bot();
    let room = room_id!("!room:hs");
    assert_eq!(bot.state(room, "m.room.topic", "").await.expect("it is answered"), None);
    assert_eq!(bot.event(room, event_id!("$e")).await.expect("it is answered"), None);
    assert_eq!(bot.profile(user_id!("@x:hs")).await.expect("it is answered"), None);
    assert_eq!(bot.resolve_alias(room_alias_id!("#x:hs")).await.expect("it is answered"), None);
    bot.delete_alias(room_alias_id!("#x:hs")).await.expect("it is gone");
}

#[tokio::test]
async fn every_verb_asks_the_endpoint_of_the_specification() {
    let fake = Fake::start(|asked| {
        if asked.path.ends_with("/profile/@alice:hs") {
            return Answer::ok(&json!({"displayname": "Alice", "avatar_url": "mxc://hs/a"}));
        }
        if asked.path.ends_with("/joined_members") {
            return Answer::ok(&json!({"joined": {"@alice:hs": {"display_name": "Alice"}, "@bot:hs": {}}}));
        }
        works(asked)
    })
    .await;
    let bot = intents(&fake).bot();
    let (room, event, alice) = (room_id!("!room:hs"), event_id!("$e"), user_id!("@alice:hs"));
    bot.ensure_joined(room).await.expect("it joins");
    fake.take();

    bot.send_state(room, "m.room.topic", "", &json!({"topic": "t"})).await.expect("state");
    bot.redact(room, event).reason("spam").key("k").await.expect("redact");
    bot.react(room, event, "👍").key("r").await.expect("react");
    bot.set_display_name(Some("Bot")).await.expect("name");
    bot.set_avatar_url(None).await.expect("picture");
    bot.typing(room, Some(Duration::from_secs(30))).await.expect("typing");
    bot.read(room, event).await.expect("receipt");
    bot.kick(room, alice, Some("flood")).await.expect("kick");
    bot.ban(room, alice, None).await.expect("ban");
    bot.unban(room, alice, None).await.expect("unban");
    bot.invite(room, alice, None).await.expect("invite");
    bot.put_alias(room_alias_id!("#a:hs"), room).await.expect("alias");
    assert_eq!(
        bot.upload(b"x".to_vec(), Some("text/plain"), Some("a b")).await.expect("upload"),
        "mxc://hs/media"
    );
    assert_eq!(bot.joined_members(room).await.expect("members"), [alice, user_id!("@bot:hs")]);
    let profile = bot.profile(alice).await.expect("profile").expect("she has one");
    assert_eq!(profile.display_name.as_deref(), Some("Alice"));
    bot.leave(room, Some("bye")).await.expect("leave");
    assert!(!bot.is_joined(room));

    let asked = fake.asked();
    let prefix = "/_matrix/client/v3";
    let (redact, react) = (transaction_id(Some("k")), transaction_id(Some("r")));
    let expected = [
        format!("PUT {prefix}/rooms/!room:hs/state/m.room.topic/"),
        format!("PUT {prefix}/rooms/!room:hs/redact/$e/{redact}"),
        format!("PUT {prefix}/rooms/!room:hs/send/m.reaction/{react}"),
        format!("PUT {prefix}/profile/@bot:hs/displayname"),
        format!("PUT {prefix}/profile/@bot:hs/avatar_url"),
        format!("PUT {prefix}/rooms/!room:hs/typing/@bot:hs"),
        format!("POST {prefix}/rooms/!room:hs/receipt/m.read/$e"),
        format!("POST {prefix}/rooms/!room:hs/kick"),
        format!("POST {prefix}/rooms/!room:hs/ban"),
        format!("POST {prefix}/rooms/!room:hs/unban"),
        format!("POST {prefix}/rooms/!room:hs/invite"),
        format!("PUT {prefix}/directory/room/#a:hs"),
        "POST /_matrix/media/v3/upload".to_owned(),
        format!("GET {prefix}/rooms/!room:hs/joined_members"),
        format!("GET {prefix}/profile/@alice:hs"),
        format!("POST {prefix}/rooms/!room:hs/leave"),
    ];
    let asked_for: Vec<String> =
        asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    assert_eq!(asked_for, expected);
    assert_eq!(asked[1].json(), json!({"reason": "spam"}));
    assert_eq!(
        asked[2].json(),
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$e", "key": "👍"}})
    );
    assert_eq!(asked[5].json(), json!({"typing": true, "timeout": 30_000}));
    assert_eq!(asked[7].json(), json!({"user_id": "@alice:hs", "reason": "flood"}));
}

#[test]
fn a_key_is_the_same_transaction_for_ever_and_no_key_never_the_same() {
    assert_eq!(transaction_id(Some("a")), "ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs");
    assert_ne!(transaction_id(Some("a")), transaction_id(Some("b")));
    assert_ne!(transaction_id(None), transaction_id(None));
}
