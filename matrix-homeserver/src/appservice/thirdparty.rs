//! Lookups on third-party networks, answered by the application services that bridge them
//! ([third-party networks](https://spec.matrix.org/v1.19/application-service-api/#third-party-networks)).

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Map, Value};

use super::{Appservice, Appservices, link::Call};
use crate::testing::encode;

/// How long a lookup may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Location,
    User,
}

impl Lookup {
    fn segment(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::User => "user",
        }
    }
}

impl Appservices {
    /// What is known of a protocol: the answers of all who bridge it, their instances put together.
    pub(crate) async fn protocol(&self, protocol: &str) -> Option<Value> {
        let path = format!("thirdparty/protocol/{}", encode(protocol));
        let mut answers = self.ask_bridges(Some(protocol), &path, None).await.into_iter();
        let mut merged = answers.find(Value::is_object)?;
        for mut other in answers {
            if let (Some(all), Some(more)) =
                (merged["instances"].as_array_mut(), other["instances"].as_array_mut())
            {
                all.append(more);
            }
        }
        Some(merged)
    }

    /// Every protocol that somebody bridges.
    pub(crate) async fn protocols(&self) -> Map<String, Value> {
        let mut names: Vec<String> =
            self.all().iter().flat_map(|appservice| appservice.registration.protocols.clone()).collect();
        names.sort();
        names.dedup();
        let looked_up = join_all(names.iter().map(|name| self.protocol(name))).await;
        names.into_iter().zip(looked_up).filter_map(|(name, found)| Some((name, found?))).collect()
    }

    /// Users or locations of one protocol, or, without one, by Matrix ID. `query` is percent-encoded.
    pub(crate) async fn look_up(&self, what: Lookup, protocol: Option<&str>, query: &str) -> Vec<Value> {
        let mut path = format!("thirdparty/{}", what.segment());
        if let Some(protocol) = protocol {
            path.push('/');
            path.push_str(&encode(protocol));
        }
        let answers = self.ask_bridges(protocol, &path, Some(query)).await;
        answers
            .into_iter()
            .filter_map(|answer| match answer {
                Value::Array(found) => Some(found),
                _ => None,
            })
            .flatten()
            .collect()
    }

    pub(crate) fn bridges(&self, protocol: &str) -> bool {
        self.all()
            .iter()
            .any(|appservice| appservice.registration.protocols.iter().any(|name| name == protocol))
    }

    async fn ask_bridges(&self, protocol: Option<&str>, path: &str, query: Option<&str>) -> Vec<Value> {
        let mut asked = self.all();
        asked.retain(|appservice| {
            let protocols = &appservice.registration.protocols;
            protocol.map_or(!protocols.is_empty(), |wanted| protocols.iter().any(|name| name == wanted))
        });
        join_all(asked.iter().map(|appservice| ask(appservice, path, query)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

async fn ask(appservice: &Arc<Appservice>, path: &str, query: Option<&str>) -> Option<Value> {
    let link = appservice.link()?;
    let (today, legacy) = (format!("/_matrix/app/v1/{path}"), format!("/_matrix/app/unstable/{path}"));
    let call = Call {
        method: Method::GET,
        path: &today,
        legacy: Some(&legacy),
        query,
        body: None,
        timeout: TIMEOUT,
    };
    match link.call(&call).await {
        Ok(answer) if answer.status.is_success() => serde_json::from_slice(&answer.body).ok(),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(appservice = appservice.id(), %error, "a third-party lookup was not answered");
            None
        }
    }
}
