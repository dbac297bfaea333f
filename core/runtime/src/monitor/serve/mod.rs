//! The monitor's own side: what `wharf-monitor` does from its start to its end.

mod client;
mod ending;
mod hub;
mod orders;
mod task;

use std::{
    error::Error,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::{SigSet, Signal};

use super::{
    Launch, Status,
    control::{SOCKET, short_path},
    message::{Report, StartFailure},
    record::{Lock, State, make_dir, remove_exit, state},
};
use crate::{
    cgroup::{Cgroup, CgroupError},
    log,
    message::Channel,
    process::{self, Given},
    sys::{
        monitor::{forget_code, pidfd_signal, trim_heap},
        process::{Fork, close_range, exit, fork},
    },
};

use hub::{Context, Hub};
use orders::Orders;
use task::{Streams, Task};

/// How long an earlier monitor may take to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// The whole life of a monitor. Its descriptor 0 is the starter's channel.
///
/// Only for the program `wharf-monitor`: this process forks, and the first one ends here.
pub fn run() -> io::Result<()> {
    let channel = take_channel()?;
    if let Fork::Parent(_) = fork()? {
        exit(0);
    }
    settle_in()?;
    let Some(orders) = Orders::receive(&channel)? else { return Ok(()) };
    let on_exit = orders.launch.on_exit.clone();
    match begin(orders) {
        Ok(life) => {
            // A starter that is gone misses its container's start, and nothing else.
            let _ = channel.send(&Report::Ok(life.hub.main().pid()), None);
            drop(channel);
            become_small();
            ending::live_and_end(life);
        }
        Err(failure) => {
            if channel.send(&Report::Err(failure), None).is_err() {
                clean_up(&on_exit);
            }
        }
    }
    Ok(())
}

/// The starter's channel, and nothing in its place. Whatever else was open in the starter, or in
/// whoever started that, is none of our business, and must not stay open because of us.
fn take_channel() -> io::Result<Channel> {
    close_range(3, RawFd::MAX)?;
    let channel = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(Channel::from(channel))
}

/// Leaves everything behind that belongs to the starter: session, directory, name, signals.
fn settle_in() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::thread::set_name(c"wharf-monitor")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Whoever ends a session or shuts the machine down means the container, not its only witness.
    let deaf_to = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGTSTP];
    SigSet::from_iter(deaf_to).thread_block()?;
    Ok(())
}

/// Gives back what only the start needed.
fn become_small() {
    trim_heap();
    let _ = forget_code(); // being larger is no failure
}

/// A container that runs, and all that must be undone when it does not any more.
struct Life {
    hub: Hub,
    lock: Lock,
    _hold: Vec<OwnedFd>,
    place: Place,
}

/// What is needed to the very end; everything else of the launch is read again when it is needed,
/// so that a monitor stays small.
struct Place {
    run_dir: PathBuf,
    data_dir: PathBuf,
    cgroup: Cgroup,
    on_exit: Vec<String>,
    /// Whether the exit must survive a power cut.
    durable: bool,
}

fn begin(orders: Orders) -> Result<Life, StartFailure> {
    let launch = &orders.launch;
    let lock = take_place(launch)?;
    let before = State::read(&launch.run_dir);
    let begun = begin_locked(&orders);
    if begun.is_err() {
        let _ = fs::remove_file(launch.run_dir.join(SOCKET)); // often there is none yet
        match before {
            Some(before) => drop(before.write(&launch.run_dir)),
            None => State::remove(&launch.run_dir),
        }
    }
    let (mut hub, cgroup) = begun?;
    let place = Place {
        run_dir: launch.run_dir.clone(),
        data_dir: launch.data_dir.clone(),
        cgroup,
        on_exit: launch.on_exit.clone(),
        durable: !launch.die_with_client,
    };
    let die_with_client = launch.die_with_client;
    drop(orders.launch);
    drop((orders.netns, orders.mounts));
    if let Some(client) = orders.client {
        hub.welcome_starter(client.into(), die_with_client).map_err(other("take the first client"))?;
    }
    Ok(Life { hub, lock, _hold: orders.hold, place })
}

/// Makes the directories, takes the lock and ends what a monitor that was killed has left.
fn take_place(launch: &Launch) -> Result<Lock, StartFailure> {
    make_dir(&launch.run_dir).map_err(other("make the run directory"))?;
    make_dir(&launch.data_dir).map_err(other("make the data directory"))?;
    if matches!(state(&launch.run_dir, &launch.data_dir), Status::Running { .. }) {
        return Err(StartFailure::AlreadyRunning);
    }
    let lock = Lock::take(&launch.run_dir, PATIENCE).map_err(other("lock the run directory"))?;
    let lock = lock.ok_or(StartFailure::AlreadyRunning)?;
    if let Some(left) = State::read(&launch.run_dir).as_ref().and_then(State::process) {
        let _ = pidfd_signal(left.as_fd(), libc::SIGKILL); // it may have ended this moment
    }
    Ok(lock)
}

fn begin_locked(orders: &Orders) -> Result<(Hub, Cgroup), StartFailure> {
    let cgroup = new_cgroup(&orders.launch).map_err(|err| failure(125, &err))?;
    let begun = begin_in(orders, &cgroup);
    if begun.is_err() {
        let _ = cgroup.kill(); // the failure that matters is the one above
        let _ = cgroup.remove();
    }
    Ok((begun?, cgroup))
}

/// The container's cgroup, without anybody a killed monitor may have left in it.
fn new_cgroup(launch: &Launch) -> Result<Cgroup, CgroupError> {
    let left = Cgroup::open(&launch.cgroup)?;
    if left.pids().is_ok_and(|pids| !pids.is_empty()) {
        left.kill()?;
        // Linux kills whoever is born into a cgroup that was killed before (CLONE_INTO_CGROUP compares
        // how often with the parent's cgroup): that one can not be used again.
        left.remove()?;
    }
    let resources = launch.spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    Cgroup::create(&launch.cgroup, &resources.unwrap_or_default())
}

fn begin_in(orders: &Orders, cgroup: &Cgroup) -> Result<Hub, StartFailure> {
    let launch = &orders.launch;
    let log = launch.log.then(|| log::Writer::open(&launch.data_dir)).transpose();
    let log = log.map_err(other("open the log"))?;
    let process = launch
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| StartFailure::Other { code: 125, reason: "the container has no process".into() })?;
    let (streams, io) = Streams::open(process, launch.open_stdin).map_err(other("open its streams"))?;
    let given = Given { netns: orders.netns.as_ref().map(AsFd::as_fd), mounts: &orders.mounts };
    let child = process::spawn(&launch.spec, &launch.root, io, given, cgroup)
        .map_err(|err| failure(err.exit_code(), &err))?;
    let state = State::new(child.pid(), child.start_time(), &launch.data_dir);
    state.and_then(|state| state.write(&launch.run_dir)).map_err(other("write down its state"))?;
    let listener = listen(&launch.run_dir).map_err(other("listen for clients"))?;
    let task = Task::start(child, streams, orders.size)?;
    remove_exit(&launch.run_dir, &launch.data_dir).map_err(other("forget its last end"))?;
    let orders = orders.file.try_clone().map_err(other("keep its orders"))?;
    let context = Context { orders, cgroup: cgroup.clone(), stdin_once: launch.stdin_once };
    Hub::new(task, listener, log, context).map_err(other("watch it"))
}

fn listen(run_dir: &Path) -> io::Result<UnixListener> {
    let dir = File::open(run_dir)?;
    match fs::remove_file(short_path(&dir)) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(short_path(&dir));
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Runs what the launch wants to have run in the end. Nobody is left to hear of its failure: what it
/// would have done is done by the next command that finds the container ended.
fn clean_up(on_exit: &[String]) {
    if let [program, arguments @ ..] = on_exit {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.spawn();
    }
}

/// `err` and its causes, for a message that leaves this process.
fn failure(code: u8, err: &dyn Error) -> StartFailure {
    StartFailure::Other { code, reason: chain(err) }
}

fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}

fn other(step: &'static str) -> impl Fn(io::Error) -> StartFailure {
    move |err| StartFailure::Other { code: 125, reason: format!("cannot {step}: {err}") }
}

/// Waits at most `patience` for `done`, looking every millisecond.
fn wait_for(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
