//! Names of one side as names of the other. Pure, and without a Matrix client.

mod alias;
mod escape;
mod nick;
mod translit;
mod user;

pub use self::alias::AliasTemplate;
pub use self::nick::{NickTemplate, WishedNick, sanitize_nick, user_name};
pub use self::user::UserTemplate;
