//! Asking application services for users and aliases that do not exist yet
//! ([querying](https://spec.matrix.org/v1.19/application-service-api/#querying)).
//!
//! An application service answers after it has made what was asked for, by requests of its own. So nothing is locked
//! while it is asked, and everybody who waits for the same answer shares one question.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use ruma::{RoomAliasId, UserId};
use serde_json::Value;

use super::{Appservice, Appservices, link::Call};
use crate::testing::encode;

/// How often one question is put before the homeserver gives up.
const ATTEMPTS: u32 = 3;
/// The wait after the first failure; every further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An application service that might know did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an application service did not answer a query")]
pub(crate) struct QueryFailed;

/// Who said that there is such a user or room, and how.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) appservice: Arc<Appservice>,
    /// The answer; an object, or null.
    pub(crate) body: Value,
}

type Outcome = Result<Option<Arc<Found>>, QueryFailed>;
type InFlight = HashMap<String, Shared<BoxFuture<'static, Outcome>>>;

#[derive(Debug)]
pub(crate) struct Queries {
    in_flight: Arc<Mutex<InFlight>>,
    timeout: Duration,
}

impl Queries {
    /// `timeout` is for all attempts together.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { in_flight: Arc::default(), timeout }
    }

    /// Joins the question that is being asked already, or asks it.
    async fn ask(&self, appservices: Vec<Arc<Appservice>>, kind: &'static str, id: &str) -> Outcome {
        if appservices.is_empty() {
            return Ok(None);
        }
        let name = format!("{kind}/{}", encode(id));
        let question = {
            let mut in_flight = self.in_flight.lock();
            if let Some(question) = in_flight.get(&name) {
                question.clone()
            } else {
                let (table, timeout) = (self.in_flight.clone(), self.timeout);
                let key = name.clone();
                // A task of its own: who asked first may hang up while others still wait.
                let task = tokio::spawn(async move {
                    let outcome = tokio::time::timeout(timeout, ask_all(&appservices, &key, timeout)).await;
                    table.lock().remove(&key);
                    outcome.unwrap_or(Err(QueryFailed))
                });
                let question = task.map(|joined| joined.unwrap_or(Err(QueryFailed))).boxed().shared();
                in_flight.insert(name, question.clone());
                question
            }
        };
        question.await
    }
}

/// Asks one application service after the other until one says yes.
async fn ask_all(appservices: &[Arc<Appservice>], path: &str, timeout: Duration) -> Outcome {
    let mut failed = false;
    for appservice in appservices {
        match ask_one(appservice, path, timeout).await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(QueryFailed) => failed = true,
        }
    }
    if failed { Err(QueryFailed) } else { Ok(None) }
}

async fn ask_one(appservice: &Arc<Appservice>, path: &str, timeout: Duration) -> Outcome {
    let Some(link) = appservice.link() else { return Ok(None) };
    let (today, legacy) = (format!("/_matrix/app/v1/{path}"), format!("/{path}"));
    let call =
        Call { method: Method::GET, path: &today, legacy: Some(&legacy), query: None, body: None, timeout };
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        match link.call(&call).await {
            Ok(answer) if answer.status.is_success() => {
                let body = serde_json::from_slice(&answer.body).ok().filter(Value::is_object);
                let found = Found { appservice: appservice.clone(), body: body.unwrap_or_default() };
                return Ok(Some(Arc::new(found)));
            }
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => return Ok(None),
            Ok(answer) => {
                tracing::warn!(appservice = appservice.id(), status = %answer.status, attempt, "a query was refused");
                if answer.status.is_client_error() {
                    return Ok(None);
                }
            }
            Err(error) => {
                tracing::warn!(appservice = appservice.id(), %error, attempt, "a query was not answered");
            }
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    Err(QueryFailed)
}

impl Appservices {
    /// Asks those in whose namespace the user is to make it. What one says that did, or lets this server do.
    pub(crate) async fn query_user(&self, user_id: &UserId) -> Outcome {
        let mut asked = self.all();
        asked.retain(|appservice| appservice.link().is_some() && appservice.may_act_as(user_id));
        self.queries.ask(asked, "users", user_id.as_str()).await
    }

    /// Asks those in whose namespace the alias is to make the room. What one says that did, or lets this server do.
    pub(crate) async fn query_alias(&self, alias: &RoomAliasId) -> Outcome {
        let mut asked = self.all();
        asked.retain(|appservice| appservice.link().is_some() && appservice.may_own_alias(alias));
        self.queries.ask(asked, "rooms", alias.as_str()).await
    }
}
