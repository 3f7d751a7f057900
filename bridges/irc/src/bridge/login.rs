//! A connection as the framework's [`Login`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use matrix_appservice::bridge::{
    BackfillMessage, ChatInfo, JoinPolicy, Login, MatrixChange, NetworkError, OutgoingMessage, PortalKey,
    RemoteMessageId, RemoteSink, RemoteUserId, RoomFeatures, Sent, UserInfo,
};
use ruma::MilliSecondsSinceUnixEpoch;
use tokio::time::Instant;

use super::connection::Connection;
use super::ids;

/// How long the network may take to let the bridge into a channel that somebody asked for.
const ENTRY: Duration = Duration::from_secs(15);

/// A connection to IRC: the bridge's own, or a Matrix user's.
#[derive(Debug)]
pub struct IrcLogin {
    connection: Arc<Connection>,
}

impl IrcLogin {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// What a channel is like; makes the bridge enter it.
    async fn channel_info(&self, folded: &str) -> Result<ChatInfo, NetworkError> {
        let connection = &self.connection;
        let network = &connection.network;
        if !network.serves(folded) {
            return Err(NetworkError::not_found(format!("{folded} is not bridged")));
        }
        let deadline = Instant::now() + ENTRY;
        let name = network.channel_name(folded);
        if !connection.is_puppet() {
            connection.want(folded, &name);
            if connection.online(deadline).await.is_none() {
                return Err(NetworkError::unavailable("IRC cannot be reached at the moment"));
            }
            match connection.wait_joined(folded, deadline).await {
                Ok(()) => {}
                Err(Some(reason)) => return Err(NetworkError::refused(reason)),
                Err(None) => return Err(NetworkError::unavailable(format!("{name} does not answer"))),
            }
            connection.wait_names(folded, deadline).await;
        }
        Ok(self.describe(folded))
    }

    fn describe(&self, folded: &str) -> ChatInfo {
        let network = &self.connection.network;
        let config = &network.config;
        let shown = config.membership_lists.irc_to_matrix.initial;
        let members = if shown { self.connection.members(folded) } else { Vec::new() };
        let mut state = network.state.lock();
        let channel = state.channels.entry(folded, folded);
        let mut info = ChatInfo::channel(channel.name.clone());
        info.topic.clone_from(&channel.topic);
        info.listed = config.dynamic_channels.published;
        info.moderated = channel.complete.then_some(channel.moderated);
        if config.dynamic_channels.join_rule == "invite" {
            info.join = Some(JoinPolicy::Invited);
        }
        info.members = members;
        info
    }
}

#[async_trait]
impl Login for IrcLogin {
    async fn connect(&self, sink: RemoteSink) -> Result<(), NetworkError> {
        self.connection.start(sink).await;
        Ok(())
    }

    async fn disconnect(&self) {
        self.connection.stop().await;
    }

    async fn send(&self, message: OutgoingMessage) -> Sent {
        self.connection.send_message(message).await
    }

    async fn chat_info(&self, portal: &PortalKey) -> Result<ChatInfo, NetworkError> {
        let network = &self.connection.network;
        let (_, name) =
            ids::of_portal(&portal.id).ok_or_else(|| NetworkError::not_found("there is no such channel"))?;
        if portal.receiver.is_some() {
            let mut info = ChatInfo::private(network.user(name));
            info.name = Some(network.spelling(name).unwrap_or_else(|| name.to_owned()));
            return Ok(info);
        }
        self.channel_info(name).await
    }

    async fn user_info(&self, user: &RemoteUserId) -> Result<UserInfo, NetworkError> {
        let network = &self.connection.network;
        let (_, nick) = ids::of_user(user).ok_or_else(|| NetworkError::not_found("there is no such nick"))?;
        Ok(network.user_info(&network.spelling(nick).unwrap_or_else(|| nick.to_owned())))
    }

    fn features(&self, portal: &PortalKey) -> RoomFeatures {
        let channel = portal.receiver.is_none();
        let mut features = RoomFeatures::text();
        features.edits = true;
        features.media = true;
        features.typing = true;
        features.topic = channel;
        features.membership = channel;
        features.power = channel;
        features.history = channel;
        features
    }

    async fn apply(&self, change: MatrixChange) -> Sent {
        self.connection.apply_change(change).await
    }

    async fn history(
        &self,
        portal: &PortalKey,
        after: Option<&RemoteMessageId>,
        limit: usize,
    ) -> Result<Vec<BackfillMessage>, NetworkError> {
        let network = &self.connection.network;
        let Some((_, folded)) = ids::of_portal(&portal.id).filter(|_| portal.receiver.is_none()) else {
            return Ok(Vec::new());
        };
        let mut state = network.state.lock();
        let Some(channel) = state.channels.get_mut(folded) else { return Ok(Vec::new()) };
        // From here on what is said goes to the room: it cannot fall between the two.
        channel.live = true;
        let now = MilliSecondsSinceUnixEpoch::now();
        let mut messages = channel.scrollback.recent(limit, &network.config.scrollback, now);
        if let Some(at) = after.and_then(|after| messages.iter().position(|message| message.id == *after)) {
            messages.drain(..=at);
        }
        Ok(messages)
    }
}
