//! From the end of the container's process to the end of the monitor.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{
    super::{
        Exit,
        control::SOCKET,
        record::{Durable, write_exit},
    },
    Hub, Life, Place, clean_up, wait_for,
};

/// How long outputs are read that somebody outside the container holds open.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long processes of `exec` may take to die with their container.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Watches the container, and does what is to be done when it has ended, in the order that the
/// module above promises.
pub(super) fn live_and_end(life: Life) {
    let Life { mut hub, lock, _hold: hold, place } = life;
    let exit = hub.run();
    let exit = finish(&mut hub, &place, exit);
    // Without its ports and its lock, the container can be started again.
    drop(hold);
    drop(lock);
    let promised = hub.announce(&exit);
    let mut to_do = !place.on_exit.is_empty();
    if !promised && to_do {
        to_do = false;
        clean_up(&place.on_exit);
    }
    hub.linger(|hub| {
        if to_do && !hub.reaped && !hub.has_promise() {
            to_do = false;
            clean_up(&place.on_exit);
        }
    });
    if to_do && !hub.reaped {
        clean_up(&place.on_exit);
    }
}

/// Ends everything that belonged to the container and writes down how it ended.
fn finish(hub: &mut Hub, place: &Place, exit: Exit) -> Exit {
    let oom_killed = place.cgroup.oom_kills() > 0;
    // Errors below have no one to go to, and must not keep the rest from being done.
    if place.cgroup.pids().map_or(true, |pids| !pids.is_empty()) {
        let _ = place.cgroup.kill();
    }
    hub.drain(0, Instant::now() + LAST_WORDS);
    wait_for(LAST_BREATH, || hub.end_tasks() == 0);
    let _ = place.cgroup.remove();
    let exit = Exit { oom_killed, log_lines_dropped: hub.finish_log(), ..exit };
    let durable = if place.durable && !hub.has_promise() { Durable::Yes } else { Durable::No };
    let _ = write_exit(&place.run_dir, &place.data_dir, &exit, durable);
    hub.close_door();
    let _ = fs::remove_file(place.run_dir.join(SOCKET));
    hub.forget_tasks();
    exit
}
