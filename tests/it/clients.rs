//! Real clients and frameworks of other languages do what their users do, against our homeserver as a program.
//!
//! With `TESTS_CLIENTS_ON=synapse` the same programs run against Synapse, which tells whose fault a failing step is.

mod media;
mod partner;

use std::path::Path;

use matrix_homeserver::testing::TestUser;
use tests::clients::ClientProgram;
use tests::programs::HomeserverProcess;
use tests::require;
use tests::servers::Synapse;

use self::partner::Partner;

/// The homeserver under the clients.
enum Ground {
    Ours(HomeserverProcess),
    Synapse(Synapse),
}

impl Ground {
    async fn start(registrations: &[&Path]) -> Option<Self> {
        if std::env::var_os("TESTS_CLIENTS_ON").is_some_and(|server| server == "synapse") {
            return Synapse::start(registrations).await.map(Self::Synapse);
        }
        Some(Self::Ours(HomeserverProcess::start_with(registrations, &[]).await))
    }

    fn url(&self) -> String {
        match self {
            Self::Ours(server) => server.url(),
            Self::Synapse(server) => server.url(),
        }
    }
}

/// Runs a client's program, which has the conversation with the partner and whatever else it shows by itself.
async fn converse(program: &str) {
    let ground = require!(Ground::start(&[]).await);
    let user = TestUser::register(&ground.url(), "partner").await.unwrap();
    let mut client = require!(ClientProgram::start(program, &[&ground.url(), user.user_id().as_str()]));
    let partner = Partner::new(user);
    tokio::join!(client.finished(), partner.converse());
    println!("{}", client.log());
}

#[tokio::test]
async fn matrix_nio_does_what_its_users_do() {
    converse("matrix_nio.py").await;
}

#[tokio::test]
async fn matrix_js_sdk_does_what_its_users_do() {
    converse("js_sdk.mjs").await;
}
