//! What each command does: a file per family.

use super::state::{ConnectionId, State};
use super::wire::{Reply, Request};

mod channel;
mod message;
mod mode;
mod query;
mod registration;

impl State {
    /// Routes a line to its command.
    pub(super) fn dispatch(&mut self, id: ConnectionId, request: &Request) {
        let command = request.command.as_str();
        if !self.client(id).registered {
            match command {
                "CAP" => self.cap(id, request),
                "PASS" => self.pass(id, request),
                "NICK" => self.nick(id, request),
                "USER" => self.user(id, request),
                "AUTHENTICATE" => self.authenticate(id, request),
                "PING" => self.ping(id, request),
                "PONG" => {}
                "QUIT" => self.quit(id, request),
                _ => self.numeric(id, 451, &["You have not registered"]),
            }
            return;
        }
        match command {
            "CAP" => self.cap(id, request),
            "AUTHENTICATE" => self.authenticate(id, request),
            "NICK" => self.nick(id, request),
            "PASS" | "USER" => self.numeric(id, 462, &["You may not reregister"]),
            "PING" => self.ping(id, request),
            "PONG" => {}
            "QUIT" => self.quit(id, request),
            "JOIN" => self.join(id, request),
            "PART" => self.part(id, request),
            "KICK" => self.kick(id, request),
            "TOPIC" => self.topic(id, request),
            "INVITE" => self.invite(id, request),
            "NAMES" => self.names_of(id, request),
            "MODE" => self.mode(id, request),
            "PRIVMSG" | "NOTICE" | "TAGMSG" => self.message(id, request),
            "WHO" => self.who(id, request),
            "WHOIS" => self.whois(id, request),
            "USERHOST" => self.userhost(id, request),
            "ISON" => self.ison(id, request),
            "LIST" => self.list(id, request),
            "AWAY" => self.away(id, request),
            "MOTD" => self.numeric(id, 422, &["There is no message of the day"]),
            _ => self.numeric(id, 421, &[command, "Unknown command"]),
        }
    }

    /// Whether a request has at least `count` parameters; answers 461 if not.
    fn needs(&mut self, id: ConnectionId, request: &Request, count: usize) -> bool {
        let fine = request.params.len() >= count && !request.params[0].is_empty();
        if !fine {
            self.numeric(id, 461, &[&request.command, "Not enough parameters"]);
        }
        fine
    }

    fn ping(&mut self, id: ConnectionId, request: &Request) {
        if self.faults.mute_pongs {
            return;
        }
        let pong = Reply::new(&self.config.name, "PONG").param(&self.config.name).param(request.bytes(0));
        self.send(id, &pong);
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::iso8601;

    #[test]
    fn times_are_written_as_server_time_demands() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_421_416_883_133, "2015-01-16T14:01:23.133Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
        ] {
            assert_eq!(iso8601(millis), text);
        }
    }
}
