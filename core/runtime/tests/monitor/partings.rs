//! What remains when a client, its reader or the monitor goes before the container does.

use super::*;

/// A pipe or the like whose reader has gone.
fn abandoned() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn privileged_a_client_whose_reader_has_gone_ends_and_the_container_goes_on() {
    for (name, script) in
        [("gone-out", "echo x; sleep 0.3; exit 3"), ("gone-err", "echo x >&2; sleep 0.3; exit 3")]
    {
        let Some(mut box_) = Box_::sh(name, script) else { return };
        let ran = box_.dir.path().join("ran");
        box_.launch.on_exit = vec!["/bin/touch".into(), ran.display().to_string()];
        let connection = box_.start_attached(AttachOptions { reap: true, ..AttachOptions::default() });
        let gone = abandoned();
        let local = Local { stdin: None, stdout: gone.as_fd(), stderr: gone.as_fd() };
        let ended = connection.forward_reaping(local, |_| panic!("it has not ended")).unwrap();
        assert_eq!(ended, Ended::OutputGone);
        assert!(matches!(box_.state(), Status::Running { .. }), "{name}");
        assert_eq!(box_.wait().code, 3);
        eventually("on_exit ran instead of the client", || ran.exists());
    }
}

#[test]
fn privileged_a_full_reader_that_leaves_ends_the_client() {
    let Some(mut box_) = Box_::sh("head", "yes | head -c 3000000; sleep 1000") else { return };
    box_.launch.log = false;
    let connection = box_.start_attached(AttachOptions::default());
    let (mut reader, writer) = std::io::pipe().unwrap();
    let head = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100)); // the pipe is full by now, and so is the connection
        reader.read_exact(&mut [0; 100]).unwrap();
    });
    let local = Local { stdin: None, stdout: writer.as_fd(), stderr: writer.as_fd() };
    assert_eq!(connection.forward(local).unwrap(), Ended::OutputGone);
    head.join().unwrap();
    assert!(matches!(box_.state(), Status::Running { .. }));
}

#[test]
fn privileged_on_exit_runs_unless_somebody_has_cleaned_up() {
    let ran = |box_: &Box_| box_.dir.path().join("ran");
    let prepare = |name: &str| {
        let mut box_ = Box_::new(name, &["/bin/true"])?;
        box_.launch.on_exit = vec!["/bin/touch".into(), ran(&box_).display().to_string()];
        Some(box_)
    };
    let reap = AttachOptions { reap: true, ..AttachOptions::default() };
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let local = Local { stdin: None, stdout: null.as_fd(), stderr: null.as_fd() };

    let Some(box_) = prepare("on-exit") else { return };
    box_.start();
    box_.wait();
    eventually("on_exit ran", || ran(&box_).exists());

    let Some(box_) = prepare("reaped") else { return };
    let mut cleaned = false;
    box_.start_attached(reap.clone()).forward_reaping(local, |_| cleaned = true).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(cleaned && !ran(&box_).exists());

    let Some(box_) = prepare("promise") else { return };
    let connection = box_.start_attached(reap);
    box_.wait();
    thread::sleep(Duration::from_millis(50));
    assert!(!ran(&box_).exists(), "the client may still do it");
    drop(connection);
    eventually("on_exit ran", || ran(&box_).exists());
}

#[test]
fn privileged_a_killed_monitor_is_a_crash_and_can_be_started_over() {
    let Some(box_) = Box_::new("crash", &["/bin/sleep", "1000"]) else { return };
    let pid = box_.start();
    let monitor = rustix::process::Pid::from_raw(box_.monitor_pid()).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    eventually("it counts as exited", || matches!(box_.state(), Status::Exited(Exit { code: 255, .. })));
    assert_eq!(box_.wait().code, 255);
    let again = box_.start();
    assert!(again != pid && matches!(box_.state(), Status::Running { .. }));
    eventually("the first process is gone", || !exists(pid));
}

#[test]
fn privileged_no_process_of_a_container_outlives_its_monitor() {
    for uid in [0_u32, 1000] {
        let Some(mut box_) = Box_::sh(&format!("orphan-{uid}"), "sleep 1000 & sleep 1000; true") else {
            return;
        };
        let mut process = box_.launch.spec.process().clone().unwrap();
        process.set_user(UserBuilder::default().uid(uid).gid(uid).build().unwrap());
        box_.launch.spec.set_process(Some(process));
        let pid = box_.start();
        let cgroup = wharf_runtime::cgroup::Cgroup::open(&box_.launch.cgroup).unwrap();
        eventually("three processes run", || cgroup.pids().is_ok_and(|pids| pids.len() == 3));
        let added =
            monitor::exec(box_.run(), &ExecRequest { detach: true, ..request(&["/bin/sleep", "1000"]) });
        let Execution::Detached { pid: added } = added.unwrap() else { panic!("was asked for") };
        let monitor = rustix::process::Pid::from_raw(box_.monitor_pid()).unwrap();
        rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
        eventually("all are gone", || cgroup.pids().is_ok_and(|pids| pids.is_empty()));
        eventually("nobody is left to be reaped", || !exists(pid) && !exists(added));
        cgroup.remove().unwrap();
    }
}
