//! A set is written as a whole or not at all, and the sets in their order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What one set does: rows to write (with a value) and to delete, how many positions it takes, whether it rests on
/// what was staged before it, and whether its commit is made to fail.
#[derive(Debug, Clone)]
struct Plan {
    rows: Vec<(u8, Option<u8>)>,
    positions: u8,
    built_on_earlier: bool,
    fails: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let rows = proptest::collection::vec((0_u8..12, proptest::option::of(any::<u8>())), 1..8);
    (rows, 0_u8..4, any::<bool>(), proptest::bool::weighted(0.15)).prop_map(
        |(rows, positions, built_on_earlier, fails)| Plan { rows, positions, built_on_earlier, fails },
    )
}

fn set_of(plan: &Plan, number: usize, generation: u64) -> WriteSet {
    let mut set = WriteSet::new();
    for (key, value) in &plan.rows {
        match value {
            Some(value) => set.put(Tree::Account, [*key], vec![*value]),
            None => set.delete(Tree::Account, [*key]),
        }
    }
    for _ in 0..plan.positions {
        let number = u64::try_from(number).unwrap();
        set.positioned(move |position, rows| {
            rows.put(Tree::Timeline, position.to_bytes(), number.to_be_bytes());
        });
    }
    if plan.built_on_earlier {
        set.built_on(generation);
    }
    set
}

/// What the rows are, if the sets that succeeded were written one after the other.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u8, u8>,
    positions: Vec<(Position, usize)>,
}

impl Model {
    fn apply(&mut self, plan: &Plan, number: usize, last: Position) {
        for (key, value) in &plan.rows {
            match value {
                Some(value) => drop(self.rows.insert(*key, *value)),
                None => drop(self.rows.remove(key)),
            }
        }
        let first = last.0 - u64::from(plan.positions);
        self.positions.extend((first + 1..=last.0).map(|position| (Position(position), number)));
    }

    fn check(&self, store: &Store) {
        let rows = store.range::<&[u8]>(Tree::Account, ..).map(Result::unwrap);
        let rows: BTreeMap<_, _> = rows.map(|(key, value)| (key[0], value[0])).collect();
        assert_eq!(rows, self.rows);
        let rows = store.range::<&[u8]>(Tree::Timeline, ..).map(Result::unwrap);
        let number = |value: &[u8]| usize::try_from(Position::from_suffix(value).unwrap().0).unwrap();
        let rows: Vec<_> =
            rows.map(|(key, value)| (Position::from_suffix(&key).unwrap(), number(&value))).collect();
        assert_eq!(rows, self.positions);
    }
}

async fn run(store: &Store, plans: &[Plan], at_once: usize) -> Model {
    let mut model = Model::default();
    for (round, plans) in plans.chunks(at_once).enumerate() {
        let generation = store.generation();
        // A commit that fails takes its whole batch with it, so it is told from the answers who was in it.
        if plans.iter().any(|plan| plan.fails) {
            store.fail_next_commit();
        }
        let staged: Vec<_> = plans
            .iter()
            .enumerate()
            .map(|(n, plan)| {
                (round * at_once + n, plan, store.stage(set_of(plan, round * at_once + n, generation)))
            })
            .collect();
        for (number, plan, pending) in staged {
            if let Ok(last) = pending.await {
                model.apply(plan, number, last);
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_rows_are_those_of_the_sets_that_were_acknowledged_and_of_no_other(
        plans in proptest::collection::vec(plan(), 1..40),
        at_once in 1_usize..12,
        flushed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let open = || if flushed { Store::open(dir.path(), Durability::Flushed) } else { Store::temporary() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = open().unwrap();
        let model = runtime.block_on(run(&store, &plans, at_once));
        model.check(&store);
        drop(store);
        if flushed {
            model.check(&open().unwrap());
        }
    }
}
