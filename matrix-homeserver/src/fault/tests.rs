use super::*;

#[test]
fn a_rule_leaves_some_in_peace_and_then_strikes_so_often() {
    let dial = FaultDial::default();
    let rule = FaultRule::route("PUT /a/*", Fault::CutConnection).after(1).times(2);
    let id = dial.turn(rule).unwrap();
    let strikes = |method: Method, path: &str| dial.on_route(&method, path).fault.is_some();
    assert!(!strikes(Method::GET, "/a/b") && !strikes(Method::PUT, "/b"));
    let seen: Vec<bool> = (0..5).map(|_| strikes(Method::PUT, "/a/b")).collect();
    assert_eq!(seen, [false, true, true, false, false]);
    assert_eq!(dial.hits(id), Some(2));
    assert_eq!(dial.turn_back(id), Some(2));
    assert_eq!(dial.turn_back(id), None);
}

#[test]
fn delays_add_up_beside_one_other_fault() {
    let dial = FaultDial::default();
    for fault in [
        Fault::Delay { delay_ms: 5 },
        Fault::LoseAcknowledgement,
        Fault::Status { status: 502, retry_after_ms: None },
        Fault::Delay { delay_ms: 7 },
    ] {
        dial.turn(FaultRule::appservice("irc", fault)).unwrap();
    }
    let struck = dial.on_appservice("irc");
    assert_eq!(struck.delay, Duration::from_millis(12));
    assert_eq!(struck.fault, Some(Fault::LoseAcknowledgement));
    assert!(dial.on_appservice("other").fault.is_none());
    dial.clear();
    assert!(dial.on_appservice("irc").fault.is_none());
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let dial = FaultDial::default();
    let status = |status| Fault::Status { status, retry_after_ms: None };
    let table = [
        (FaultRule::route("* /a", status(200)), FaultRefused::Status),
        (FaultRule::route("* /a", status(1000)), FaultRefused::Status),
        (FaultRule::route("/a", Fault::CutConnection), FaultRefused::Route),
        (FaultRule::route("PUT a", Fault::CutConnection), FaultRefused::Route),
        (FaultRule::route("PUT /a", Fault::RepeatTransaction), FaultRefused::Repeat),
    ];
    for (rule, refused) in table {
        assert_eq!(dial.turn(rule), Err(refused));
    }
}

#[test]
fn rules_are_plain_json() {
    let rule = FaultRule::route("PUT /a", Fault::Status { status: 429, retry_after_ms: Some(5) }).times(1);
    let json = serde_json::json!({
        "route": "PUT /a", "fault": "status", "status": 429, "retry_after_ms": 5, "skip": 0, "times": 1,
    });
    assert_eq!(serde_json::to_value(&rule).unwrap(), json);
    assert_eq!(serde_json::from_value::<FaultRule>(json).unwrap(), rule);
    let short = serde_json::json!({"appservice": "irc", "fault": "repeat_transaction"});
    let expected = FaultRule::appservice("irc", Fault::RepeatTransaction);
    assert_eq!(serde_json::from_value::<FaultRule>(short).unwrap(), expected);
}
