//! Bridges to a scripted network, against a real homeserver, over the wire.

mod scene;
mod scripted;

mod commands;
mod from_matrix;
mod from_network;
mod restart;
mod rooms;
