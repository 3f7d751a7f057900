//! What no well-behaved peer sends, at every door: nothing breaks, nothing is answered with a 5xx.

mod http;
mod irc;
mod operator;
