//! Steps that are the same: one of them is carried out, and the others find its result in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use wharf_model::Digest;

use super::schedule::lock;

/// Which keys are being worked on, and which were in this build.
#[derive(Default)]
pub(super) struct Turns {
    keys: Mutex<Keys>,
    free: Condvar,
}

#[derive(Default)]
struct Keys {
    taken: BTreeSet<Digest>,
    /// By which stages.
    done: BTreeMap<Digest, BTreeSet<String>>,
}

/// Nobody else works on this key meanwhile.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: Digest,
}

impl Turns {
    /// Waits for those who work on the same.
    pub(super) fn take(&self, key: Digest) -> Turn<'_> {
        let mut keys = lock(&self.keys);
        while !keys.taken.insert(key) {
            keys = self.free.wait(keys).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, key }
    }
}

impl Turn<'_> {
    /// Another stage did the same in this very build, so it need not be done again even when the cache
    /// is not to be used.
    pub(super) fn was_done_by_another(&self, stage: &str) -> bool {
        let keys = lock(&self.turns.keys);
        keys.done.get(&self.key).is_some_and(|stages| stages.iter().any(|other| other != stage))
    }

    pub(super) fn done_by(&self, stage: &str) {
        lock(&self.turns.keys).done.entry(self.key).or_default().insert(stage.to_owned());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.keys).taken.remove(&self.key);
        self.turns.free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn one_works_on_a_key_and_the_others_see_that_it_did() {
        let (turns, inside) = (Turns::default(), AtomicBool::new(false));
        let step = |stage: &'static str| {
            let (turns, inside) = (&turns, &inside);
            move || {
                let turn = turns.take(Digest::of("same"));
                assert!(!inside.swap(true, Ordering::SeqCst));
                std::thread::yield_now();
                inside.store(false, Ordering::SeqCst);
                let before = turn.was_done_by_another(stage);
                turn.done_by(stage);
                before
            }
        };
        let found = std::thread::scope(|scope| {
            let both = [scope.spawn(step("a")), scope.spawn(step("b"))];
            both.map(|thread| thread.join().unwrap())
        });
        assert_eq!(found.iter().filter(|before| **before).count(), 1);
    }

    #[test]
    fn a_stage_does_not_count_for_itself() {
        let turns = Turns::default();
        turns.take(Digest::of("x")).done_by("a");
        let turn = turns.take(Digest::of("x"));
        assert!(!turn.was_done_by_another("a") && turn.was_done_by_another("b"));
    }
}
