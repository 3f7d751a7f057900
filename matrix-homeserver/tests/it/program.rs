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
