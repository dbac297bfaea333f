//! The end of a build that failed in another place: its programs are ended, and no new one begins.

use std::collections::BTreeMap;
use std::sync::Mutex;

use wharf_runtime::monitor::Killer;

use super::request::BuildError;
use super::schedule::lock;

/// Whether the build goes on, and what to end when it does not.
#[derive(Default)]
pub(super) struct Cancel {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_set: bool,
    next: usize,
    programs: BTreeMap<usize, Killer>,
}

/// A program that is ended with the build, for as long as this is there.
pub(super) struct Registered<'a> {
    cancel: &'a Cancel,
    number: usize,
}

impl Cancel {
    /// Ends everything that runs. Whoever waits for a program sees it end.
    pub(super) fn all(&self) {
        let mut state = lock(&self.state);
        state.is_set = true;
        state.programs.values().for_each(Killer::kill);
    }

    pub(super) fn is_set(&self) -> bool {
        lock(&self.state).is_set
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.is_set() { Err(BuildError::Canceled) } else { Ok(()) }
    }

    /// A program that has just begun, perhaps a moment too late.
    pub(super) fn register(&self, killer: Killer) -> Registered<'_> {
        let mut state = lock(&self.state);
        if state.is_set {
            killer.kill();
        }
        state.next += 1;
        let number = state.next;
        state.programs.insert(number, killer);
        Registered { cancel: self, number }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.cancel.state).programs.remove(&self.number);
    }
}
