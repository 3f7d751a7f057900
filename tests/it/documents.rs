//! What the documents promise exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::programs::program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn documents() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = folder.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.push(root().join("README.md"));
    found
}

/// The commands in the document's code blocks for a shell.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn the_readme_is_short_and_its_commands_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 120);
    let commands = commands(&readme);
    assert!(commands.contains(&"cargo run --release -p matrix-irc-bridge -- demo"), "{commands:?}");
    assert!(commands.contains(&"tests/run"), "{commands:?}");
}

#[test]
fn the_commands_of_the_documents_are_understood() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for command in commands(&text) {
            let mut words: Vec<_> = command.split_whitespace().collect();
            // Where `cargo build --release` puts the programs.
            words[0] = words[0].trim_start_matches("target/release/");
            if let ["cargo", "run", rest @ ..] = words.as_slice() {
                let package = rest.iter().skip_while(|word| **word != "-p").nth(1).unwrap();
                let arguments = rest.iter().skip_while(|word| **word != "--").skip(1);
                if matches!(*package, "matrix-irc-bridge" | "matrix-homeserver") {
                    assert_understood(package, arguments.copied().take(1));
                }
            } else if words[0].contains('/') {
                assert!(root().join(words[0]).is_file(), "{}: {command}", document.display());
            } else if matches!(words[0], "matrix-irc-bridge" | "matrix-homeserver") {
                assert_understood(
                    words[0],
                    words[1..].iter().copied().take(1).filter(|word| !word.starts_with('-')),
                );
            }
        }
    }
}

fn assert_understood<'a>(name: &str, arguments: impl Iterator<Item = &'a str>) {
    let arguments: Vec<_> = arguments.collect();
    let output = Command::new(program(name)).args(&arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?} --help: {output:?}");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let target = document.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{} links to {link}", document.display());
        }
    }
}
