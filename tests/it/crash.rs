//! `kill -9`, twenty times, in the midst of a conversation of two thousand messages.

mod conversation;
mod ledger;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tests::programs::HomeserverProcess;
use tests::require;
use tests::servers::InspIrcd;
use tokio::sync::watch;

use self::conversation::Conversation;
use self::ledger::Ledger;
pub(crate) use self::ledger::timeline;
use crate::scene::{Scene, ours};

/// How often something is killed.
const KILLS: usize = 20;
/// How many messages each side sends.
const EACH: usize = 1_000;

/// What is random in a run, reproducible by `TESTS_SEED`.
pub(crate) fn randomness() -> StdRng {
    let seed = std::env::var("TESTS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("TESTS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// After how many messages of the conversation something is killed, and how long after that in microseconds.
fn moments(random: &mut StdRng) -> Vec<(usize, u64)> {
    let mut moments: Vec<_> =
        (0..KILLS).map(|_| (random.random_range(1..2 * EACH - 50), random.random_range(0..20_000))).collect();
    moments.sort_unstable();
    moments
}

/// Waits until the conversation has come this far.
async fn reached(progress: &mut watch::Receiver<usize>, messages: usize) {
    progress.wait_for(|sent| *sent >= messages).await.expect("the conversation goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_the_bridge_lose_nothing_and_double_nothing() {
    let irc = require!(InspIrcd::start().await);
    let mut random = randomness();
    let (homeserver, bridge) = ours(irc.address).await;
    let scene = Scene::open(&homeserver.url(), irc.address, bridge, &["echo-message", "server-time"]).await;
    let (conversation, mut bridge) = Conversation::begin(scene, EACH, random.random()).await;

    let mut progress = conversation.progress();
    let mut uncertain = 0;
    for (messages, microseconds) in moments(&mut random) {
        reached(&mut progress, messages).await;
        uncertain += bridge.metric("bridge_sends_uncertain_total").await;
        tokio::time::sleep(std::time::Duration::from_micros(microseconds)).await;
        bridge.kill();
        bridge.start_again().await;
    }
    let account = conversation.end().await;
    uncertain += bridge.metric("bridge_sends_uncertain_total").await;

    let ledger = Ledger::of(account).await;
    println!("{}", ledger.summary());
    ledger.assert_matrix_to_irc_is_exact();
    ledger.assert_irc_to_matrix_is_exact(KILLS);
    // The counter dies with its process: what was counted between the last look and the kill is not in the sum.
    println!("{uncertain} uncertain ones were counted at the last looks before the kills");
    assert_eq!(uncertain > 0, ledger.uncertain() > 0, "what is reported is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_the_homeserver_lose_nothing_and_double_nothing() {
    let irc = require!(InspIrcd::start().await);
    let mut random = randomness();
    let (mut homeserver, bridge): (HomeserverProcess, _) = ours(irc.address).await;
    let scene = Scene::open(&homeserver.url(), irc.address, bridge, &["echo-message", "server-time"]).await;
    let (conversation, bridge) = Conversation::begin(scene, EACH, random.random()).await;

    let mut progress = conversation.progress();
    for (messages, microseconds) in moments(&mut random) {
        reached(&mut progress, messages).await;
        tokio::time::sleep(std::time::Duration::from_micros(microseconds)).await;
        homeserver.kill_and_restart().await;
    }
    let ledger = Ledger::of(conversation.end().await).await;
    println!("{}", ledger.summary());
    ledger.assert_acknowledged_events_are_there();
    ledger.assert_matrix_to_irc_is_exact();
    ledger.assert_irc_to_matrix_is_exact(0);
    assert_eq!(ledger.uncertain(), 0, "the bridge lived all the time");
    drop(bridge);
}
