//! Finding events by their words ([search]).
//!
//! There is no index: one request looks through the newest events of the rooms in question, a bounded number of them,
//! and hands out a token to go on from where it stopped. That costs nothing when events are sent, is always
//! up to date with redactions and history visibility, and reads a hundred thousand events in a moment.
//!
//! [search]: https://spec.matrix.org/v1.19/client-server-api/#server-side-search

use std::{
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use ruma::UserId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Access, RoomError, Rooms, TimelineEntry, Visibility,
    filter::{RoomEventFilter, lets_through},
    stored::StoredEvent,
};
use crate::store::{Position, StoreError};

/// How many events are looked at for one request.
const MAX_SCANNED: usize = 100_000;

/// The texts of events that are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum SearchKey {
    #[serde(rename = "content.body")]
    Body,
    #[serde(rename = "content.name")]
    Name,
    #[serde(rename = "content.topic")]
    Topic,
}

impl SearchKey {
    pub(crate) const ALL: [Self; 3] = [Self::Body, Self::Name, Self::Topic];

    fn field(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Name => "name",
            Self::Topic => "topic",
        }
    }
}

/// The words that somebody looks for. An event has to have all of them, as beginnings of its own words, in any case.
#[derive(Debug, Clone)]
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn new(term: &str) -> Self {
        let mut words: Vec<String> = words_of(term).collect();
        words.sort_unstable();
        words.dedup();
        Self(words)
    }

    /// How well a text fits, and its words that do. `None` if one that is looked for is missing.
    fn rate(&self, text: &str) -> Option<(f64, Vec<String>)> {
        let mut missing: BTreeSet<&str> = self.0.iter().map(String::as_str).collect();
        let (mut found, mut total) = (Vec::new(), 0_u32);
        for word in words_of(text) {
            total += 1;
            let fits: Vec<&String> =
                self.0.iter().filter(|wanted| word.starts_with(wanted.as_str())).collect();
            if !fits.is_empty() {
                for wanted in fits {
                    missing.remove(wanted.as_str());
                }
                found.push(word);
            }
        }
        if self.0.is_empty() || !missing.is_empty() {
            return None;
        }
        let share = f64::from(u32::try_from(found.len()).unwrap_or(u32::MAX)) / f64::from(total.max(1));
        Some((share, found))
    }
}

/// The words of a text, in small letters.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// What is looked for.
#[derive(Debug)]
pub(crate) struct SearchRequest<'a> {
    pub(crate) words: Words,
    pub(crate) keys: &'a [SearchKey],
    pub(crate) filter: &'a RoomEventFilter,
    /// At or before this position.
    pub(crate) from: Option<Position>,
}

/// An event that has the words.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) position: Position,
    pub(crate) event: Arc<StoredEvent>,
    /// How much of the text was looked for, up to 1.
    pub(crate) rank: f64,
}

/// What was found, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) matches: Vec<Match>,
    /// The words that were looked for and those that were found.
    pub(crate) highlights: BTreeSet<String>,
    /// Where to go on. Absent where everything was looked at.
    pub(crate) rest: Option<Position>,
}

type Rows<'a> = Box<dyn Iterator<Item = Result<TimelineEntry, StoreError>> + 'a>;

/// A room that is being searched, from its newest event on.
struct Source<'a> {
    rows: Rows<'a>,
    visibility: Visibility<'a>,
    next: Option<TimelineEntry>,
}

impl Rooms {
    /// The events of some rooms that have the words, as far as the user sees them. Reads a lot: not for a thread that
    /// answers others.
    pub(crate) fn search(
        &self,
        user_id: &UserId,
        rooms: &[Access],
        request: &SearchRequest<'_>,
    ) -> Result<Matches, RoomError> {
        let mut sources = Vec::with_capacity(rooms.len());
        for access in rooms {
            let upto = request.from.map_or(access.upto, |from| from.min(access.upto));
            let mut rows: Rows<'_> = Box::new(self.timeline_rows(&access.room, Position::ZERO, upto).rev());
            let next = rows.next().transpose()?;
            sources.push(Source { rows, visibility: self.visibility(access, user_id)?, next });
        }
        let position = |source: &Source<'_>| source.next.as_ref().map(|entry| entry.position);
        // The room with the newest event that was not looked at is on top.
        let mut order: BinaryHeap<(Position, usize)> = sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some((position(source)?, index)))
            .collect();
        let highlights = request.words.0.iter().cloned().collect();
        let mut found = Matches { highlights, ..Matches::default() };
        for scanned in 0.. {
            let Some((at, index)) = order.pop() else { break };
            if scanned == MAX_SCANNED {
                found.rest = Some(at);
                break;
            }
            let source = &mut sources[index];
            let following = source.rows.next().transpose()?;
            let Some(entry) = std::mem::replace(&mut source.next, following) else { continue };
            if let Some(next) = position(source) {
                order.push((next, index));
            }
            if let Some((rank, words)) = rate(request, &entry.event)
                && source.visibility.sees(&entry.event)?
            {
                found.highlights.extend(words);
                found.matches.push(Match { position: entry.position, event: entry.event, rank });
            }
        }
        Ok(found)
    }
}

/// How well an event fits, by the text that fits best, and its words that do.
fn rate(request: &SearchRequest<'_>, event: &StoredEvent) -> Option<(f64, Vec<String>)> {
    if !lets_through(request.filter, &event.pdu) {
        return None;
    }
    let texts = request.keys.iter().filter_map(|key| text_of(&event.pdu.content, key.field()));
    texts.filter_map(|text| request.words.rate(&text)).max_by(|one, other| one.0.total_cmp(&other.0))
}

fn text_of(content: &RawValue, field: &str) -> Option<String> {
    // Most events lack most fields, and are not parsed to find that out.
    if !content.get().contains(field) {
        return None;
    }
    let content: serde_json::Map<String, serde_json::Value> = serde_json::from_str(content.get()).ok()?;
    content.get(field)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fits_that_has_every_word_by_its_beginning() {
        for (term, text, fits) in [
            ("mars", "Martians from Mars", true),
            ("mars venus", "Martians from Mars", false),
            ("MART from", "martians, from Mars!", true),
            ("art", "martians", false),
            ("", "anything", false),
            ("!?", "anything", false),
            ("straße", "Die STRASSE", false),
            ("été", "ÉTÉ 2026", true),
        ] {
            assert_eq!(Words::new(term).rate(text).is_some(), fits, "{term} in {text}");
        }
    }

    #[test]
    fn a_text_with_less_beside_the_words_ranks_higher() {
        let words = Words::new("mars");
        let rank = |text| words.rate(text).unwrap().0;
        assert!(rank("Mars") > rank("Mars and Venus"));
    }
}
