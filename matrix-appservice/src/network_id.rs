//! Opaque identifiers of the other network.
//!
//! Each is a string that only the network's own code reads. The framework compares, stores and
//! hands them back. What must be unique within what is written at each type; where a network
//! compares names loosely (case mapping, for example), fold the name *before* making the identifier,
//! because two identifiers are the same exactly when their bytes are.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! network_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the string as it is.
            pub fn new(id: impl Into<Arc<str>>) -> Self {
                Self(id.into())
            }

            /// The string as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.into())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id.into())
            }
        }
    };
}

network_id! {
    /// A network: `libera`. Unique within one bridge process.
    NetworkId
}

network_id! {
    /// A chat on the network: a channel, a group, a conversation. Unique within one bridge process, so
    /// a bridge to several networks puts the network's name into it: `libera/#rust`.
    PortalId
}

network_id! {
    /// An account or connection of the bridge on the network. Unique within one bridge process.
    LoginId
}

network_id! {
    /// A user of the network, as everybody sees it. Unique within one bridge process, and the same
    /// user has the same identifier in every portal and for every login.
    RemoteUserId
}

network_id! {
    /// A message of the network. Unique within one [`PortalKey`]: two messages of a portal never share
    /// one, and a message that is delivered twice carries the same one both times. This is what a
    /// message is recognised by, so a network without message identifiers makes one from what it has
    /// (connection, sequence number), never from the text alone.
    RemoteMessageId
}

network_id! {
    /// A part of a message that becomes several Matrix events, such as a picture and its caption.
    /// Unique within one [`RemoteMessageId`]. The empty string is the only or first part.
    PartId
}

network_id! {
    /// The framework's key for something that it asked the network to do. Unique within one bridge
    /// process for all time; the same request has the same key when it is repeated after a crash,
    /// so a network that accepts idempotency keys can be given this one.
    TxnKey
}

impl Default for PartId {
    fn default() -> Self {
        Self::new("")
    }
}

/// Which portal: a chat, and for chats that look different to each participant also whose view it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortalKey {
    /// The chat.
    pub id: PortalId,
    /// Whose view of the chat this is. `None` for a chat that everybody sees alike (a channel);
    /// the login it belongs to for a private chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<LoginId>,
}

impl PortalKey {
    /// A chat that everybody sees alike.
    pub fn shared(id: impl Into<PortalId>) -> Self {
        Self { id: id.into(), receiver: None }
    }

    /// A chat as `receiver` sees it.
    pub fn private(id: impl Into<PortalId>, receiver: impl Into<LoginId>) -> Self {
        Self { id: id.into(), receiver: Some(receiver.into()) }
    }
}

impl fmt::Display for PortalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.receiver {
            None => write!(f, "{}", self.id),
            Some(login) => write!(f, "{} of {login}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LoginId, PartId, PortalKey};

    #[test]
    fn a_shared_portal_and_a_private_one_of_the_same_chat_are_two() {
        assert_ne!(PortalKey::shared("libera/#rust"), PortalKey::private("libera/#rust", "libera/alice"));
    }

    #[test]
    fn an_identifier_is_a_plain_string_on_disk() {
        let key = PortalKey::private("libera/bob", "libera/alice");
        let json = serde_json::to_string(&key).expect("a portal key is serialisable");
        assert_eq!(json, r#"{"id":"libera/bob","receiver":"libera/alice"}"#);
        assert_eq!(serde_json::from_str::<PortalKey>(&json).expect("it reads what it wrote"), key);
    }

    #[test]
    fn debug_names_the_kind_of_identifier() {
        assert_eq!(format!("{:?}", LoginId::new("a")), r#"LoginId("a")"#);
        assert_eq!(PartId::default().as_str(), "");
    }
}
