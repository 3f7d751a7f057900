//! The examples of the guide to testing run as they are printed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::process::Process;
use tests::programs::program;
use tests::{peers, require};

fn guide() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing-with-the-homeserver.md");
    fs::read_to_string(file).unwrap()
}

/// The code block of this language, of which there is one.
fn example(language: &str) -> String {
    let guide = guide();
    let fence = format!("```{language}\n");
    let mut blocks = guide.split(&fence).skip(1);
    let block = blocks.next().unwrap().split("```\n").next().unwrap();
    assert!(blocks.next().is_none(), "there are several examples in {language}");
    block.to_owned()
}

fn find(interpreter: &str) -> Option<std::path::PathBuf> {
    let found = peers::find(interpreter);
    if found.is_none() {
        peers::skipped(interpreter);
    }
    found
}

/// Runs an example in a folder of its own, and returns what it printed.
fn run(interpreter: &Path, file: &str, code: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), code).unwrap();
    let mut command = Command::new(interpreter);
    command.arg(file).current_dir(folder.path()).env("MATRIX_HOMESERVER", program("matrix-homeserver"));
    let mut process = Process::start(file, &folder.path().join("log"), command);
    let status = process.wait();
    assert!(status.success(), "{file}: {status}\n{}", process.log());
    process.log()
}

#[test]
fn the_example_in_python_runs() {
    let python = require!(find("python3"));
    let said = run(&python, "example.py", &example("python"));
    assert!(said.contains("delivered twice, and the message bridged once"), "{said}");
}

#[test]
fn the_example_in_javascript_runs() {
    let node = require!(find("node"));
    let said = run(&node, "example.mjs", &example("js"));
    assert!(said.contains("sent twice, and is there once"), "{said}");
}

#[test]
fn the_options_of_the_guide_are_those_of_the_program() {
    let output = Command::new(program("matrix-homeserver")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let option = |line: &str| {
        let name = line.trim_start().strip_prefix("--")?;
        name.split([' ', '`']).next().map(str::to_owned)
    };
    let known: BTreeSet<_> =
        help.lines().filter_map(option).filter(|name| !matches!(&**name, "help" | "version")).collect();
    let described: BTreeSet<_> =
        guide().lines().filter_map(|line| option(line.strip_prefix("| `")?)).collect();
    assert_eq!(described, known);
}
