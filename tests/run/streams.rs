//! Standard streams, exit codes and signals of a container in the foreground.

use std::process::Stdio;
use std::time::Duration;

use crate::harness::{Sandbox, eventually, host};

#[test]
fn output_and_errors_keep_apart() {
    let box_ = Sandbox::new();
    let run = ["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo out; echo err >&2; exit 5"];
    let output = box_.wharf(run).fails(5).prints("out\n");
    assert_eq!(output.stderr, "err\n", "{output}");
}

#[test]
fn input_reaches_the_program_only_with_i() {
    let box_ = Sandbox::new();
    let cat = |option: &str| {
        box_.wharf_with(["run", "--rm", "--network", "none", option, "busybox", "cat"], b"typed\n")
    };
    cat("-i").success().prints("typed\n");
    cat("--read-only").success().prints("");
}

#[test]
fn large_input_and_output_arrive_whole() {
    let box_ = Sandbox::new();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| b'a' + u8::try_from(number % 23).unwrap()).collect();
    let output =
        box_.wharf_with(["run", "--rm", "--network", "none", "-i", "busybox", "cat"], &bytes).success();
    assert!(output.stdout.as_bytes() == bytes, "{} of {} bytes came back", output.stdout.len(), bytes.len());
}

#[test]
fn exit_codes_are_docker_s() {
    let box_ = Sandbox::new();
    let code = |script: &str, code: i32| {
        box_.wharf(["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]).fails(code);
    };
    code("exit 42", 42);
    code("kill -9 $$; exit 4", 4);
    code("sh -c 'kill -9 $$'; exit $?", 137);
    box_.run("run --rm --network none busybox nowhere").fails(127).says("nowhere");
    box_.run("run --rm --network none busybox /etc/passwd").fails(126);
    box_.run("run --rm --network none no-such-image")
        .fails(125)
        .says("Unable to find image 'no-such-image:latest' locally");
}

#[test]
fn signals_are_passed_on() {
    let box_ = Sandbox::new();
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command =
        box_.command(["run", "--rm", "--network", "none", "--name", "s", "busybox", "sh", "-c", script]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it is ready", || box_.run("logs s").stdout.contains("ready"));
    host(&["kill", "-TERM", &child.id().to_string()]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ready\ncaught\n");
}

#[test]
fn an_id_container_stays_without_anybody_typing() {
    let box_ = Sandbox::new();
    box_.run("run -id --network none --name open busybox sh").success();
    box_.run("run -d --network none --name shut busybox sh").success();
    eventually("the one without input ends", || box_.run("ps -a").line_with("shut").contains("Exited (0)"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(box_.inspect("open", "{{.State.Running}} {{.Config.OpenStdin}}"), "true true");
}

#[test]
fn attach_shares_the_streams_of_a_running_container() {
    let box_ = Sandbox::new();
    box_.run("run -id --network none --name a busybox cat").success();
    let mut command = box_.command(["attach", "a"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"through attach\n").unwrap();
    eventually("it went through the container", || box_.run("logs a").stdout.contains("through attach"));
    box_.run("stop -t 0 a").success();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through attach\n");
    assert_eq!(output.status.code(), Some(137));
    box_.run("attach a").fails(1).says("running");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let box_ = Sandbox::new();
    let line = format!("for i in 1 2 3; do {} images; done | head -n 1", crate::harness::program().display());
    let mut command = std::process::Command::new("sh");
    let wharf = box_.command(["images"]);
    command.env_clear().args(["-c", &line]);
    for (name, value) in wharf.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
