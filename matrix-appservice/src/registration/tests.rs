use proptest::prelude::*;
use serde_json::json;

use super::*;

const COMPLETE: &str = r#"
id: irc
url: http://127.0.0.1:9999
as_token: "aaa"
hs_token: "hhh"
sender_localpart: ircbot
namespaces:
  users:
    - exclusive: true
      regex: '@irc_.*:example\.org'
  aliases:
    - '#irc_.*:example\.org'
  rooms: []
rate_limited: false
protocols: [irc]
receive_ephemeral: true
io.element.msc4190: true
org.example.custom: {kept: [1, 2]}
"#;

#[test]
fn a_complete_registration_is_read_with_all_its_fields() {
    let registration = Registration::from_yaml(COMPLETE).unwrap();
    assert_eq!(registration.id, "irc");
    assert_eq!(registration.url.as_deref(), Some("http://127.0.0.1:9999"));
    assert!(registration.as_token.matches("aaa") && registration.hs_token.matches("hhh"));
    assert_eq!(registration.rate_limited, Some(false));
    assert_eq!(registration.protocols, ["irc"]);
    assert!(registration.receive_ephemeral && registration.device_management);
    assert_eq!(registration.extra["org.example.custom"], json!({"kept": [1, 2]}));
}

#[test]
fn a_plain_string_is_an_exclusive_namespace() {
    let registration = Registration::from_yaml(COMPLETE).unwrap();
    assert_eq!(registration.namespaces.aliases, [Namespace::exclusive(r"#irc_.*:example\.org")]);
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let registration = Registration::from_yaml(COMPLETE).unwrap();
    assert_eq!(Registration::from_yaml(&registration.to_yaml()).unwrap(), registration);
}

#[test]
fn five_mistakes_give_five_messages_with_their_places() {
    let text = COMPLETE
        .replace("http://127.0.0.1:9999", "localhost:9999")
        .replace("hs_token: \"hhh\"", "hs_token: 12345")
        .replace("sender_localpart: ircbot", "sender_localpart: '@ircbot:example.org'")
        .replace(r"'@irc_.*:example\.org'", "'@irc_(.*'")
        .replace("[irc]", "irc");
    let problems = Registration::from_yaml(&text).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["url", "hs_token", "sender_localpart", "namespaces.users[0].regex", "protocols"]);
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    assert_eq!(problems.to_string().lines().count(), 5, "{problems}");
}

#[test]
fn every_required_key_is_asked_for() {
    let problems = Registration::from_yaml("{}").unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["id", "url", "as_token", "hs_token", "sender_localpart", "namespaces"]);
}

#[test]
fn text_that_is_no_map_is_one_problem_of_the_file() {
    for text in ["", "- a\n- b", "just text", "a: [", "\u{0}"] {
        let problems = Registration::from_yaml(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text:?}: {problems}");
        assert_eq!(problems.iter().next().unwrap().path, "");
    }
}

#[test]
fn no_token_is_shown_by_debug_or_in_a_problem() {
    let registration = Registration::builder("irc").tokens("topsecret", "topsecret2").build();
    assert!(!format!("{registration:?}").contains("topsecret"));
    let problems = Registration::from_yaml("as_token: 'top secret'\nhs_token: 'top secret'").unwrap_err();
    assert!(!format!("{problems}{problems:?}").contains("top secret"));
}

#[test]
fn generated_tokens_are_long_and_differ() {
    let (one, two) = (Registration::builder("a").build(), Registration::builder("a").build());
    assert_eq!(one.as_token.expose().len(), 64);
    assert!(one.as_token != one.hs_token && one.as_token != two.as_token);
}

#[test]
fn a_url_of_null_means_no_traffic() {
    let text = COMPLETE.replace("http://127.0.0.1:9999", "null");
    assert_eq!(Registration::from_yaml(&text).unwrap().url, None);
}

#[test]
fn the_unstable_key_for_ephemeral_data_counts_too() {
    let text = COMPLETE.replace("receive_ephemeral", "de.sorunome.msc2409.push_ephemeral");
    assert!(Registration::from_yaml(&text).unwrap().receive_ephemeral);
}

#[test]
fn a_namespace_owns_from_the_start_of_the_identifier() {
    let namespaces = Namespaces {
        users: vec![Namespace::exclusive("@irc_"), Namespace::shared("@.*:example.org|@other")],
        ..Namespaces::default()
    };
    let set = NamespaceSet::new(&namespaces).unwrap();
    let table = [
        ("@irc_bob:example.org", Ownership::Exclusive),
        ("@irc_bob:elsewhere.org", Ownership::Exclusive),
        ("@bob:example.org", Ownership::Shared),
        ("@other:x", Ownership::Shared),
        ("@an@irc_bob:x", Ownership::None),
        ("", Ownership::None),
    ];
    for (user_id, expected) in table {
        assert_eq!(set.user(user_id), expected, "{user_id}");
    }
    assert_eq!(set.alias("#irc_x:example.org"), Ownership::None);
}

#[test]
fn a_pattern_cannot_break_out_of_its_group() {
    let namespaces = Namespaces { rooms: vec![Namespace::exclusive("a)|(b")], ..Namespaces::default() };
    let error = NamespaceSet::new(&namespaces).unwrap_err();
    assert_eq!((error.kind, error.index), (NamespaceKind::Rooms, 0));
}

#[test]
fn a_pattern_that_explodes_is_refused() {
    let text = COMPLETE.replace(r"@irc_.*:example\.org", r"@(\w{1000}){1000}");
    let problems = Registration::from_yaml(&text).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().path, "namespaces.users[0].regex");
}

#[test]
fn the_drafts_body_is_completed_to_a_registration() {
    let body = json!({"url": "https://someapp.com/matrix", "as_token": "T_a",
        "namespaces": {"users": [{"exclusive": true, "regex": r"@irc\.freenode\.net/.*"}], "aliases": ["#irc.*"]}});
    let draft: DraftRegistration = serde_json::from_value(body).unwrap();
    let registration = draft.into_registration("as1", "as1bot", Secret::new("T_h"));
    assert!(registration.hs_token.matches("T_h"));
    assert_eq!(registration.namespaces.aliases, [Namespace::exclusive("#irc.*")]);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        let _ = Registration::from_yaml(&text);
    }

    #[test]
    fn any_id_and_pattern_survive_writing(id in "[a-z0-9\"'#: ]{1,20}[a-z]", pattern in "@[a-z.*_'\"#: ]{0,20}") {
        let registration = Registration::builder(id).sender_localpart("bot").url("http://h")
            .users(Namespace::exclusive(pattern)).build();
        if NamespaceSet::new(&registration.namespaces).is_ok() {
            prop_assert_eq!(Registration::from_yaml(&registration.to_yaml()).unwrap(), registration);
        }
    }
}
