//! Random histories that fork and merge, judged by us and by Synapse's own functions: the same events are allowed, and
//! the same state follows, in every room version.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use matrix_homeserver::histories::{self, History};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::process::Process;
use tests::{peers, require};

/// How many histories of every version.
const SEEDS: u64 = 15;

/// What Synapse says of a history.
#[derive(Debug, Deserialize)]
struct Answer {
    events: Vec<Judgement>,
    merges: Vec<Vec<usize>>,
}

#[derive(Debug, Deserialize)]
struct Judgement {
    event_id: String,
    denied: Option<String>,
    before: Vec<usize>,
}

#[test]
fn in_every_version_synapse_allows_the_same_events_and_resolves_forks_to_the_same_state() {
    let python = require!(python());
    let seeds = histories::versions()
        .into_iter()
        .flat_map(|version| (0..SEEDS).map(move |seed| (version.clone(), seed)));
    let histories: Vec<_> = seeds.map(|(version, seed)| (seed, History::random(&version, seed))).collect();
    let answers = ask_synapse(&python, &histories);
    assert_eq!(answers.len(), histories.len());
    let mut found = String::new();
    for ((seed, history), answer) in histories.iter().zip(&answers) {
        if let Some(difference) = first_difference(history, answer) {
            let _ = writeln!(found, "version {}, seed {seed}: {difference}", history.version);
        }
    }
    assert!(found.is_empty(), "{found}");
    count(&histories);
}

/// Histories in which nothing happens prove nothing.
fn count(histories: &[(u64, History)]) {
    let events = || histories.iter().flat_map(|(_, history)| &history.events);
    let denied = events().filter(|event| event.denied.is_some()).count();
    let allowed = events().count() - denied;
    let disputes: usize = histories.iter().map(|(_, history)| history.disputes).sum();
    println!("{allowed} events allowed, {denied} denied, {disputes} times states resolved that differ");
    assert!(denied * 5 > allowed && allowed > denied, "{denied} of {} events are denied", allowed + denied);
    assert!(disputes > histories.len() * 5, "only {disputes} times was there something to resolve");
}

/// The interpreter beside Synapse's program.
fn python() -> Option<PathBuf> {
    let python = peers::find_synapse().and_then(|program| Some(program.parent()?.join("python")));
    if python.is_none() {
        peers::skipped("Synapse");
    }
    python
}

fn ask_synapse(python: &Path, histories: &[(u64, History)]) -> Vec<Answer> {
    let question = |(_, history): &(u64, History)| {
        json!({
            "version": history.version,
            "events": history.events.iter().map(|event| &event.json).collect::<Vec<_>>(),
            "merges": history.merges.iter().map(|merge| &merge.of).collect::<Vec<_>>(),
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let [questions, answers] = ["questions", "answers"].map(|name| folder.path().join(name));
    let asked: Value = histories.iter().map(question).collect();
    std::fs::write(&questions, asked.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/state_resolution/judge.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(program).args([&questions, &answers]);
    let mut process = Process::start("judge.py", &folder.path().join("log"), command);
    let status = process.wait();
    assert!(status.success(), "judge.py: {status}\n{}", process.log());
    serde_json::from_slice(&std::fs::read(&answers).unwrap()).unwrap()
}

/// The first thing on which we do not agree, with the history up to there.
fn first_difference(history: &History, answer: &Answer) -> Option<String> {
    for (place, (ours, theirs)) in history.events.iter().zip(&answer.events).enumerate() {
        if ours.event_id != theirs.event_id {
            return Some(format!(
                "event #{place} is {} to us, {} to Synapse",
                ours.event_id, theirs.event_id
            ));
        }
        if ours.before != theirs.before {
            let states = difference_of_states(history, &ours.before, &theirs.before);
            return Some(format!("the state before #{place} differs\n{states}{}", told(history, place)));
        }
        if ours.denied.is_some() != theirs.denied.is_some() {
            let said = |denied: &Option<String>| denied.clone().unwrap_or_else(|| "allowed".to_owned());
            let (ours, theirs) = (said(&ours.denied), said(&theirs.denied));
            let story = told(history, place);
            return Some(format!("#{place}\n  ours     {ours}\n  Synapse  {theirs}\n{story}"));
        }
    }
    let lengths = (answer.events.len(), answer.merges.len());
    assert_eq!(lengths, (history.events.len(), history.merges.len()), "Synapse has not answered everything");
    let merges = history.merges.iter().zip(&answer.merges);
    let (merge, theirs) = merges.into_iter().find(|(merge, theirs)| merge.state != **theirs)?;
    let states = difference_of_states(history, &merge.state, theirs);
    Some(format!(
        "the state after {:?} differs\n{states}{}",
        merge.of,
        told(history, history.events.len() - 1)
    ))
}

fn difference_of_states(history: &History, ours: &[usize], theirs: &[usize]) -> String {
    let (ours, theirs) = (BTreeSet::from_iter(ours), BTreeSet::from_iter(theirs));
    let mut text = String::new();
    for (whose, places) in [("ours    ", &ours - &theirs), ("Synapse ", &theirs - &ours)] {
        for place in places {
            let _ = writeln!(text, "  {whose} {}", line(history, *place));
        }
    }
    text
}

/// The history up to an event, a line each.
fn told(history: &History, last: usize) -> String {
    (0..=last)
        .fold("  the history:\n".to_owned(), |text, place| format!("{text}    {}\n", line(history, place)))
}

fn line(history: &History, place: usize) -> String {
    let judged = &history.events[place];
    let event: Value = serde_json::from_str(&judged.json).unwrap();
    let parents = event["prev_events"].as_array().unwrap().iter().map(|parent| {
        let event_id = parent.as_str().or(parent[0].as_str());
        let place = history.events.iter().position(|event| Some(event.event_id.as_str()) == event_id);
        format!("#{}", place.unwrap())
    });
    let parents = parents.collect::<Vec<_>>().join(" ");
    let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let denied = if judged.denied.is_some() { " (denied)" } else { "" };
    format!(
        "#{place} after {parents}: {} {} {} {}{denied}",
        text("sender"),
        text("type"),
        text("state_key"),
        event["content"]
    )
}
