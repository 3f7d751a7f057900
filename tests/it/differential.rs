//! The same requests to our homeserver and to Synapse: every difference is known, and has a reason.
//!
//! The scripts are in `differential/script/`; the differences that we want to keep are listed in
//! `docs/spec-coverage.md`, under "Where we differ from Synapse".

mod compare;
mod known;
mod player;
mod script;

use std::fmt::Write as _;
use std::path::Path;

use matrix_appservice::Registration;
use matrix_homeserver::Homeserver;
use tests::appservice::ScriptedAppservice;
use tests::require;
use tests::servers::Synapse;

use self::compare::{Difference, differences};
use self::known::Known;
use self::player::Player;
use self::script::Step;

/// What Synapse needs besides to answer all that is asked.
const SYNAPSE: &str = r#"
public_baseurl: "http://127.0.0.1:{port}"
allow_guest_access: true
enable_room_list_search: true
user_directory: {enabled: true, search_all_users: false}
room_list_publication_rules: [{action: allow}]
require_auth_for_profile_requests: false
limit_profile_requests_to_users_who_share_rooms: false
allow_public_rooms_without_auth: true
session_lifetime: null
refreshable_access_token_lifetime: 10m
dynamic_thumbnails: true
max_upload_size: 1M
rc_reports: {per_second: 1000000, burst_count: 1000000}
rc_3pid_validation: {per_second: 1000000, burst_count: 1000000}
rc_presence: {per_user: {per_second: 1000000, burst_count: 1000000}}
rc_media_create: {per_second: 1000000, burst_count: 1000000}
rc_user_directory: {per_second: 1000000, burst_count: 1000000}
rc_key_requests: {per_second: 1000000, burst_count: 1000000}
caches: {sync_response_cache_duration: 0s}
login_via_existing_session: {enabled: true, require_ui_auth: true, token_timeout: 5m}
"#;

/// The application service that both servers know; `{url}` is where it listens.
const REGISTRATION: &str = r##"{
    "id": "bridge", "url": "{url}", "as_token": "T_as", "hs_token": "T_hs", "sender_localpart": "bridgebot",
    "rate_limited": false, "protocols": [],
    "namespaces": {
        "users": [{"exclusive": true, "regex": "@ghost_.*:hs\\.test"}],
        "aliases": [{"exclusive": true, "regex": "#ghost_.*:hs\\.test"}],
        "rooms": []
    }
}"##;

async fn ours(registration: &Path, drafts: bool) -> Homeserver {
    Homeserver::builder(tests::SERVER_NAME)
        .registration(Registration::load(registration).unwrap())
        .registration_shared_secret(player::SECRET)
        .max_upload_size(1 << 20)
        .drafts(drafts)
        .guests(true)
        .plain_push_gateways(true)
        .start()
        .await
        .unwrap()
}

/// What was found so far.
#[derive(Debug)]
struct Findings {
    known: Known,
    /// As rows of the list, without reasons.
    unknown: String,
    requests: usize,
}

impl Findings {
    async fn play(&mut self, steps: Vec<Step>, ours: &Homeserver, synapse: &Synapse) {
        let (mut ours, mut theirs) = (Player::new(ours.url()), Player::new(&synapse.url()));
        for step in steps {
            let (ours, theirs) = tokio::join!(ours.play(&step), theirs.play(&step));
            self.requests += 1;
            let mut found = differences(&ours, &theirs);
            found.retain(|difference| !self.known.explains(&step.name, difference));
            for Difference { place, ours, theirs } in &found {
                let _ =
                    writeln!(self.unknown, "| `{}` | `{place}` | `{ours}` | `{theirs}` | 1 | |", step.name);
            }
            if !found.is_empty() {
                println!("{} {}\n  ours     {ours}\n  Synapse  {theirs}", step.place(), step.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_synapse_is_known_and_every_known_difference_is_there() {
    let appservice = ScriptedAppservice::obliging().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), REGISTRATION.replace("{url}", &appservice.url())).unwrap();
    let synapse = require!(Synapse::start_with(&[file.path()], SYNAPSE).await);
    let (today, drafts) = tokio::join!(ours(file.path(), false), ours(file.path(), true));

    let mut findings = Findings { known: Known::from_document(), unknown: String::new(), requests: 0 };
    findings.play(script::today(), &today, &synapse).await;
    findings.play(script::drafts(), &drafts, &synapse).await;
    let Findings { known, unknown, requests } = findings;
    println!("{requests} requests, {} known differences", known.len());
    let miscounted = known.miscounted();
    assert!(
        unknown.is_empty() && miscounted.is_empty(),
        "differences that are not listed:\n{unknown}\nlisted differences of more or fewer requests:\n{miscounted}"
    );
    for homeserver in [today, drafts] {
        assert_eq!((homeserver.panics(), homeserver.internal_errors()), (0, 0));
    }
    assert!(requests >= 400, "{requests} requests are too few to say anything");
}
