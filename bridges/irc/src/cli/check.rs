//! `check`: everything that can be wrong, tried out, with what to do about it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use matrix_appservice::registration::Registration;

use super::{agreement, run};
use crate::bridge::probe;
use crate::config::{Config, ConfigError};

mod homeserver;

/// What was found, as a list that is printed while it grows.
#[derive(Debug, Default)]
struct Findings {
    lines: usize,
    problems: usize,
}

impl Findings {
    fn fine(&mut self, text: &str) {
        self.lines += 1;
        Self::print("ok     ", text);
    }

    fn wrong(&mut self, text: &str) {
        self.lines += 1;
        self.problems += 1;
        Self::print("PROBLEM", text);
    }

    fn close(&self) {
        let summary = format!("{} things were looked at, {} have to be mended", self.lines, self.problems);
        Self::print("       ", &summary);
    }

    fn print(mark: &str, text: &str) {
        // If nobody reads, nothing is lost.
        let _ = writeln!(std::io::stdout(), "{mark} {text}");
    }
}

pub(super) async fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    if let Some(config) = check_config(file, &mut findings) {
        if let Some(registration) = check_registration(&config, &mut findings) {
            homeserver::check(&config, &registration, &mut findings).await;
        }
        for (domain, server) in &config.servers {
            match probe(domain, server).await {
                Ok(welcome) => findings.fine(&format!("{domain}: {welcome}")),
                Err(reason) => findings.wrong(&format!(
                    "{domain}: {reason}. See servers.{domain}: address, port and ssl, and whether the network allows the bridge's nick and host."
                )),
            }
        }
    }
    findings.close();
    Ok(match findings.problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn check_config(file: &Path, findings: &mut Findings) -> Option<Config> {
    match Config::load(file) {
        Ok(config) => {
            findings.fine(&format!("{} is a valid configuration", file.display()));
            Some(config)
        }
        Err(ConfigError::Problems(problems)) => {
            for problem in problems {
                findings.wrong(&format!("{}: {problem}", file.display()));
            }
            None
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            findings.wrong(&format!("{error}{cause}. `generate-config` prints an example."));
            None
        }
    }
}

fn check_registration(config: &Config, findings: &mut Findings) -> Option<Registration> {
    let registration = match run::load_registration(config) {
        Ok(registration) => registration,
        Err(error) => {
            findings.wrong(&format!("{error:#}"));
            return None;
        }
    };
    let problems = agreement::problems(config, &registration);
    for problem in &problems {
        findings.wrong(&problem.to_string());
    }
    if problems.is_empty() {
        findings.fine(&format!("{} fits the configuration", config.appservice.registration));
    }
    Some(registration)
}
