//! Lines that no IRC server should pass on, and some that real servers do.

use matrix_homeserver::testing::TestUser;
use tests::irc::hostile::HostileServer;
use tests::programs::BridgeProcess;
use tests::require;
use tests::servers::InspIrcd;

use crate::scene::{Scene, ours};

#[tokio::test]
async fn hostile_lines_do_no_harm() {
    let irc = HostileServer::start().await;
    let (homeserver, bridge) = ours(irc.address).await;
    let alice = TestUser::register(&homeserver.url(), "alice").await.unwrap();
    let room = alice.join(&BridgeProcess::alias("#c")).await.unwrap();
    irc.until_joined(2).await;

    irc.say("#c", "x".repeat(64 * 1024).as_bytes());
    irc.say("#c", b"a NUL: \0, and on");
    irc.say("#c", b"a lone CR: \r:evil!e@h PRIVMSG #c :forged");
    irc.say("#c", b"broken: \xff\xfe\xc3\x28 \xf0\x9f");
    irc.say("#c", "\u{202e}\u{feff}\u{1}\u{1}\u{3}99,99\u{4}zzzzzz\u{f}".as_bytes());
    for line in [
        "",
        " ",
        ":",
        "@",
        "@a",
        "@a=\\",
        ":x",
        ":hostile",
        "PRIVMSG",
        ":evil PRIVMSG",
        ":evil PRIVMSG #c",
        "353",
        "353 x = #c",
        "005 x CASEMAPPING= PREFIX=(((( CHANMODES NICKLEN=-9999999999999999999",
        "JOIN",
        ":evil JOIN",
        ":!@ JOIN #c",
        "NICK",
        ":evil NICK",
        ":evil NICK :",
        "MODE #c +ooooooo",
        "KICK #c",
        "QUIT",
        "PING",
        "BATCH",
        "BATCH -nope",
        "@batch=nope :evil!e@h PRIVMSG #c :in no batch",
        "AUTHENTICATE",
        "CAP",
        "CAP * ACK",
        "999999 x",
        "001",
        "\u{1}",
        ":evil!e@h PRIVMSG #c :\u{1}ACTION",
        ":evil!e@h PRIVMSG #c :\u{1}\u{1}",
        "332 x #c",
        "TOPIC #c",
    ] {
        irc.send(format!("{line}\r\n").as_bytes());
    }
    irc.send(&vec![b'@'; 64 * 1024]);
    irc.send(b"\r\n\n\r\r\n");
    irc.say("#c", b"still here");

    let event = alice.wait_for_text(room.as_str(), "still here").await.unwrap();
    assert_eq!(event["sender"], BridgeProcess::ghost("evil").as_str());
    let log = bridge.process().log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn bytes_that_a_real_server_passes_on_arrive_as_text() {
    let irc = require!(InspIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    let scene = Scene::open(&homeserver.url(), irc.address, bridge, &[]).await;
    let (bob, alice) = (&scene.bob, &scene.alice);
    bob.send_bytes(b"PRIVMSG #c :latin1 caf\xe9\r\n").await;
    bob.send_bytes(&[b"PRIVMSG #c :", "y".repeat(64 * 1024).as_bytes(), b"\r\n"].concat()).await;
    let arrived = alice.wait_for(|event| {
        event["content"]["body"].as_str().is_some_and(|body| body.starts_with("latin1 caf"))
    });
    let body = arrived.await.unwrap()["content"]["body"].clone();
    assert!(body == "latin1 café" || body == "latin1 caf\u{fffd}", "{body}");
}
