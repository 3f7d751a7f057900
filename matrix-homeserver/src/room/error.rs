//! Why something could not be done in a room.

use crate::{event::EventError, store::StoreError};

/// Why something could not be done in a room. The text is for the user who asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RoomError {
    /// The user may not do this: `M_FORBIDDEN`.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such room, event or state: `M_NOT_FOUND`.
    #[error("{0}")]
    NotFound(&'static str),
    /// The event is too large: `M_TOO_LARGE`.
    #[error("{0}")]
    TooLarge(String),
    /// The content is not what an event can hold: `M_BAD_JSON`.
    #[error("{0}")]
    BadJson(String),
    /// A parameter makes no sense: `M_INVALID_PARAM`.
    #[error("{0}")]
    InvalidParam(String),
    /// This server does not make rooms of this version: `M_UNSUPPORTED_ROOM_VERSION`.
    #[error("room version {0} is not supported")]
    UnsupportedVersion(String),
    /// The room's state does not allow it, whoever asks: `M_BAD_STATE`.
    #[error("{0}")]
    BadState(String),
    /// What a new room was to start with is not valid: `M_INVALID_ROOM_STATE`.
    #[error("{0}")]
    InvalidRoomState(String),
    /// The sender has said the same about the event before: `M_DUPLICATE_ANNOTATION`.
    #[error("you have annotated the event with this before")]
    DuplicateAnnotation,
    /// The root of the thread relates to another event itself: `M_UNKNOWN`.
    #[error("no thread starts from an event that is related to another")]
    InvalidThread,
    /// The database failed.
    #[error("the room could not be read or written")]
    Store(#[from] StoreError),
    /// The server's own data does not make sense.
    #[error("the room could not be processed: {0}")]
    Internal(String),
}

impl RoomError {
    pub(crate) fn forbidden(reason: impl Into<String>) -> Self {
        Self::Forbidden(reason.into())
    }

    /// What somebody is told who is not in the room, whether or not it exists.
    pub(crate) fn not_in_room() -> Self {
        Self::Forbidden("you are not in this room".to_owned())
    }
}

impl From<EventError> for RoomError {
    fn from(error: EventError) -> Self {
        match error {
            EventError::TooLarge | EventError::FieldTooLong { .. } => Self::TooLarge(error.to_string()),
            EventError::Content { .. } => Self::BadJson(error.to_string()),
        }
    }
}
