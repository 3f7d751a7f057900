//! Lookups on third-party networks, answered by the application services that bridge them
//! ([third-party networks](https://spec.matrix.org/v1.19/application-service-api/#third-party-networks)).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::{Appservice, Appservices, link::Call};
use crate::testing::encode;

/// How long what is known of a protocol is good.
const FRESH: Duration = Duration::from_mins(1);
/// How long a lookup may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

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

/// What is known of protocols, for a while: clients ask for all of them whenever they show the list of rooms.
#[derive(Debug, Default)]
pub(super) struct ProtocolCache(Mutex<HashMap<String, (Instant, Value)>>);

impl ProtocolCache {
    fn get(&self, protocol: &str) -> Option<Value> {
        let known = self.0.lock();
        known.get(protocol).filter(|(since, _)| since.elapsed() < FRESH).map(|(_, value)| value.clone())
    }

    fn put(&self, protocol: &str, value: &Value) {
        self.0.lock().insert(protocol.to_owned(), (Instant::now(), value.clone()));
    }

    /// Somebody came or went who may bridge something.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Appservices {
    /// What is known of a protocol: the answers of all who bridge it, their instances put together.
    pub(crate) async fn protocol(&self, protocol: &str) -> Option<Value> {
        if let Some(known) = self.protocols.get(protocol) {
            return Some(known);
        }
        let path = format!("thirdparty/protocol/{}", encode(protocol));
        let mut answers = self.ask_bridges(Some(protocol), &path, None).await;
        for (appservice, answer) in &mut answers {
            name_instances(appservice, answer);
        }
        let mut answers = answers.into_iter().map(|(_, answer)| answer);
        let mut merged = answers.find(Value::is_object)?;
        for mut other in answers {
            if let (Some(all), Some(more)) =
                (merged["instances"].as_array_mut(), other["instances"].as_array_mut())
            {
                all.append(more);
            }
        }
        self.protocols.put(protocol, &merged);
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
            .filter_map(|(_, answer)| match answer {
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

    async fn ask_bridges(
        &self,
        protocol: Option<&str>,
        path: &str,
        query: Option<&str>,
    ) -> Vec<(Arc<Appservice>, Value)> {
        let mut asked = self.all();
        asked.retain(|appservice| {
            let protocols = &appservice.registration.protocols;
            protocol.map_or(!protocols.is_empty(), |wanted| protocols.iter().any(|name| name == wanted))
        });
        let answers = join_all(asked.iter().map(|appservice| ask(appservice, path, query))).await;
        asked.into_iter().zip(answers).filter_map(|(it, answer)| Some((it, answer?))).collect()
    }
}

/// Gives the instances of a protocol the IDs by which the list of public rooms is asked for one of them.
fn name_instances(appservice: &Appservice, protocol: &mut Value) {
    for instance in protocol["instances"].as_array_mut().into_iter().flatten() {
        let network = instance["network_id"].as_str().map(|network| format!("{}|{network}", appservice.id()));
        if let (Some(instance), Some(id)) = (instance.as_object_mut(), network) {
            instance.insert("instance_id".to_owned(), id.into());
        }
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
