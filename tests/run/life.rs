//! start, stop, restart, kill, rm, wait, rename-free names: the life of a container.

use std::time::{Duration, Instant};

use crate::harness::{Sandbox, eventually, host};

/// A program that ends at once when it is asked to.
const POLITE: [&str; 4] =
    ["busybox", "sh", "-c", "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.1; done"];

fn start_polite(box_: &Sandbox, name: &str) {
    box_.wharf(["run", "-d", "--network", "none", "--name", name].into_iter().chain(POLITE)).success();
    eventually("the program has set its trap", || box_.run(&format!("logs {name}")).stdout.contains("ready"));
}

#[test]
fn stop_asks_first_and_prints_the_name() {
    let box_ = Sandbox::new();
    start_polite(&box_, "p");
    box_.run("stop p").success().prints("p\n");
    assert_eq!(box_.inspect("p", "{{.State.ExitCode}}"), "7");
    box_.run("logs p").success().shows("asked");
    box_.run("stop p").success().prints("p\n");
}

#[test]
fn stop_kills_what_does_not_end_in_time() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --name deaf busybox sleep 60").success();
    let begin = Instant::now();
    box_.run("stop -t 1 deaf").success();
    assert!((1.0..3.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
    assert!(box_.run("ps -a").line_with("deaf").contains("Exited (137)"));
    box_.run("run -d --network none --name other --stop-signal KILL busybox sleep 60").success();
    let begin = Instant::now();
    box_.run("stop other").success();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[test]
fn several_are_all_tried() {
    let box_ = Sandbox::new();
    start_polite(&box_, "a");
    box_.run("stop nobody a").fails(1).prints("a\n").says("No such container: nobody");
    box_.run("rm nobody a").fails(1).prints("a\n").says("No such container: nobody");
    box_.run("rm -f nobody").success();
}

#[test]
fn start_keeps_the_files_and_the_id_and_appends_to_the_log() {
    let box_ = Sandbox::new();
    let script = "echo x >> /count; wc -l < /count";
    box_.wharf(["run", "--network", "none", "--name", "c", "busybox", "sh", "-c", script])
        .success()
        .prints("1\n");
    let id = box_.inspect("c", "{{.Id}}");
    box_.run("start -a c").success().prints("2\n");
    box_.run("start c").success().prints("c\n");
    box_.run("wait c").success().prints("0\n");
    box_.run("logs c").success().prints("1\n2\n3\n");
    assert_eq!(id, box_.inspect("c", "{{.Id}}"));
}

#[test]
fn start_of_a_running_one_is_fine() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --name c busybox sleep 60").success();
    let pid = box_.inspect("c", "{{.State.Pid}}");
    box_.run("start c").success().prints("c\n");
    assert_eq!(pid, box_.inspect("c", "{{.State.Pid}}"));
    box_.run("restart -t 0 c").success().prints("c\n");
    assert_ne!(pid, box_.inspect("c", "{{.State.Pid}}"));
}

#[test]
fn kill_sends_any_signal_and_only_to_running_ones() {
    let box_ = Sandbox::new();
    start_polite(&box_, "p");
    box_.run("kill -s TERM p").success().prints("p\n");
    box_.run("wait p").success().prints("7\n");
    box_.run("kill p").fails(1).says("is not running");
    box_.run("start p").success();
    box_.run("kill p").success();
    box_.run("wait p").success().prints("137\n");
    box_.run("kill -s NONSENSE p").fails(1).says("NONSENSE");
}

#[test]
fn rm_of_a_running_one_is_refused() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --name r busybox sleep 60").success();
    box_.run("rm r")
        .fails(1)
        .says("cannot remove container")
        .says("stop the container before removing or force remove");
    assert_eq!(box_.inspect("r", "{{.State.Running}}"), "true");
    box_.run("stop -t 0 r").success();
    box_.run("rm r").success().prints("r\n");
    box_.run("rm r").fails(1).says("No such container: r");
}

#[test]
fn wait_tells_the_exit_codes_in_order() {
    let box_ = Sandbox::new();
    for code in ["0", "3"] {
        let script = format!("sleep 0.3; exit {code}");
        box_.wharf([
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            &format!("c{code}"),
            "busybox",
            "sh",
            "-c",
            &script,
        ])
        .success();
    }
    box_.run("wait c3 c0").success().prints("3\n0\n");
    box_.run("wait c3").success().prints("3\n");
    box_.run("wait nobody").fails(1).says("No such container: nobody");
}

#[test]
fn a_container_whose_monitor_was_killed_counts_as_ended() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    let before = box_.traces();
    box_.run("run -d --name k busybox sleep 600").success();
    let pid: u32 = box_.inspect("k", "{{.State.Pid}}").parse().unwrap();
    let monitor = parent(pid);
    crate::harness::host(&["kill", "-KILL", &monitor.to_string()]);
    eventually("it counts as ended", || !box_.run("ps").stdout.contains("sleep"));
    eventually("its program is gone too", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(box_.run("ps -a").line_with("sleep").contains("Exited ("));
    box_.run("start k").success();
    box_.run("rm -f k").success();
    box_.left_nothing_since(&before);
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap()
}

#[test]
fn lookups_take_ids_names_and_unambiguous_beginnings() {
    let box_ = Sandbox::new();
    let id = box_.run("create --network none --name look busybox true").success().line().to_owned();
    for name in ["look", "/look", &id, &id[..12], &id[..4]] {
        assert_eq!(box_.inspect(name, "{{.Name}}"), "/look", "for {name}");
    }
    box_.run("inspect nobody").fails(1).says("No such object: nobody");
}

#[test]
fn many_commands_at_once_do_not_disturb_each_other() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    let before = box_.traces();
    std::thread::scope(|scope| {
        let commands: Vec<_> = (0..8)
            .map(|number| {
                let mut command = box_.command(["run", "--rm", "busybox", "echo"]);
                command.arg(number.to_string()).stdin(std::process::Stdio::null());
                scope.spawn(move || command.output().unwrap())
            })
            .collect();
        for (number, command) in commands.into_iter().enumerate() {
            let output = command.join().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(text, format!("{number}\n"), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    box_.left_nothing_since(&before);
}

#[test]
fn of_two_runs_with_one_name_one_wins() {
    let box_ = Sandbox::new();
    let line = ["run", "-d", "--network", "none", "--name", "same", "busybox", "sleep", "60"];
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                let mut command = box_.command(line);
                scope.spawn(move || command.output().unwrap().status.code().unwrap())
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 125).count(), 3, "{codes:?}");
    assert_eq!(box_.run("ps -aq").stdout.lines().count(), 1);
}

#[test]
fn a_start_that_fails_after_a_run_that_did_not_tells_why() {
    let box_ = Sandbox::new();
    let program = box_.write("tools/program", "#!/bin/sh\nexit 3\n");
    host(&["chmod", "755", program.to_str().unwrap()]);
    let volume = format!("{}:/tools", box_.dir().join("tools").display());
    let run = ["run", "--network", "none", "--name", "c", "-v", &volume, "busybox", "/tools/program"];
    box_.wharf(run).fails(3);
    let state = "{{.State.Status}} {{.State.ExitCode}} [{{.State.Error}}]";
    assert_eq!(box_.inspect("c", state), "exited 3 []");

    std::fs::rename(&program, program.with_extension("away")).unwrap();
    assert_ne!(box_.run("start c").status, 0);
    assert!(box_.run("ps -a").line_with("/tools/program").contains("Exited (127)"));
    let failed = box_.inspect("c", state);
    assert!(failed.starts_with("exited 127 [") && failed.contains("/tools/program"), "{failed}");

    std::fs::rename(program.with_extension("away"), &program).unwrap();
    box_.run("start c").success();
    box_.run("wait c").success().prints("3\n");
    assert_eq!(box_.inspect("c", state), "exited 3 []");
}

#[test]
fn a_container_that_ran_is_never_just_created_again() {
    let box_ = Sandbox::new();
    let id = box_.run("run -d --network none --name c busybox true").success().line().to_owned();
    box_.run("wait c").success();
    // As after a reboot, of a disk that was full when it ended.
    eventually("its monitor is gone", || {
        std::fs::remove_dir_all(box_.run_root().join("containers").join(&id)).is_ok()
    });
    std::fs::remove_file(box_.root().join("containers").join(&id).join("exit.json")).unwrap();
    assert_eq!(box_.inspect("c", "{{.State.Status}} {{.State.ExitCode}}"), "exited 255");
}
