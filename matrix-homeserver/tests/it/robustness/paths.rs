//! Paths and queries: those that fit, and those that do not.

use matrix_homeserver::testing::{TestUser, encode};
use rand::{RngExt as _, rngs::StdRng};

use super::World;

/// What stands in the place of a parameter, already encoded.
const NONSENSE: &[&str] = &[
    "",
    "x",
    "%00",
    "%ff%fe",
    "%zz",
    "%",
    "%2F..%2F",
    "..",
    "%25",
    "%F0%9F%92%A9",
    "%e2%80%ae",
    "-1",
    "99999999999999999999999",
    "1e400",
    "{}",
    "%7B%22a%22%3A%5B",
    "!:",
    "!x:hs.test",
    "!%00:hs.test",
    "@:",
    "@x:hs.test",
    "@%F0%9F%92%A9:hs.test",
    "@x:elsewhere.test:99999999",
    "%23%23",
    "%23x:hs.test",
    "$",
    "$x",
    "m.room.member",
    "m.read",
    "[(*+",
];

/// Queries that nobody asked for; none of them waits.
const QUERIES: &[&str] = &[
    "",
    "?",
    "?&&&=&=",
    "?x",
    "?%",
    "?%ff=%00",
    "?access_token=",
    "?access_token=%00&access_token=x",
    "?user_id=nonsense",
    "?user_id=@ghost_x:hs.test&device_id=%00",
    "?ts=-1",
    "?ts=99999999999999999999",
    "?limit=-1&dir=x&from=&to=%00",
    "?limit=99999999999999999999999&dir=b&from=x",
    "?dir=b&limit=0&from=s0",
    "?dir=f&limit=1e9&filter=%7B",
    "?dir=b&filter=%7B%22types%22%3A7%7D",
    "?since=%00&timeout=-1",
    "?since=s99999999999999999999_0&timeout=0&full_state=maybe",
    "?since=x&filter=%5B%5D&timeout=0",
    "?pos=%00&timeout=0&set_presence=x",
    "?pos=ffffffffffffffffffff&timeout=0",
    "?filter=%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A-1%7D%7D%7D&timeout=0",
    "?width=0&height=0&method=x",
    "?width=99999999999&height=-1",
    "?ts=0&dir=sideways",
    "?ts=x&dir=f",
    "?max_depth=-1&suggested_only=7&limit=0",
    "?room_id=nonsense&event_id=nonsense",
    "?uri=%00",
    "?token=%ff",
    "?from=0&to=nonsense",
    "?username=%00",
    "?kind=nonsense",
    "?format=nonsense",
    "?server_name=%00&via=%ff",
    "?search=%00&alias=%23&userid=@",
    "?version=nonsense",
    "?at=nonsense&membership=nonsense&not_membership=x",
];

/// The path with what is really there in the places that name it.
pub(super) fn sensible(route: &str, world: &World, user: &TestUser) -> String {
    fill(route, |name| match name {
        "roomId" | "roomIdOrAlias" => encode(&world.room),
        "userId" => encode(user.user_id().as_str()),
        "eventId" => encode(&world.event),
        "roomAlias" => encode("#here:hs.test"),
        "serverName" => "hs.test".to_owned(),
        "deviceId" => user.device_id().unwrap_or("DEVICE").to_owned(),
        "eventType" => "m.room.topic".to_owned(),
        "receiptType" => "m.read".to_owned(),
        "relType" => "m.thread".to_owned(),
        "kind" => "override".to_owned(),
        "keyName" => "displayname".to_owned(),
        "appserviceId" => "bridge".to_owned(),
        _ => "x".to_owned(),
    })
}

/// Paths and queries in which something is wrong.
pub(super) fn nonsense(route: &str, world: &World, user: &TestUser, random: &mut StdRng) -> Vec<String> {
    let good = sensible(route, world, user);
    let mut paths: Vec<_> = QUERIES.iter().map(|query| format!("{good}{query}")).collect();
    paths.push(format!("{good}/"));
    paths.push(format!("{good}?{}", "x".repeat(5000)));
    if route.contains('{') {
        let long = "x".repeat(3000);
        paths.extend(NONSENSE.iter().chain([&&*long]).map(|word| fill(route, |_| (*word).to_owned())));
        let mut one = || NONSENSE[random.random_range(0..NONSENSE.len())].to_owned();
        paths.extend((0..12).map(|_| fill(route, |_| one())));
        // The room is there, and the rest is not.
        let mixed = |word: &&str| {
            fill(route, |name| if name == "roomId" { encode(&world.room) } else { (*word).to_owned() })
        };
        paths.extend(NONSENSE.iter().map(mixed));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Puts something in the place of every parameter.
fn fill(route: &str, mut value: impl FnMut(&str) -> String) -> String {
    let segments = route.split('/').map(|segment| {
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => value(name),
            None => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}
