use super::{Durability, KeyBuf, Position, Store, StoreError, Tree, WriteSet, key};

mod atomic;

fn put(tree: Tree, key: impl AsRef<[u8]>, value: &str) -> WriteSet {
    let mut set = WriteSet::new();
    set.put(tree, key, value);
    set
}

#[tokio::test]
async fn a_committed_row_is_read_back_from_its_own_tree_only() {
    let store = Store::temporary().unwrap();
    store.commit(put(Tree::Alias, "k", "v")).await.unwrap();
    assert_eq!(&*store.get(Tree::Alias, "k").unwrap().unwrap(), b"v");
    assert!(store.get(Tree::Room, "k").unwrap().is_none());
    assert_eq!(store.range::<&[u8]>(Tree::Room, ..).count(), 0);
    assert_eq!(store.range::<&[u8]>(Tree::Alias, ..).count(), 1);
}

#[tokio::test]
async fn positions_are_given_in_the_order_of_staging_and_rows_contain_them() {
    let store = Store::temporary().unwrap();
    let pending: Vec<_> = (0..200_u64)
        .map(|n| {
            let mut set = WriteSet::new();
            for part in 0..2_u64 {
                set.positioned(move |position, rows| {
                    rows.put(Tree::Timeline, position.to_bytes(), (n * 2 + part).to_be_bytes());
                });
            }
            store.stage(set)
        })
        .collect();
    for (n, pending) in (0_u64..).zip(pending) {
        assert_eq!(pending.await.unwrap(), Position(n * 2 + 2));
    }
    let rows: Vec<_> = store.range::<&[u8]>(Tree::Timeline, ..).map(Result::unwrap).collect();
    assert_eq!(rows.len(), 400);
    for (n, (key, value)) in (0_u64..).zip(rows) {
        assert_eq!(Position::from_suffix(&key), Some(Position(n + 1)));
        assert_eq!(*value, n.to_be_bytes());
    }
    assert_eq!(store.frontier(), Position(400));
}

#[tokio::test]
async fn a_callback_before_the_frontier_sees_the_rows_and_one_after_it_sees_the_frontier() {
    let store = Store::temporary().unwrap();
    let mut set = WriteSet::new();
    set.positioned(|position, rows| rows.put(Tree::Meta, "x", position.to_bytes()));
    let (before, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let after = before.clone();
    let (early, late) = (store.clone(), store.clone());
    set.on_commit(move |_| {
        before.send((early.frontier(), early.contains(Tree::Meta, "x").unwrap())).unwrap();
    });
    set.on_visible(move |_| after.send((late.frontier(), true)).unwrap());
    store.commit(set).await.unwrap();
    assert_eq!(seen.recv().await, Some((Position(0), true)));
    assert_eq!(seen.recv().await, Some((Position(1), true)));
}

#[tokio::test]
async fn a_failed_commit_takes_with_it_what_was_built_on_it_and_nothing_else() {
    let store = Store::temporary().unwrap();
    let generation = store.generation();
    store.fail_next_commit();
    let mut first = put(Tree::Meta, "a", "1");
    first.built_on(generation);
    assert!(store.commit(first).await.is_err());
    let mut second = put(Tree::Meta, "b", "1");
    second.built_on(generation);
    assert!(matches!(store.commit(second).await, Err(StoreError::Superseded)));
    store.commit(put(Tree::Meta, "c", "1")).await.unwrap();
    let mut again = put(Tree::Meta, "a", "2");
    again.built_on(store.generation());
    store.commit(again).await.unwrap();
    assert!(!store.contains(Tree::Meta, "b").unwrap());
    assert!(store.contains(Tree::Meta, "a").unwrap());
}

#[tokio::test]
async fn a_reopened_store_continues_where_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path(), Durability::Flushed).unwrap();
        for n in 0..3_u64 {
            let number = store.event_number();
            let mut set = put(Tree::Event, number.to_be_bytes(), "event");
            set.positioned(move |position, rows| rows.put(Tree::Timeline, position.to_bytes(), "x"));
            assert_eq!(store.commit(set).await.unwrap(), Position(n + 1));
        }
    }
    let store = Store::open(dir.path(), Durability::Flushed).unwrap();
    assert_eq!(store.frontier(), Position(3));
    assert_eq!(store.event_number(), 4);
    let mut set = WriteSet::new();
    set.positioned(|_, _| {});
    assert_eq!(store.commit(set).await.unwrap(), Position(4));
}

#[tokio::test]
async fn what_is_counted_counts_also_what_is_not_written_yet() {
    let dir = tempfile::tempdir().unwrap();
    for store in [Store::temporary().unwrap(), Store::open(dir.path(), Durability::Flushed).unwrap()] {
        let count = || {
            let mut set = WriteSet::new();
            set.change(Tree::Meta, "seen", |seen, rows| {
                let seen = seen.and_then(Position::from_suffix).unwrap_or_default();
                rows.put(Tree::Meta, "seen", seen.next().to_bytes());
                rows.change(Tree::Meta, "seen", |seen, rows| rows.put(Tree::Meta, "again", seen.unwrap()));
            });
            store.stage(set)
        };
        let staged: Vec<_> = (0..500).map(|_| count()).collect();
        for pending in staged {
            pending.await.unwrap();
        }
        for row in ["seen", "again"] {
            assert_eq!(*store.get(Tree::Meta, row).unwrap().unwrap(), Position(500).to_bytes());
        }
    }
}

#[test]
fn another_schema_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        let db = sled::open(dir.path()).unwrap();
        db.insert(Tree::Meta.key(b"schema"), &99_u64.to_be_bytes()).unwrap();
        db.flush().unwrap();
    }
    let error = Store::open(dir.path(), Durability::Flushed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database has schema version 99, this server reads version 2; \
         use the server that wrote it, or begin with an empty directory"
    );
}

#[test]
fn no_key_is_a_prefix_of_another_by_accident() {
    let short = key(["@al:hs"]);
    let long = key(["@al:hs2"]).text("!room");
    assert!(!long.as_ref().starts_with(short.as_ref()));
    assert_eq!(KeyBuf::read(key(["a", "b"]).number(7).as_ref()), Some(["a", "b"]));
    assert!(short.clone().number(u64::MAX).as_ref().starts_with(short.as_ref()));
}

#[test]
fn a_temporary_store_opens_in_a_few_milliseconds() {
    // Not a measurement, only a guard against an accidental fsync or table scan; see the benchmarks.
    let stores: Vec<_> = (0..20).map(|_| Store::temporary().unwrap()).collect();
    assert_eq!(stores.len(), 20);
}

#[test]
fn files_in_use_are_not_opened_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::Flushed).unwrap();
    assert!(matches!(Store::open(dir.path(), Durability::Flushed), Err(StoreError::InUse)));
    drop(store);
    for _ in 0..50 {
        drop(Store::open(dir.path(), Durability::Flushed).unwrap());
    }
}

#[tokio::test]
async fn a_temporary_store_has_room_for_rows_of_any_size() {
    let store = Store::temporary().unwrap();
    store.commit(put(Tree::Edge, "large", &"x".repeat(1 << 20))).await.unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(store);
        tell.send(()).unwrap();
    });
    told.recv_timeout(std::time::Duration::from_secs(10)).expect("the store closes");
}
