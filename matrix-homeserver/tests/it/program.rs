//! The program: what it prints, how it stops.

use std::process::Stdio;

use matrix_homeserver::testing::TestUser;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

struct Program {
    child: Child,
    url: String,
}

async fn start(arguments: &[&str]) -> Program {
    let mut child = Command::new(env!("CARGO_BIN_EXE_matrix-homeserver"))
        .args(["--server-name", "hs.test", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    let url = line.trim_end().strip_prefix("ready ").expect("one line that says ready").to_owned();
    Program { child, url }
}

impl Program {
    async fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let status = self.child.wait().await.unwrap();
        let mut rest = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "", "nothing else is printed");
        status.code()
    }
}

#[tokio::test]
async fn the_program_says_ready_serves_and_stops_cleanly_on_sigterm() {
    let program = start(&["--open-registration", "--no-rate-limit", "--default-room-version", "10"]).await;
    let alice = TestUser::register(&program.url, "alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let create = alice.state(&room, "m.room.create", "").await.unwrap().unwrap();
    assert_eq!(create["room_version"], "10");
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let options = ["--open-registration", "--no-rate-limit", "--data-dir", data];
    let mut program = start(&options).await;
    let alice = TestUser::register(&program.url, "alice").await.unwrap();
    let room = alice.create_room(json!({"room_alias_name": "here", "visibility": "public"})).await.unwrap();
    let event_id = alice.send_event_as(&room, "m.room.message", "t", json!({"body": "x"})).await.unwrap();
    program.child.kill().await.unwrap();
    let program = start(&options).await;
    let alice = TestUser::from_token(&program.url, alice.user_id(), alice.access_token());
    assert_eq!(alice.messages(&room, 1).await.unwrap()[0]["event_id"], event_id.as_str());
    let again = alice.send_event_as(&room, "m.room.message", "t", json!({"body": "x"})).await.unwrap();
    assert_eq!(again, event_id, "the transaction ID is remembered");
    assert_eq!(alice.join("#here:hs.test").await.unwrap(), room);
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    for (arguments, named) in [
        (["--server-name", "not a name"], "not a name"),
        (["--default-room-version", "99"], "99"),
        (["--registration", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (["--listen", "nowhere"], "nowhere"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrix-homeserver"));
        if arguments[0] != "--server-name" {
            command.args(["--server-name", "hs.test"]);
        }
        if arguments[0] != "--listen" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = command.args(arguments).output().await.unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(named), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn the_program_restarts_itself_with_its_data_when_the_fault_dial_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let program = start(&["--open-registration", "--fault-control", "--data-dir", data]).await;
    let alice = TestUser::register(&program.url, "alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.post("/_fault", json!({"route": "GET */joined_rooms", "fault": "cut_connection"})).await.unwrap();
    alice.post("/_fault/restart", json!({})).await.unwrap();
    // The rule is gone with the process's old server, so the first answer comes from the new one.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let fresh = TestUser::from_token(&program.url, alice.user_id(), alice.access_token());
        match fresh.get("/_matrix/client/v3/joined_rooms").await {
            Ok(rooms) => break assert_eq!(rooms["joined_rooms"], json!([room])),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
    }
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn how_people_log_in_is_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("login.json");
    let settings = json!({
        "login_flows": ["m.login.password", "m.login.password+m.login.email.code"],
        "mail": {"smtp_url": "smtp://127.0.0.1:1", "from": "noreply@hs.test"},
    });
    std::fs::write(&file, settings.to_string()).unwrap();
    let program = start(&["--login", file.to_str().unwrap()]).await;
    let url = format!("{}/_matrix/client/api/v1/login", program.url);
    let answer = matrix_homeserver::testing::http_client(&url).get(&url).send().await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["flows"][1]["stages"], json!(["m.login.password", "m.login.email.code"]));
    assert_eq!(program.terminate().await, Some(0));
    for (settings, told) in [
        (json!({"login_flows": ["m.login.email.code"]}), "it needs a mailer"),
        (json!({"login_flows": ["m.login.magic"]}), "is not a stage"),
        (json!({"loginflows": []}), "unknown field"),
        (json!({"mail": {"smtp_url": "user:secret@host", "from": "a@b.c"}}), "smtps://"),
    ] {
        std::fs::write(&file, settings.to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_matrix-homeserver"))
            .args(["--server-name", "hs.test", "--listen", "127.0.0.1:0", "--login", file.to_str().unwrap()])
            .output()
            .await
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(told), "{told} in {errors}");
        assert!(!errors.contains("secret"), "{errors}");
    }
}

/// Runs a command of the program on a data directory.
async fn tool(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_matrix-homeserver")).args(arguments).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_data_directory_is_exported_and_imported_with_everything_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (data, copy, file, again) = (path("data"), path("copy"), path("export"), path("again"));
    let options = ["--open-registration", "--no-rate-limit", "--data-dir", &data];
    let program = start(&options).await;
    let alice = TestUser::register(&program.url, "alice").await.unwrap();
    let bob = TestUser::register(&program.url, "bob").await.unwrap();
    let room = alice.create_room(json!({"room_alias_name": "here", "preset": "public_chat"})).await.unwrap();
    let old = alice.create_room(json!({"room_version": "1"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let event_id =
        alice.send_event_as(&room, "m.room.message", "t", json!({"body": "\u{fc}\n"})).await.unwrap();
    bob.redact(&room, &bob.send_text(&room, "oops").await.unwrap(), "").await.unwrap();
    alice.send_text(&old, "old").await.unwrap();
    let account_data = "/_matrix/client/v3/user/@alice:hs.test/account_data/x.y";
    alice.put(account_data, json!({"a": 1})).await.unwrap();
    let to_bob = json!({"messages": {"@bob:hs.test": {"*": {"secret": true}}}});
    alice.put("/_matrix/client/v3/sendToDevice/x.y/1", to_bob).await.unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let upload = reqwest::Client::new()
        .post(format!("{}/_matrix/media/v3/upload", program.url))
        .bearer_auth(alice.access_token())
        .body(large.clone());
    let uri: serde_json::Value = upload.send().await.unwrap().json().await.unwrap();

    let (done, said) = tool(&["export", "--data-dir", &data, &file]).await;
    assert!(!done && said.contains("in use"), "a server runs on it: {said}");
    assert_eq!(program.terminate().await, Some(0));
    let (done, said) = tool(&["export", "--data-dir", &data, &file]).await;
    assert!(done && said.contains("and 1 files"), "{said}");
    let (done, said) = tool(&["import", "--data-dir", &copy, &file]).await;
    assert!(done, "{said}");
    let (done, said) = tool(&["check", "--data-dir", &copy]).await;
    assert!(done && said == "nothing is wrong\n", "{said}");
    assert!(tool(&["export", "--data-dir", &copy, &again]).await.0);
    let (first, second) = (std::fs::read(&file).unwrap(), std::fs::read(&again).unwrap());
    assert!(first == second, "an import holds what the export held, to the byte");

    let program = start(&["--data-dir", &copy]).await;
    let alice = TestUser::from_token(&program.url, alice.user_id(), alice.access_token());
    let bob = TestUser::from_token(&program.url, bob.user_id(), bob.access_token());
    assert_eq!(alice.send_event_as(&room, "m.room.message", "t", json!({})).await.unwrap(), event_id);
    assert_eq!(alice.messages(&old, 1).await.unwrap()[0]["content"]["body"], "old");
    assert_eq!(alice.get(account_data).await.unwrap(), json!({"a": 1}));
    assert_eq!(bob.join("#here:hs.test").await.unwrap(), room);
    let sync = bob.get("/_matrix/client/v3/sync").await.unwrap();
    assert_eq!(sync["to_device"]["events"][0]["content"], json!({"secret": true}));
    let media = uri["content_uri"].as_str().unwrap().strip_prefix("mxc://").unwrap().to_owned();
    let download = format!("{}/_matrix/client/v1/media/download/{media}", program.url);
    let download =
        reqwest::Client::new().get(download).bearer_auth(alice.access_token()).send().await.unwrap();
    assert!(download.bytes().await.unwrap() == large);
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn an_import_is_refused_where_it_would_mix_or_be_incomplete() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (data, copy, file) = (path("data"), path("copy"), path("export"));
    let program = start(&["--open-registration", "--data-dir", &data]).await;
    TestUser::register(&program.url, "alice").await.unwrap().create_room(json!({})).await.unwrap();
    assert_eq!(program.terminate().await, Some(0));
    assert!(tool(&["export", "--data-dir", &data, &file]).await.0);
    let whole = std::fs::read_to_string(&file).unwrap();
    let lines = whole.lines().count();
    let cut = |end: usize| whole.lines().take(end).collect::<Vec<_>>().join("\n");
    for (name, text, named) in [
        ("short", cut(lines - 1), "ends too early"),
        ("headless", whole.lines().skip(1).collect::<Vec<_>>().join("\n"), "line 1: this is not a header"),
        ("newer", whole.replacen(r#""version":1"#, r#""version":2"#, 1), "the format has version 2"),
        ("schema", whole.replacen(r#""schema":2"#, r#""schema":9"#, 1), "the rows have schema version 9"),
        ("count", cut(lines - 2) + "\n" + whole.lines().last().unwrap(), "the numbers of rows and files"),
        ("half", cut(lines - 1) + &whole.lines().last().unwrap()[..9], &format!("line {}", lines - 1)),
    ] {
        std::fs::write(path(name), text).unwrap();
        let (done, said) = tool(&["import", "--data-dir", &copy, &path(name)]).await;
        assert!(!done && said.contains(named), "{name}: {said}");
        assert!(!std::path::Path::new(&copy).exists(), "{name}: nothing is left");
    }
    let (done, said) = tool(&["import", "--data-dir", &data, &file]).await;
    assert!(!done && said.contains("not empty"), "{said}");
    let (done, said) = tool(&["export", "--data-dir", &data, &file]).await;
    assert!(!done && said.contains("cannot export to"), "the file is there already: {said}");
    let (done, said) = tool(&["check", "--data-dir", &copy]).await;
    assert!(!done && said.contains("no database"), "{said}");
}

#[tokio::test]
async fn a_check_names_what_is_wrong_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (data, copy, file) = (path("data"), path("copy"), path("export"));
    let program = start(&["--open-registration", "--data-dir", &data]).await;
    let alice = TestUser::register(&program.url, "alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.send_text(&room, "x").await.unwrap();
    assert_eq!(program.terminate().await, Some(0));
    assert!(tool(&["export", "--data-dir", &data, &file]).await.0);
    let whole = std::fs::read_to_string(&file).unwrap();
    let last_event = whole.lines().rfind(|line| line.contains(r#""table":"event","#)).unwrap();
    let (rows, rest) = whole.rsplit_once(r#"{"kind":"end","rows":"#).unwrap();
    let (count, files) = rest.split_once(',').unwrap();
    let count: u64 = count.parse().unwrap();
    let damaged = rows.replace(&format!("{last_event}\n"), "");
    std::fs::write(&file, format!("{damaged}{{\"kind\":\"end\",\"rows\":{},{files}", count - 1)).unwrap();
    let (done, said) = tool(&["import", "--data-dir", &copy, &file]).await;
    assert!(done, "{said}");
    let (done, said) = tool(&["check", "--data-dir", &copy]).await;
    assert!(!done && said.contains(&format!("room {room}: its last event is missing")), "{said}");
    assert!(said.contains("restore the directory from an export"), "{said}");
    let (done, said) =
        tool(&["--server-name", "hs.test", "--listen", "127.0.0.1:0", "--data-dir", &copy]).await;
    assert!(!done && said.contains("its last event is missing"), "the server does not start on it: {said}");
}
