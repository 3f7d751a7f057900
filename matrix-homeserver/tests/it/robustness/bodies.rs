//! Bodies: those that are no JSON, those that are the wrong JSON, and good ones in which something was replaced.

use matrix_homeserver::testing::TestUser;
use rand::{RngExt as _, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::{World, strange};

/// Bodies that fit nowhere.
pub(super) fn nonsense() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        &b""[..],
        b"{",
        b"}",
        b"[]",
        b"[[]]",
        b"7",
        b"-0.0",
        b"null",
        b"true",
        b"\"text\"",
        b"{}{}",
        b"{\"a\":}",
        b"{\"a\":1e999}",
        b"{\"a\":123456789012345678901234567890}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\u0000\"}",
        b"{\"\\u0000\":1}",
        b"{\"a\":\"\xff\xfe\"}",
        b"{\"a\":1,\"a\":[]}",
        b"\xef\xbb\xbf{}",
        b"\0",
        b"\xff",
        b"{'a':1}",
        b"{\"a\":NaN}",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    bodies.push(vec![b'['; 20_000]);
    bodies.push(format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes());
    bodies.push(format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)).into_bytes());
    bodies.push(format!("{{\"a\":\"{}\"}}", "x".repeat(300_000)).into_bytes());
    bodies
}

/// A body that the route could take.
pub(super) fn template(method: &Method, route: &str, world: &World, user: &TestUser) -> Value {
    let path = route.trim_start_matches("/_matrix/client/");
    let known = TEMPLATES.iter().find(|(line, _)| {
        let (wanted, end) = line.split_once(' ').unwrap_or_default();
        wanted == method.as_str() && path.ends_with(end)
    });
    let text = known.map_or(ANY, |(_, body)| body);
    let text = text
        .replace("ROOM", &world.room)
        .replace("EVENT", &world.event)
        .replace("USER", user.user_id().as_str());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{route}: {error}: {text}"))
}

/// The same with one to three things replaced, removed or put in.
pub(super) fn mutated(template: &Value, random: &mut StdRng) -> Value {
    let mut body = template.clone();
    for _ in 0..random.random_range(1..=3) {
        let places = places(&body);
        let place = &places[random.random_range(0..places.len())];
        let Some(value) = body.pointer_mut(place) else { continue };
        match (random.random_range(0..10), value) {
            (0, Value::Object(map)) => {
                let names: Vec<_> = map.keys().cloned().collect();
                if !names.is_empty() {
                    map.remove(&names[random.random_range(0..names.len())]);
                }
            }
            (1, Value::Object(map)) => {
                map.insert(MEMBERS[random.random_range(0..MEMBERS.len())].to_owned(), strange(random));
            }
            (2, Value::Array(list)) => list.push(strange(random)),
            (3, value) => *value = json!([value.clone()]),
            (4, value) => *value = json!({"x": value.clone()}),
            (_, value) => *value = strange(random),
        }
    }
    body
}

/// JSON pointers to everything in a value.
fn places(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut inner = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(places(value).into_iter().map(|place| format!("/{name}{place}")));
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| inner(name, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| inner(&index.to_string(), value));
        }
        _ => {}
    }
    found
}

/// Members that mean something somewhere.
const MEMBERS: &[&str] = &[
    "auth",
    "type",
    "user",
    "user_id",
    "room_id",
    "event_id",
    "filter",
    "limit",
    "since",
    "server",
    "state_key",
    "content",
    "reason",
    "m.relates_to",
    "m.new_content",
    "membership",
    "session",
    "password",
    "identifier",
    "device_id",
    "third_party_signed",
    "stages",
    "m.mentions",
    "redacts",
    "url",
    "namespaces",
    "profile",
    "events",
];

/// Where nothing better is known.
const ANY: &str = r#"{
    "user_id": "USER", "room_id": "ROOM", "event_id": "EVENT", "type": "m.text", "content": {}, "reason": "x",
    "limit": 1, "name": "x", "url": "http://127.0.0.1:1/", "timeout": 1
}"#;

/// By the end of the path, the more particular first.
const TEMPLATES: &[(&str, &str)] = &[
    (
        "POST /register",
        r#"{"username": "someone", "password": "a-password-1", "device_id": "D", "inhibit_login": true,
        "initial_device_display_name": "x", "refresh_token": true, "auth": {"type": "m.login.dummy", "session": "x"}}"#,
    ),
    (
        "POST /login",
        r#"{"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "USER"},
        "password": "password", "device_id": "D", "refresh_token": true, "medium": "email", "address": "a@b.c"}"#,
    ),
    ("POST /refresh", r#"{"refresh_token": "x"}"#),
    (
        "POST /account/password",
        r#"{"new_password": "another-1", "logout_devices": false, "auth":
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "USER"}, "password": "x"}}"#,
    ),
    (
        "POST /account/deactivate",
        r#"{"erase": false, "auth": {"type": "m.login.password", "password": "x",
        "identifier": {"type": "m.id.user", "user": "USER"}}}"#,
    ),
    ("POST /account/3pid/add", r#"{"client_secret": "s", "sid": "1", "auth": {"type": "m.login.password"}}"#),
    (
        "POST /requestToken",
        r#"{"client_secret": "s", "email": "a@b.c", "send_attempt": 1, "country": "GB",
        "phone_number": "1", "next_link": "http://x/"}"#,
    ),
    (
        "POST /delete_devices",
        r#"{"devices": ["A", "B"], "auth": {"type": "m.login.password", "password": "x"}}"#,
    ),
    ("PUT /devices/{deviceId}", r#"{"display_name": "x"}"#),
    ("POST /user_directory/search", r#"{"search_term": "a", "limit": 5}"#),
    (
        "POST /filter",
        r#"{"event_fields": ["content.body"], "event_format": "client", "presence": {"types": ["*"],
        "not_senders": ["USER"]}, "account_data": {"types": []}, "room": {"rooms": ["ROOM"], "not_rooms": [],
        "include_leave": true, "timeline": {"limit": 5, "types": ["m.room.*"], "not_types": ["x"], "senders": ["USER"],
        "contains_url": true, "lazy_load_members": true, "unread_thread_notifications": true, "related_by_rel_types":
        ["m.thread"]}, "state": {"lazy_load_members": true}, "ephemeral": {"types": []}}}"#,
    ),
    (
        "POST /sync",
        r#"{"conn_id": "x", "txn_id": "y", "lists": {"a": {"ranges": [[0, 9], [3, 5]], "slow_get_all_rooms": false,
        "timeline_limit": 5, "required_state": [["m.room.member", "$LAZY"], ["*", "*"], ["x", "$ME"]], "filters":
        {"is_dm": false, "spaces": ["ROOM"], "is_encrypted": false, "is_invite": false, "room_types": [null, "m.space"],
        "not_room_types": ["x"], "tags": ["u.x"], "not_tags": ["u.y"]}}}, "room_subscriptions": {"ROOM":
        {"timeline_limit": 3, "required_state": [["m.room.create", ""]]}}, "extensions": {"to_device": {"enabled": true,
        "limit": 3, "since": "0"}, "e2ee": {"enabled": true}, "account_data": {"enabled": true, "lists": ["a"],
        "rooms": ["*"]}, "receipts": {"enabled": true, "rooms": ["ROOM"]}, "typing": {"enabled": true}}}"#,
    ),
    (
        "POST /createRoom",
        r#"{"preset": "public_chat", "visibility": "public", "name": "x", "topic": "y",
        "room_alias_name": "a", "invite": ["USER"], "is_direct": true, "room_version": "11", "creation_content":
        {"m.federate": false, "type": "m.space", "predecessor": {"room_id": "ROOM", "event_id": "EVENT"},
        "additional_creators": ["USER"]}, "power_level_content_override": {"users": {"USER": 50}, "ban": 50,
        "events": {"m.room.name": 50}, "notifications": {"room": 50}}, "initial_state": [{"type": "m.room.join_rules",
        "state_key": "", "content": {"join_rule": "restricted", "allow": [{"type": "m.room_membership",
        "room_id": "ROOM"}]}}], "invite_3pid": [{"id_server": "x", "id_access_token": "y", "medium": "email",
        "address": "a@b.c"}]}"#,
    ),
    (
        "POST /join",
        r#"{"reason": "x", "third_party_signed": {"sender": "USER", "mxid": "USER", "token": "x",
        "signatures": {"x": {"ed25519:0": "y"}}}}"#,
    ),
    (
        "POST /invite",
        r#"{"user_id": "USER", "reason": "x", "id_server": "x", "id_access_token": "y", "medium": "email",
        "address": "a@b.c"}"#,
    ),
    ("POST /upgrade", r#"{"new_version": "12", "additional_creators": ["USER"]}"#),
    (
        "POST /publicRooms",
        r#"{"limit": 5, "since": "x", "filter": {"generic_search_term": "x", "room_types":
        [null, "m.space"]}, "include_all_networks": true, "third_party_instance_id": "x"}"#,
    ),
    (
        "PUT /send/{eventType}/{txnId}",
        r#"{"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html",
        "formatted_body": "x", "m.mentions": {"user_ids": ["USER"], "room": true}, "m.relates_to": {"rel_type":
        "m.thread", "event_id": "EVENT", "is_falling_back": true, "m.in_reply_to": {"event_id": "EVENT"}},
        "m.new_content": {"body": "y"}}"#,
    ),
    (
        "PUT /state/{eventType}/{stateKey}",
        r#"{"topic": "x", "name": "y", "users": {"USER": 100}, "users_default": 0,
        "events": {}, "membership": "join", "join_rule": "public", "history_visibility": "shared", "alias":
        "\u0023here:hs.test", "alt_aliases": ["\u0023here:hs.test"], "redacts": "EVENT"}"#,
    ),
    ("PUT /redact/{eventId}/{txnId}", r#"{"reason": "x"}"#),
    (
        "POST /search",
        r#"{"search_categories": {"room_events": {"search_term": "hello", "keys": ["content.body"],
        "filter": {"rooms": ["ROOM"], "limit": 5}, "order_by": "recent", "event_context": {"before_limit": 1,
        "after_limit": 1, "include_profile": true}, "include_state": true, "groupings": {"group_by":
        [{"key": "room_id"}]}}}}"#,
    ),
    ("POST /read_markers", r#"{"m.fully_read": "EVENT", "m.read": "EVENT", "m.read.private": "EVENT"}"#),
    ("POST /receipt/{receiptType}/{eventId}", r#"{"thread_id": "main"}"#),
    ("PUT /typing/{userId}", r#"{"typing": true, "timeout": 10}"#),
    ("PUT /presence/{userId}/status", r#"{"presence": "online", "status_msg": "x"}"#),
    (
        "POST /pushers/set",
        r#"{"kind": "http", "app_id": "x", "pushkey": "y", "app_display_name": "a",
        "device_display_name": "b", "lang": "en", "data": {"url": "http://127.0.0.1:1/_matrix/push/v1/notify",
        "format": "event_id_only"}, "append": false, "profile_tag": "z"}"#,
    ),
    ("PUT /actions", r#"{"actions": ["notify", {"set_tweak": "sound", "value": "default"}]}"#),
    ("PUT /enabled", r#"{"enabled": true}"#),
    (
        "PUT /pushrules/global/{kind}/{ruleId}",
        r#"{"actions": ["notify"], "pattern": "c*?[", "conditions":
        [{"kind": "event_match", "key": "content.body", "pattern": "*?*[a-z"}, {"kind": "room_member_count",
        "is": ">=99999999999999999999"}, {"kind": "event_property_is", "key": "a\\.b", "value": null},
        {"kind": "event_property_contains", "key": "content.x", "value": 7}, {"kind":
        "sender_notification_permission", "key": "room"}]}"#,
    ),
    ("PUT /tags/{tag}", r#"{"order": 0.5}"#),
    ("PUT /sendToDevice/{eventType}/{txnId}", r#"{"messages": {"USER": {"*": {"a": 1}, "DEVICE": {}}}}"#),
    (
        "POST /keys/upload",
        r#"{"device_keys": {"user_id": "USER", "device_id": "DEVICE", "algorithms":
        ["m.olm.v1.curve25519-aes-sha2"], "keys": {"curve25519:DEVICE": "x", "ed25519:DEVICE": "y"}, "signatures":
        {"USER": {"ed25519:DEVICE": "z"}}}, "one_time_keys": {"signed_curve25519:A": {"key": "x", "signatures": {}}},
        "fallback_keys": {"signed_curve25519:B": {"key": "x", "fallback": true}}}"#,
    ),
    ("POST /keys/query", r#"{"timeout": 10, "device_keys": {"USER": ["DEVICE"], "@x:elsewhere.test": []}}"#),
    ("POST /keys/claim", r#"{"timeout": 10, "one_time_keys": {"USER": {"DEVICE": "signed_curve25519"}}}"#),
    (
        "POST /keys/device_signing/upload",
        r#"{"auth": {"type": "m.login.password"}, "master_key": {"user_id": "USER",
        "usage": ["master"], "keys": {"ed25519:x": "x"}, "signatures": {}}, "self_signing_key": {"user_id": "USER",
        "usage": ["self_signing"], "keys": {"ed25519:y": "y"}}, "user_signing_key": {"user_id": "USER", "usage":
        ["user_signing"], "keys": {"ed25519:z": "z"}}}"#,
    ),
    (
        "POST /keys/signatures/upload",
        r#"{"USER": {"DEVICE": {"user_id": "USER", "device_id": "DEVICE", "keys": {},
        "signatures": {"USER": {"ed25519:x": "y"}}}}}"#,
    ),
    (
        "POST /room_keys/version",
        r#"{"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data":
        {"public_key": "x", "signatures": {}}}"#,
    ),
    (
        "PUT /room_keys/version/{version}",
        r#"{"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data":
        {"public_key": "x"}, "version": "1"}"#,
    ),
    (
        "PUT /room_keys/keys",
        r#"{"rooms": {"ROOM": {"sessions": {"S": {"first_message_index": 1, "forwarded_count": 0,
        "is_verified": true, "session_data": {"ciphertext": "x"}}}}}}"#,
    ),
    (
        "PUT /room_keys/keys/{roomId}",
        r#"{"sessions": {"S": {"first_message_index": 1, "forwarded_count": 0,
        "is_verified": true, "session_data": {}}}}"#,
    ),
    (
        "PUT /room_keys/keys/{roomId}/{sessionId}",
        r#"{"first_message_index": 1, "forwarded_count": 0,
        "is_verified": true, "session_data": {}}"#,
    ),
    ("PUT /directory/room/{roomAlias}", r#"{"room_id": "ROOM"}"#),
    ("PUT /directory/list/room/{roomId}", r#"{"visibility": "public"}"#),
    ("PUT /directory/list/appservice/{networkId}/{roomId}", r#"{"visibility": "public"}"#),
    (
        "PUT /profile/{userId}/{keyName}",
        r#"{"displayname": "x", "avatar_url": "mxc://hs.test/x", "m.tz": "Europe/x"}"#,
    ),
    ("POST /ping", r#"{"transaction_id": "x"}"#),
    (
        "POST /_synapse/admin/v1/register",
        r#"{"nonce": "x", "username": "a", "password": "b", "mac": "00", "admin": false,
        "displayname": "c"}"#,
    ),
    ("POST /_fault", r#"{"route": "GET /nowhere", "fault": "nonsense", "skip": 1, "times": 1}"#),
    ("POST /unregister", r#"{"as_token": "x"}"#),
];
