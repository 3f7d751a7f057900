//! The directory: which alias leads to which room, and which rooms are listed publicly.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// Where an alias leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) creator: OwnedUserId,
}

/// A network of an application service, in whose list a room is: its ID there.
type Network = (String, String);

/// Aliases and lists, all in memory and all on disk.
#[derive(Debug)]
pub(crate) struct Directory {
    store: Store,
    aliases: Arc<RwLock<Aliases>>,
    /// Aliases that are being made right now.
    reserved: Mutex<HashSet<OwnedRoomAliasId>>,
    listed: Arc<RwLock<Listed>>,
}

/// Which rooms are listed where.
#[derive(Debug, Default)]
struct Listed {
    publicly: HashSet<OwnedRoomId>,
    networks: HashMap<OwnedRoomId, HashSet<Network>>,
}

impl Listed {
    /// Without an application service and network: in the list that everybody sees.
    fn put(&mut self, room_id: OwnedRoomId, network: Option<Network>) {
        match network {
            Some(network) => drop(self.networks.entry(room_id).or_default().insert(network)),
            None => drop(self.publicly.insert(room_id)),
        }
    }

    fn take(&mut self, room_id: &RoomId, network: Option<Network>) {
        let Some(network) = network else {
            self.publicly.remove(room_id);
            return;
        };
        if let Some(networks) = self.networks.get_mut(room_id) {
            networks.remove(&network);
            if networks.is_empty() {
                self.networks.remove(room_id);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Aliases {
    targets: HashMap<OwnedRoomAliasId, Target>,
    by_room: HashMap<OwnedRoomId, Vec<OwnedRoomAliasId>>,
}

impl Aliases {
    fn insert(&mut self, alias: OwnedRoomAliasId, target: Target) {
        self.by_room.entry(target.room_id.clone()).or_default().push(alias.clone());
        self.targets.insert(alias, target);
    }

    fn remove(&mut self, alias: &RoomAliasId) -> Option<Target> {
        let target = self.targets.remove(alias)?;
        if let Some(aliases) = self.by_room.get_mut(&target.room_id) {
            aliases.retain(|other| other != alias);
        }
        Some(target)
    }
}

/// An alias that is being made, so that nobody else makes it meanwhile.
#[derive(Debug)]
pub(crate) struct Reservation<'d> {
    directory: &'d Directory,
    alias: OwnedRoomAliasId,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.directory.reserved.lock().remove(&self.alias);
    }
}

impl Directory {
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let mut aliases = Aliases::default();
        for row in store.scan_prefix(Tree::Alias, key(["alias"])) {
            let (row_key, row) = row?;
            let damaged = || StoreError::damaged("an alias");
            let [_, alias] = KeyBuf::read::<2>(&row_key).ok_or_else(damaged)?;
            let alias = RoomAliasId::parse(alias).map_err(|_| damaged())?;
            aliases.insert(alias, serde_json::from_slice(&row).map_err(|_| damaged())?);
        }
        let mut listed = Listed::default();
        for row in store.scan_prefix(Tree::Alias, key(["listed"])) {
            let (row_key, _) = row?;
            let damaged = || StoreError::damaged("a listed room");
            let [_, room_id, appservice, network] = KeyBuf::read::<4>(&row_key).ok_or_else(damaged)?;
            let room_id = RoomId::parse(room_id).map_err(|_| damaged())?;
            listed.put(room_id, (!appservice.is_empty()).then(|| (appservice.into(), network.into())));
        }
        Ok(Self {
            store,
            aliases: Arc::new(RwLock::new(aliases)),
            reserved: Mutex::default(),
            listed: Arc::new(RwLock::new(listed)),
        })
    }

    pub(crate) fn resolve(&self, alias: &RoomAliasId) -> Option<Target> {
        self.aliases.read().targets.get(alias).cloned()
    }

    /// The aliases of a room, oldest first.
    pub(crate) fn aliases_of(&self, room_id: &RoomId) -> Vec<OwnedRoomAliasId> {
        self.aliases.read().by_room.get(room_id).cloned().unwrap_or_default()
    }

    /// Keeps an alias for the caller. `None` if it is taken.
    pub(crate) fn reserve(&self, alias: &RoomAliasId) -> Option<Reservation<'_>> {
        let mut reserved = self.reserved.lock();
        if self.aliases.read().targets.contains_key(alias) || !reserved.insert(alias.to_owned()) {
            return None;
        }
        Some(Reservation { directory: self, alias: alias.to_owned() })
    }

    /// Makes a reserved alias lead to a room.
    pub(crate) async fn point(
        &self,
        reservation: Reservation<'_>,
        room_id: &RoomId,
        creator: &UserId,
    ) -> Result<(), StoreError> {
        let target = Target { room_id: room_id.to_owned(), creator: creator.to_owned() };
        let row = serde_json::to_vec(&target).expect("a target is made of texts");
        let mut writes = WriteSet::new();
        writes.put(Tree::Alias, key(["alias", reservation.alias.as_str()]), row);
        let (aliases, alias) = (self.aliases.clone(), reservation.alias.clone());
        writes.on_commit(move |_| aliases.write().insert(alias, target));
        self.store.commit(writes).await.map(drop)
    }

    /// Makes every alias of a room lead to another.
    pub(crate) async fn move_aliases(&self, from: &RoomId, to: &RoomId) -> Result<(), StoreError> {
        let mut moved = Vec::new();
        let mut writes = WriteSet::new();
        for alias in self.aliases_of(from) {
            let Some(mut target) = self.resolve(&alias) else { continue };
            to.clone_into(&mut target.room_id);
            let row = serde_json::to_vec(&target).expect("a target is made of texts");
            writes.put(Tree::Alias, key(["alias", alias.as_str()]), row);
            moved.push((alias, target));
        }
        if moved.is_empty() {
            return Ok(());
        }
        let aliases = self.aliases.clone();
        writes.on_commit(move |_| {
            let mut aliases = aliases.write();
            for (alias, target) in moved {
                aliases.remove(&alias);
                aliases.insert(alias, target);
            }
        });
        self.store.commit(writes).await.map(drop)
    }

    /// Takes an alias away. `None` if there is none.
    pub(crate) async fn remove(&self, alias: &RoomAliasId) -> Result<Option<Target>, StoreError> {
        let Some(target) = self.resolve(alias) else { return Ok(None) };
        let mut writes = WriteSet::new();
        writes.delete(Tree::Alias, key(["alias", alias.as_str()]));
        let (aliases, gone) = (self.aliases.clone(), alias.to_owned());
        writes.on_commit(move |_| drop(aliases.write().remove(&gone)));
        self.store.commit(writes).await?;
        Ok(Some(target))
    }

    pub(crate) fn is_listed(&self, room_id: &RoomId) -> bool {
        self.listed.read().publicly.contains(room_id)
    }

    /// The rooms in the public list.
    pub(crate) fn listed(&self) -> Vec<OwnedRoomId> {
        self.listed.read().publicly.iter().cloned().collect()
    }

    pub(crate) async fn list(&self, room_id: &RoomId, listed: bool) -> Result<(), StoreError> {
        self.write_listing(room_id, None, listed).await
    }

    /// The rooms in the list of a network of an application service, or of any.
    pub(crate) fn listed_on(&self, network: Option<&str>) -> Vec<OwnedRoomId> {
        let lists = self.listed.read();
        let on = |rooms: &HashSet<Network>| {
            network.is_none_or(|wanted| {
                rooms.iter().any(|(appservice, network)| wanted == format!("{appservice}|{network}"))
            })
        };
        lists.networks.iter().filter(|(_, rooms)| on(rooms)).map(|(room_id, _)| room_id.clone()).collect()
    }

    /// Puts a room into the list of a network, or takes it out.
    pub(crate) async fn list_on(
        &self,
        room_id: &RoomId,
        appservice: &str,
        network: &str,
        listed: bool,
    ) -> Result<(), StoreError> {
        self.write_listing(room_id, Some((appservice.to_owned(), network.to_owned())), listed).await
    }

    async fn write_listing(
        &self,
        room_id: &RoomId,
        network: Option<Network>,
        listed: bool,
    ) -> Result<(), StoreError> {
        let (on, called) = network.as_ref().map_or(("", ""), |(appservice, network)| (appservice, network));
        let row = key(["listed", room_id.as_str(), on, called]);
        let mut writes = WriteSet::new();
        if listed {
            writes.put(Tree::Alias, row, "");
        } else {
            writes.delete(Tree::Alias, row);
        }
        let (lists, room_id) = (self.listed.clone(), room_id.to_owned());
        writes.on_commit(move |_| {
            let mut lists = lists.write();
            if listed { lists.put(room_id, network) } else { lists.take(&room_id, network) }
        });
        self.store.commit(writes).await.map(drop)
    }
}
