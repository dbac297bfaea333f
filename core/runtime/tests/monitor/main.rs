//! A monitor and those who talk to it, with a container of one static program.
//!
//! Needs root and `/bin/busybox` (static); says so and passes where they are missing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "a skipped test says why, a measurement says what it found")]

mod partings;

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use oci_spec::runtime::{
    LinuxBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder, Process, ProcessBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use wharf_runtime::{
    defaults, log,
    monitor::{
        self, AttachOptions, Connection, Ended, ExecFailure, ExecRequest, Execution, Exit, Launch, Local,
        SignalError, StartError, Status, Stream,
    },
    mount::RootMount,
    process::Given,
    terminal::TerminalSize,
};

/// A container's directories, removed with whatever still runs in them.
struct Box_ {
    dir: tempfile::TempDir,
    launch: Launch,
}

impl Box_ {
    fn new(test: &str, args: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
            println!("skipped: needs root and /bin/busybox");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("wharf-monitor-").tempdir().unwrap();
        let root = dir.path().join("root");
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in ["sh", "sleep", "cat", "echo", "yes", "head", "true", "stty", "dd", "kill", "id", "trap"]
        {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let id = format!("test-{test}-{}", std::process::id());
        let launch = Launch {
            run_dir: dir.path().join("run").join(&id),
            data_dir: dir.path().join("data").join(&id),
            spec: spec(args),
            root: vec![RootMount::Bind { source: root, read_only: false }],
            cgroup: format!("wharf/{id}"),
            id,
            open_stdin: false,
            stdin_once: false,
            log: true,
            die_with_client: false,
            on_exit: vec![],
        };
        Some(Self { dir, launch })
    }

    /// What `sh` does with `script`.
    fn sh(test: &str, script: &str) -> Option<Self> {
        Self::new(test, &["/bin/sh", "-c", script])
    }

    fn tty(mut self) -> Self {
        let mut process = self.launch.spec.process().clone().unwrap();
        process.set_terminal(Some(true));
        self.launch.spec.set_process(Some(process));
        self
    }

    fn run(&self) -> &Path {
        &self.launch.run_dir
    }

    fn start(&self) -> i32 {
        monitor::start(&self.launch, Given::default(), &[], None).unwrap().pid
    }

    fn start_attached(&self, options: AttachOptions) -> Connection {
        monitor::start(&self.launch, Given::default(), &[], Some(options)).unwrap().connection.unwrap()
    }

    fn state(&self) -> Status {
        monitor::state(self.run(), &self.launch.data_dir)
    }

    fn wait(&self) -> Exit {
        monitor::wait(self.run(), Some(Duration::from_secs(20))).unwrap().unwrap()
    }

    fn logged(&self) -> Vec<u8> {
        let entries = log::read(&self.launch.data_dir, &log::ReadOptions::default()).unwrap();
        entries.flat_map(|entry| entry.unwrap().line).collect()
    }

    fn exec(&self, args: &[&str]) -> Result<(Vec<u8>, Exit), ExecFailure> {
        match monitor::exec(self.run(), &request(args))? {
            Execution::Attached(connection) => Ok(output(connection)),
            Execution::Detached { .. } => panic!("was not asked for"),
        }
    }

    /// The monitor's process.
    fn monitor_pid(&self) -> i32 {
        let is_ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line == format!("wharf-monitor\0{}\0", self.launch.id).as_bytes()
        };
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_ours).unwrap()
    }
}

impl Drop for Box_ {
    fn drop(&mut self) {
        let _ = monitor::signal(self.run(), libc::SIGKILL);
        let _ = monitor::wait(self.run(), Some(Duration::from_secs(10)));
        // Directories go with `dir`.
        let _ = &self.dir;
    }
}

fn spec(args: &[&str]) -> Spec {
    let linux = LinuxBuilder::default().namespaces(defaults::namespaces()).build().unwrap();
    let mut spec = SpecBuilder::default()
        .process(process(args))
        .mounts(defaults::mounts())
        .linux(linux)
        .hostname("test".to_owned())
        .build()
        .unwrap();
    spec.set_root(None);
    spec
}

fn process(args: &[&str]) -> Process {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    ProcessBuilder::default()
        .args(args)
        .cwd("/")
        .env(vec![format!("PATH={}", defaults::PATH)])
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build().unwrap())
        .terminal(false)
        .no_new_privileges(false)
        .build()
        .unwrap()
}

fn request(args: &[&str]) -> ExecRequest {
    ExecRequest { process: process(args), open_stdin: false, detach: false, attach: AttachOptions::default() }
}

fn with_input() -> AttachOptions {
    AttachOptions { stdin: true, ..AttachOptions::default() }
}

/// Both outputs, one after the other as they come.
fn output(connection: Connection) -> (Vec<u8>, Exit) {
    let mut bytes = Vec::new();
    let exit = connection.stream(&mut |_, piece| bytes.extend_from_slice(piece)).unwrap();
    (bytes, exit)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A pseudo terminal: a person's side, and the side a program sees.
fn terminal() -> (fs::File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let side = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (master.into(), side)
}

fn set_size(fd: impl AsFd, rows: u16, columns: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(fd, size).unwrap();
}

/// Reads from a terminal until `wanted` appears.
fn read_until(master: &mut fs::File, wanted: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 1024];
    let until = Instant::now() + Duration::from_secs(10);
    while !text.contains(wanted) {
        assert!(Instant::now() < until, "no `{wanted}` in {text:?}");
        let count = master.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

#[test]
fn privileged_output_and_exit_code_arrive_and_stay() {
    let Some(box_) = Box_::sh("output", "echo out; echo err >&2; printf '\\377'; exit 7") else { return };
    assert_eq!(box_.state(), Status::Created);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = box_
        .start_attached(AttachOptions::default())
        .stream(&mut |stream, piece| match stream {
            Stream::Stdout => out.extend_from_slice(piece),
            Stream::Stderr => err.extend_from_slice(piece),
        })
        .unwrap();
    assert_eq!((out.as_slice(), err.as_slice()), (&b"out\n\xff"[..], &b"err\n"[..]));
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (7, None, false));
    assert_eq!(box_.state(), Status::Exited(exit.clone()));
    assert_eq!(box_.wait(), exit);
    let logged = box_.logged();
    assert!(logged.windows(4).any(|w| w == b"out\n") && logged.ends_with(b"\xff"), "{logged:?}");
    assert!(!box_.run().join("monitor.sock").exists());
    assert!(matches!(monitor::signal(box_.run(), 15), Err(SignalError::NotRunning)));
}

#[test]
fn privileged_a_program_that_does_not_start_leaves_nothing() {
    let Some(mut box_) = Box_::new("missing", &["/bin/nothing"]) else { return };
    box_.launch.on_exit = vec!["/bin/touch".into(), box_.dir.path().join("undone").display().to_string()];
    let err =
        monitor::start(&box_.launch, Given::default(), &[], Some(AttachOptions::default())).unwrap_err();
    assert!(matches!(err, StartError::NotFound { .. }), "{err:?}");
    assert_eq!(err.exit_code(), 127);
    box_.launch.spec = spec(&["/etc"]);
    let err = monitor::start(&box_.launch, Given::default(), &[], None).unwrap_err();
    assert_eq!(err.exit_code(), 126, "{err:?}");
    let left: Vec<_> = fs::read_dir(box_.run()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    assert_eq!(box_.state(), Status::Created);
    assert!(!box_.dir.path().join("undone").exists());
}

#[test]
fn privileged_input_flows_through_and_ends() {
    let Some(mut box_) = Box_::new("input", &["/bin/cat"]) else { return };
    (box_.launch.open_stdin, box_.launch.stdin_once, box_.launch.log) = (true, true, false);
    let connection = box_.start_attached(with_input());
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (input, mut writer) = std::io::pipe().unwrap();
    let (mut reader, output) = std::io::pipe().unwrap();
    let bytes = sent.clone();
    let sender = thread::spawn(move || writer.write_all(&bytes).unwrap());
    let receiver = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let local = Local { stdin: Some(input.as_fd()), stdout: output.as_fd(), stderr: output.as_fd() };
    let ended = connection.forward(local).unwrap();
    drop(output);
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), sent);
    assert!(matches!(ended, Ended::Exited(Exit { code: 0, .. })), "{ended:?}");
}

#[test]
fn privileged_without_stdin_once_input_stays_open() {
    let Some(mut box_) = Box_::new("open", &["/bin/cat"]) else { return };
    box_.launch.open_stdin = true;
    box_.start();
    for line in ["one\n", "two\n"] {
        let connection = monitor::attach(box_.run(), with_input()).unwrap();
        let (input, mut writer) = std::io::pipe().unwrap();
        let (mut reader, output) = std::io::pipe().unwrap();
        writer.write_all(line.as_bytes()).unwrap();
        drop(writer);
        thread::spawn(move || {
            let local = Local { stdin: Some(input.as_fd()), stdout: output.as_fd(), stderr: output.as_fd() };
            connection.forward(local)
        });
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, line.as_bytes());
    }
    assert!(matches!(box_.state(), Status::Running { .. }));
}

#[test]
fn privileged_a_signal_ends_it_and_everybody_who_waits_hears() {
    let Some(box_) = Box_::new("signal", &["/bin/sleep", "1000"]) else { return };
    let pid = box_.start();
    assert!(matches!(box_.state(), Status::Running { pid: running, .. } if running == pid));
    assert!(matches!(
        monitor::start(&box_.launch, Given::default(), &[], None),
        Err(StartError::AlreadyRunning { .. })
    ));
    assert_eq!(monitor::wait(box_.run(), Some(Duration::from_millis(30))).unwrap(), None);
    let run = box_.run().to_owned();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let run = run.clone();
            thread::spawn(move || monitor::wait(&run, None).unwrap().unwrap())
        })
        .collect();
    thread::sleep(Duration::from_millis(30));
    monitor::signal(box_.run(), libc::SIGKILL).unwrap();
    for waiter in waiters {
        let exit = waiter.join().unwrap();
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
    }
}

#[test]
fn privileged_processes_are_added_and_told_apart() {
    let Some(box_) = Box_::new("exec", &["/bin/sleep", "1000"]) else { return };
    assert!(matches!(box_.exec(&["/bin/true"]), Err(ExecFailure::NotRunning)));
    box_.start();
    let (bytes, exit) = box_.exec(&["/bin/sh", "-c", "echo in; exit 3"]).unwrap();
    assert_eq!((bytes.as_slice(), exit.code), (&b"in\n"[..], 3));
    let Err(ExecFailure::Start(err)) = box_.exec(&["/bin/nothing"]) else { panic!("was started") };
    assert_eq!(err.exit_code(), 127);
    let Execution::Detached { pid } =
        monitor::exec(box_.run(), &ExecRequest { detach: true, ..request(&["/bin/sleep", "500"]) }).unwrap()
    else {
        panic!("is attached")
    };
    assert!(exists(pid));
    let Execution::Attached(slow) = monitor::exec(box_.run(), &request(&["/bin/sleep", "500"])).unwrap()
    else {
        panic!("is detached")
    };
    let timed = slow.stream_for(Duration::from_millis(50), &mut |_, _| {}).unwrap();
    assert!(timed.timed_out && timed.exit.code == 137);
    let Execution::Attached(orphan) = monitor::exec(box_.run(), &request(&["/bin/sleep", "500"])).unwrap()
    else {
        panic!("is detached")
    };
    monitor::signal(box_.run(), libc::SIGKILL).unwrap();
    assert_eq!(output(orphan).1.code, 137, "dies with its container");
    assert_eq!(box_.wait().code, 137);
    eventually("the detached process is gone", || !exists(pid));
}

#[test]
fn privileged_nothing_is_added_to_a_container_that_is_held_still() {
    let Some(box_) = Box_::new("paused", &["/bin/sleep", "1000"]) else { return };
    box_.start();
    let cgroup = wharf_runtime::cgroup::Cgroup::open(&box_.launch.cgroup).unwrap();
    cgroup.freeze().unwrap();
    let refused = box_.exec(&["/bin/true"]);
    assert_eq!(monitor::wait(box_.run(), Some(Duration::from_millis(20))).unwrap(), None, "it answers");
    cgroup.thaw().unwrap();
    assert!(matches!(refused, Err(ExecFailure::Start(StartError::Failed { .. }))), "{refused:?}");
    assert_eq!(box_.exec(&["/bin/true"]).unwrap().1.code, 0);
}

#[test]
fn privileged_an_exec_outlives_its_client() {
    let Some(box_) = Box_::new("orphan", &["/bin/sleep", "1000"]) else { return };
    box_.start();
    let script = "while :; do echo x; sleep 0.01; done";
    let Execution::Attached(client) =
        monitor::exec(box_.run(), &request(&["/bin/sh", "-c", script])).unwrap()
    else {
        panic!("is detached")
    };
    let pid = client.pid();
    drop(client);
    thread::sleep(Duration::from_millis(100));
    assert!(exists(pid));
}

#[test]
fn privileged_a_terminal_has_a_size_and_detach_keys() {
    let Some(mut box_) = Box_::sh("tty", "while read line; do echo \"[$line]\"; stty size; done") else {
        return;
    };
    box_.launch.open_stdin = true;
    let box_ = box_.tty();
    box_.start();
    let (mut person, side) = terminal();
    set_size(&person, 33, 77);
    let connection = monitor::attach(box_.run(), with_input()).unwrap();
    assert!(connection.tty());
    let session = thread::spawn(move || {
        let local = Local { stdin: Some(side.as_fd()), stdout: side.as_fd(), stderr: side.as_fd() };
        let ended = connection.forward(local);
        let echoes = rustix::termios::tcgetattr(&side)
            .unwrap()
            .local_modes
            .contains(rustix::termios::LocalModes::ECHO);
        (ended, echoes)
    });
    person.write_all(b"hello\r").unwrap();
    let text = read_until(&mut person, "33 77");
    assert!(text.contains("[hello]\r\n"), "{text:?}");
    monitor::resize(box_.run(), TerminalSize { rows: 40, columns: 90 }).unwrap();
    person.write_all(b"again\r").unwrap();
    read_until(&mut person, "40 90");
    person.write_all(b"\x10\x11").unwrap();
    let (ended, echoes) = session.join().unwrap();
    assert_eq!(ended.unwrap(), Ended::Detached);
    assert!(echoes, "the terminal is what it was");
    assert!(matches!(box_.state(), Status::Running { .. }));
}

#[test]
fn privileged_a_build_step_dies_with_its_client() {
    let Some(mut box_) = Box_::new("leash", &["/bin/sleep", "1000"]) else { return };
    box_.launch.die_with_client = true;
    let started = monitor::start(&box_.launch, Given::default(), &[], None).unwrap();
    assert!(exists(started.pid));
    drop(started.connection.unwrap());
    eventually("the process is gone", || !exists(started.pid));
    assert_eq!(box_.wait().code, 137);
}

#[test]
fn privileged_clients_that_vanish_or_sleep_hold_nobody_up() {
    let Some(box_) = Box_::sh("flood", "yes | head -c 20000000; echo done >&2") else { return };
    let foreground = box_.start_attached(AttachOptions::default());
    for _ in 0..3 {
        if let Ok(client) = monitor::attach(box_.run(), AttachOptions::default()) {
            drop(client);
        }
    }
    let mut count = 0;
    let exit = foreground
        .stream(&mut |stream, bytes| {
            if stream == Stream::Stdout {
                count += bytes.len();
            }
        })
        .unwrap();
    assert_eq!((count, exit.code), (20_000_000, 0));
}

#[test]
fn privileged_a_slow_foreground_loses_nothing() {
    let Some(mut box_) = Box_::sh("slow", "yes | head -c 2000000") else { return };
    box_.launch.log = false;
    let connection = box_.start_attached(AttachOptions::default());
    thread::sleep(Duration::from_millis(300));
    assert!(matches!(box_.state(), Status::Running { .. }), "it waits for its reader");
    let (bytes, exit) = output(connection);
    assert_eq!((bytes.len(), exit.code), (2_000_000, 0));
}

#[test]
fn privileged_it_can_be_started_again_at_once_and_the_log_goes_on() {
    let Some(box_) = Box_::sh("again", "echo run") else { return };
    for _ in 0..20 {
        box_.start();
        assert_eq!(box_.wait().code, 0);
        assert!(matches!(box_.state(), Status::Exited(_)));
    }
    assert_eq!(box_.logged(), b"run\n".repeat(20));
}

#[test]
fn privileged_a_log_of_an_endless_talker_is_bounded() {
    let Some(box_) = Box_::sh("bounded", "yes 0123456789abcdef | head -c 15300000; echo last") else {
        return;
    };
    box_.start();
    assert_eq!(box_.wait().log_lines_dropped, 0);
    let sizes: Vec<u64> = ["log.jsonl", "log.jsonl.1", "log.jsonl.2", "log.jsonl.3"]
        .map(|name| fs::metadata(box_.launch.data_dir.join(name)).unwrap().len())
        .to_vec();
    assert!(sizes.iter().all(|&size| size <= 16 << 20), "{sizes:?}");
    assert_eq!(fs::read_dir(&box_.launch.data_dir).unwrap().count(), 5, "those and exit.json");
    let options = log::ReadOptions { tail: Some(300_000), ..log::ReadOptions::default() };
    let entries = log::read(&box_.launch.data_dir, &options).unwrap();
    let last: Vec<_> = entries.map(|entry| entry.unwrap().line).collect();
    assert_eq!((last.len(), last[299_999].as_slice()), (300_000, &b"last\n"[..]));
}

#[test]
fn privileged_a_full_disk_costs_lines_and_not_the_container() {
    let Some(box_) = Box_::sh("full", "yes | head -c 1000000; echo end >&2; exit 5") else { return };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&box_.launch.data_dir).unwrap();
    let options = c"size=32k";
    rustix::mount::mount(
        "tmpfs",
        &box_.launch.data_dir,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        Some(options),
    )
    .unwrap();
    let (bytes, exit) = output(box_.start_attached(AttachOptions::default()));
    let state = box_.state();
    rustix::mount::unmount(&box_.launch.data_dir, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!((bytes.len(), exit.code), (1_000_004, 5));
    assert!(exit.log_lines_dropped > 0);
    assert_eq!(state, Status::Exited(exit));
}

#[test]
fn privileged_long_paths_and_private_files() {
    let Some(mut box_) = Box_::new("long", &["/bin/sleep", "1000"]) else { return };
    box_.launch.run_dir = box_.dir.path().join("x".repeat(150)).join("run");
    box_.start();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(box_.run().to_owned()), 0o700);
    for name in ["monitor.sock", "state.json", "lock"] {
        assert_eq!(mode(box_.run().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(box_.launch.data_dir.join("log.jsonl")), 0o600);
    assert_eq!(box_.exec(&["/bin/true"]).unwrap().1.code, 0);
}

#[test]
fn privileged_garbage_on_the_socket_hurts_nobody() {
    let Some(box_) = Box_::new("garbage", &["/bin/sleep", "1000"]) else { return };
    box_.start();
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0, 0, 0, 2, b'{', b'}'], &[5, 0, 0, 0, 1, 0], &[255; 64]]
    {
        let mut socket = std::os::unix::net::UnixStream::connect(box_.run().join("monitor.sock")).unwrap();
        socket.write_all(garbage).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert_eq!(box_.exec(&["/bin/true"]).unwrap().1.code, 0);
}

#[test]
fn privileged_only_three_descriptors_reach_the_container() {
    let Some(box_) = Box_::sh("fds", "exec /bin/busybox ls /proc/self/fd") else { return };
    let held = fs::File::open("/dev/null").unwrap();
    let started = monitor::start(
        &box_.launch,
        Given::default(),
        &[held.as_fd(), held.as_fd()],
        Some(AttachOptions::default()),
    )
    .unwrap();
    let (bytes, exit) = output(started.connection.unwrap());
    // 3 is the directory that `ls` itself reads.
    assert_eq!((String::from_utf8(bytes).unwrap().as_str(), exit.code), ("0\n1\n2\n3\n", 0));
}

#[test]
fn privileged_the_monitor_cannot_be_overwritten_and_is_small() {
    let Some(box_) = Box_::new("small", &["/bin/sleep", "1000"]) else { return };
    box_.start();
    for _ in 0..20 {
        box_.exec(&["/bin/true"]).unwrap();
    }
    thread::sleep(Duration::from_millis(20));
    let pid = box_.monitor_pid();
    let written = fs::File::options().write(true).open(format!("/proc/{pid}/exe"));
    assert!(written.is_err());
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let private = kib("Private_Clean:") + kib("Private_Dirty:");
    println!("private {private} KiB, dirty {} KiB, pss {} KiB", kib("Private_Dirty:"), kib("Pss:"));
    assert!(private <= 3 * 1024, "{rollup}");
}

#[test]
fn privileged_several_clients_share_the_output_and_none_hears_the_past() {
    let Some(mut box_) = Box_::sh("share", "echo past; read line; echo present; exit 4") else { return };
    box_.launch.open_stdin = true;
    box_.start();
    eventually("the past is logged", || box_.logged() == b"past\n");
    let listeners: Vec<_> = (0..3)
        .map(|_| monitor::attach(box_.run(), AttachOptions::default()).unwrap())
        .map(|connection| thread::spawn(move || output(connection)))
        .collect();
    let speaker = monitor::attach(box_.run(), with_input()).unwrap();
    let (input, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"go\n").unwrap();
    let (mut reader, output) = std::io::pipe().unwrap();
    let local = Local { stdin: Some(input.as_fd()), stdout: output.as_fd(), stderr: output.as_fd() };
    assert!(matches!(speaker.forward(local).unwrap(), Ended::Exited(Exit { code: 4, .. })));
    drop(output);
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"present\n");
    for listener in listeners {
        let (bytes, exit) = listener.join().unwrap();
        assert_eq!((bytes.as_slice(), exit.code), (&b"present\n"[..], 4));
    }
}

#[test]
fn privileged_signals_pass_through_to_a_process_without_terminal() {
    let script = "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.02; done";
    let Some(box_) = Box_::sh("proxy", script) else { return };
    box_.start();
    eventually("the trap is set", || box_.logged() == b"ready\n");
    let mut client = client_of(&box_, std::process::Stdio::null);
    let pid = rustix::process::Pid::from_child(&client);
    eventually("the client takes signals", || reads_signals(pid));
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(box_.wait().code, 3);
    assert!(client.wait().unwrap().success(), "it ended with its container");
}

/// Not a test of its own: the program that the next test sends a deadly signal to.
#[test]
fn attach_where_told() {
    if let Some(run_dir) = std::env::var_os("WHARF_TEST_ATTACH") {
        // The test program's other thread goes on blocking what `client_of` blocks.
        nix::sys::signal::SigSet::empty().thread_set_mask().unwrap();
        let connection = monitor::attach(Path::new(&run_dir), with_input()).unwrap();
        let _ = connection.forward(Local::standard());
    }
}

/// Whether `pid` reads signals instead of being struck by them.
fn reads_signals(pid: rustix::process::Pid) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|link| link.ends_with("anon_inode:[signalfd]"))
}

/// A process of its own that runs [`attach_where_told`], in the only thread that takes signals.
fn client_of(box_: &Box_, stdio: impl Fn() -> std::process::Stdio) -> std::process::Child {
    std::process::Command::new("/usr/bin/env")
        .arg("--block-signal=TERM,USR1")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "attach_where_told", "--nocapture"])
        .env("WHARF_TEST_ATTACH", box_.run())
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap()
}

#[test]
fn privileged_a_deadly_signal_leaves_the_terminal_as_it_was() {
    let Some(mut box_) = Box_::new("deadly", &["/bin/sleep", "1000"]) else { return };
    box_.launch.open_stdin = true;
    let box_ = box_.tty();
    box_.start();
    let (_person, side) = terminal();
    let echoes = || {
        let modes = rustix::termios::tcgetattr(&side).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    };
    let mut client = client_of(&box_, || side.try_clone().unwrap().into());
    eventually("the terminal is raw", || !echoes());
    let pid = rustix::process::Pid::from_child(&client);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = client.wait().unwrap();
    assert!(echoes(), "{status}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    assert!(matches!(box_.state(), Status::Running { .. }));
}

#[test]
fn privileged_a_process_that_takes_too_much_memory_is_told_apart() {
    let Some(mut box_) = Box_::sh("memory", "exec dd if=/dev/zero of=/dev/null bs=200M count=1") else {
        return;
    };
    let memory = LinuxMemoryBuilder::default().limit(16_i64 << 20).swap(16_i64 << 20).build().unwrap();
    let resources = LinuxResourcesBuilder::default().memory(memory).build().unwrap();
    let mut linux = box_.launch.spec.linux().clone().unwrap();
    linux.set_resources(Some(resources));
    box_.launch.spec.set_linux(Some(linux));
    box_.start();
    let exit = box_.wait();
    assert_eq!((exit.code, exit.oom_killed), (137, true));
}
