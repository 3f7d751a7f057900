use super::{Batch, Store, StoreError, Tree, full_key};

fn batch(writes: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in writes {
        batch.put(Tree::Network, key.as_bytes(), value.as_bytes());
    }
    batch
}

#[tokio::test]
async fn what_is_committed_is_there_after_the_store_is_opened_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path()).expect("a new store");
    store.commit(batch(&[("a", "1"), ("b", "2")])).await.expect("a commit");
    store.apply(batch(&[("c", "3")])).expect("a write");
    drop(store);
    let store = Store::open(dir.path()).expect("the same store");
    let keys = store.scan_keys(Tree::Network, b"").expect("a scan");
    assert_eq!(keys, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn a_write_is_visible_when_the_call_returns_and_in_the_order_of_the_calls() {
    let store = Store::temporary().expect("a store");
    let first = store.commit(batch(&[("a", "1")]));
    let mut second = Batch::default();
    second.delete(Tree::Network, b"a");
    store.apply(second).expect("a write");
    assert_eq!(store.get(Tree::Network, b"a").expect("a read"), None);
    first.await.expect("a commit");
    assert_eq!(store.get(Tree::Network, b"a").expect("a read"), None);
}

#[tokio::test]
async fn a_commit_takes_effect_although_nobody_waits_for_it() {
    let store = Store::temporary().expect("a store");
    drop(store.commit(batch(&[("a", "1")])));
    assert_eq!(store.get(Tree::Network, b"a").expect("a read").as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn trees_do_not_see_each_other() {
    let store = Store::temporary().expect("a store");
    store.commit(batch(&[("a", "1")])).await.expect("a commit");
    assert_eq!(store.get(Tree::Journal, b"a").expect("a read"), None);
    assert!(store.scan(Tree::Journal, b"").expect("a scan").is_empty());
}

#[tokio::test]
async fn commits_that_wait_together_are_all_answered() {
    let store = Store::temporary().expect("a store");
    let commits: Vec<_> = (0..100).map(|n| store.commit(batch(&[(&n.to_string(), "x")]))).collect();
    for commit in commits {
        commit.await.expect("a commit");
    }
    assert_eq!(store.scan_keys(Tree::Network, b"").expect("a scan").len(), 100);
}

#[test]
fn a_store_of_another_version_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = sled::open(dir.path()).expect("a database");
    db.insert(full_key(Tree::Meta, b"schema"), "99").expect("a write");
    db.flush().expect("a flush");
    drop(db);
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Schema { found }) if found == "99"));
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_and_no_panic() {
    let store = Store::temporary().expect("a store");
    store.apply(batch(&[("a", "not json")])).expect("a write");
    let row = store.get_json::<u32>(Tree::Network, b"a");
    assert!(matches!(row, Err(StoreError::Corrupt(_))));
}
