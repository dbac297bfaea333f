//! Tasks that wait for each other, carried out by a few threads.
//!
//! Of the tasks that nothing is missing for, the lowest is begun first. After one that failed, none is
//! begun any more, and those that run are waited for.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Plugins run in these threads, as they do in the main one.
const STACK: usize = 8 << 20;

/// Programs wait for disks and networks more often than for a processor.
const LEAST: usize = 4;

/// How many steps of a build are carried out at a time where nobody says anything.
pub(super) fn default_limit() -> usize {
    thread::available_parallelism().map_or(LEAST, usize::from).max(LEAST)
}

/// What is left by a thread that panicked is as good as any: the panic ends the build.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was inside.
pub(super) fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Carries out the tasks `0..after.len()`, each once those in `after` are done, at most `limit` at a time.
/// `work` says whether it went well.
pub(super) fn carry_out(after: &[&[usize]], limit: usize, work: &(dyn Fn(usize) -> bool + Sync)) {
    let missing: Vec<usize> = after.iter().map(|before| before.len()).collect();
    let ready = (0..after.len()).filter(|task| missing[*task] == 0).collect();
    let board = Mutex::new(Board { missing, ready, running: 0, halted: false });
    let shift = Shift { after, board, changed: Condvar::new() };
    thread::scope(|scope| {
        for _ in 1..limit.clamp(1, after.len().max(1)) {
            let worker = thread::Builder::new().name("build".to_owned()).stack_size(STACK);
            // With fewer threads it takes longer.
            let _ = worker.spawn_scoped(scope, || shift.work(work));
        }
        shift.work(work);
    });
}

/// What is to be done.
struct Board {
    /// For each task, how many it still waits for.
    missing: Vec<usize>,
    ready: BTreeSet<usize>,
    running: usize,
    /// A task failed.
    halted: bool,
}

struct Shift<'a> {
    after: &'a [&'a [usize]],
    board: Mutex<Board>,
    changed: Condvar,
}

/// A task that is being worked on. Whatever ends the work, the others get to know.
struct Running<'a> {
    shift: &'a Shift<'a>,
    task: usize,
    fine: bool,
}

impl Shift<'_> {
    fn work(&self, work: &(dyn Fn(usize) -> bool + Sync)) {
        while let Some(task) = self.next() {
            let mut running = Running { shift: self, task, fine: false };
            running.fine = work(task);
        }
    }

    /// A task that can be begun; `None` when there will be none any more.
    fn next(&self) -> Option<usize> {
        let mut board = lock(&self.board);
        loop {
            if board.halted {
                return None;
            }
            if let Some(task) = board.ready.pop_first() {
                board.running += 1;
                return Some(task);
            }
            if board.running == 0 {
                return None;
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut board = lock(&self.shift.board);
        board.running -= 1;
        board.halted |= !self.fine;
        for (task, before) in self.shift.after.iter().enumerate() {
            if before.contains(&self.task) {
                board.missing[task] -= 1;
                if board.missing[task] == 0 {
                    board.ready.insert(task);
                }
            }
        }
        self.shift.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// 0 and 1 stand alone, 2 waits for both, 3 for 2.
    const AFTER: [&[usize]; 4] = [&[], &[], &[0, 1], &[2]];

    #[test]
    fn each_task_is_done_once_after_those_it_waits_for() {
        for limit in [0, 1, 2, 9] {
            let done = Mutex::new(Vec::new());
            carry_out(&AFTER, limit, &|task| {
                assert!(AFTER[task].iter().all(|before| lock(&done).contains(before)));
                lock(&done).push(task);
                true
            });
            let mut done = unlocked(done);
            assert_eq!(done[2..], [2, 3]);
            done.sort_unstable();
            assert_eq!(done, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn what_waits_for_nothing_is_done_at_the_same_time() {
        let both = Barrier::new(2);
        carry_out(&AFTER[..2], 2, &|_| {
            both.wait();
            true
        });
    }

    #[test]
    fn after_a_failure_nothing_is_begun() {
        for limit in [1, 3] {
            let begun = Mutex::new(Vec::new());
            carry_out(&AFTER, limit, &|task| {
                lock(&begun).push(task);
                task != 1
            });
            assert!(!lock(&begun).contains(&2), "limit {limit}");
        }
    }

    #[test]
    fn a_panic_does_not_keep_the_others_waiting() {
        let all = std::panic::catch_unwind(|| {
            carry_out(&AFTER, 2, &|task| {
                assert_eq!(task, 0);
                true
            });
        });
        assert!(all.is_err());
    }
}
