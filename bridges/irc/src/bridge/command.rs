//! What users can tell the bridge to do: the commands of matrix-appservice-irc, a file per command.

use std::sync::Arc;

use async_trait::async_trait;
use matrix_appservice::bridge::{Command, CommandCall, CommandReply, LoginRecord};

use super::connection::{Connection, Settings};
use super::ids;
use super::network::IrcNetwork;

mod account;
mod join;
mod listrooms;
mod nick;
mod raw;
mod session;
mod whois;

/// All commands.
pub(super) fn all(networks: &[Arc<IrcNetwork>]) -> Vec<Arc<dyn Command>> {
    let on = |action: Box<dyn Action>| -> Arc<dyn Command> {
        Arc::new(OnNetwork { networks: networks.to_vec(), action })
    };
    vec![
        on(Box::new(nick::Nick)),
        on(Box::new(join::Join)),
        on(Box::new(raw::Raw)),
        on(Box::new(whois::Whois)),
        on(Box::new(account::Username)),
        on(Box::new(account::StorePass)),
        on(Box::new(account::RemovePass)),
        on(Box::new(session::Reconnect)),
        on(Box::new(session::Quit)),
        on(Box::new(listrooms::ListRooms)),
    ]
}

/// A command that concerns one network.
#[async_trait]
trait Action: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn usage(&self) -> &'static str;
    fn help(&self) -> &'static str;
    fn secret(&self) -> bool {
        false
    }
    async fn run(&self, on: On<'_>) -> Result<String, String>;
}

/// One use of a command: who, on which network, with which words.
struct On<'a> {
    call: &'a CommandCall,
    network: &'a Arc<IrcNetwork>,
    words: &'a str,
}

impl On<'_> {
    /// The caller's connection, if he has one.
    fn connection(&self) -> Result<Arc<Connection>, String> {
        let login = ids::puppet(&self.network.server, &self.call.sender);
        self.network.connection(&login).ok_or_else(|| {
            format!("You have no connection to {} yet: join a channel first.", self.network.server)
        })
    }

    /// Changes what is stored about the caller, and about the open connection.
    async fn settle(&self, change: impl FnOnce(&mut Settings) + Send) -> Result<(), String> {
        let id = ids::puppet(&self.network.server, &self.call.sender);
        let stored = self.call.cx.login(&id).await;
        let mut record = match stored {
            Some(record) => record,
            None => LoginRecord::of_user(id.clone(), self.call.sender.clone()),
        };
        let mut settings: Settings = serde_json::from_value(record.data.clone()).unwrap_or_default();
        change(&mut settings);
        record.data = serde_json::to_value(&settings).map_err(|error| error.to_string())?;
        if let Some(connection) = self.network.connection(&id) {
            *connection.settings.lock() = settings;
        }
        self.call.cx.save_login(record).await.map_err(|error| error.to_string())
    }
}

/// Finds out which network is meant, then acts.
struct OnNetwork {
    networks: Vec<Arc<IrcNetwork>>,
    action: Box<dyn Action>,
}

impl OnNetwork {
    /// The network that is named first, else that of the room, else the only one.
    fn choose<'a>(&self, call: &'a CommandCall) -> Result<(&Arc<IrcNetwork>, &'a str), String> {
        let arguments = call.arguments.as_str();
        let (first, rest) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
        let named = |name: &str| self.networks.iter().find(|network| network.server == name);
        if let Some(network) = named(first) {
            return Ok((network, rest.trim()));
        }
        let here = call.portal.as_ref().and_then(|portal| ids::of_portal(&portal.id));
        if let Some(network) = here.and_then(|(server, _)| named(server)) {
            return Ok((network, arguments));
        }
        match &self.networks[..] {
            [only] => Ok((only, arguments)),
            several => {
                let names: Vec<_> = several.iter().map(|network| network.server.as_str()).collect();
                Err(format!("Which network? Put one of these first: {}.", names.join(", ")))
            }
        }
    }
}

#[async_trait]
impl Command for OnNetwork {
    fn name(&self) -> &str {
        self.action.name()
    }

    fn usage(&self) -> &str {
        self.action.usage()
    }

    fn help(&self) -> &str {
        self.action.help()
    }

    fn secret(&self) -> bool {
        self.action.secret()
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        let answer = match self.choose(&call) {
            Ok((network, words)) => self.action.run(On { call: &call, network, words }).await,
            Err(question) => Err(question),
        };
        CommandReply::text(answer.unwrap_or_else(|problem| problem))
    }
}
