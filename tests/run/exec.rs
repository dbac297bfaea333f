//! `wharf exec`.

use crate::harness::{Sandbox, eventually};

fn running() -> Sandbox {
    let box_ = Sandbox::new();
    box_.build("e", "FROM busybox\nENV A=image\nWORKDIR /w\n");
    box_.run("run -d --network none -e B=run --name c e sleep 60").success();
    box_
}

#[test]
fn it_runs_beside_the_program_in_the_same_place() {
    let box_ = running();
    box_.wharf(["exec", "c", "sh", "-c", "pwd; echo $A$B; echo made > /made"])
        .success()
        .prints("/w\nimagerun\n");
    box_.run("exec c cat /made").success().prints("made\n");
    let ps = box_.run("exec c ps -o pid,args").success().shows("1 sleep 60");
    assert!(ps.stdout.contains("ps -o"), "{ps}");
}

#[test]
fn options_change_user_directory_and_variables() {
    let box_ = running();
    let script = "id -un; pwd; echo $X; echo $HOME";
    box_.wharf(["exec", "-u", "sailor", "-w", "/etc", "-e", "X=y", "c", "sh", "-c", script])
        .success()
        .prints("sailor\n/etc\ny\n/home/sailor\n");
    box_.wharf_with(["exec", "-i", "c", "cat"], b"typed").success().prints("typed");
}

#[test]
fn its_exit_code_is_the_command_s() {
    let box_ = running();
    box_.wharf(["exec", "c", "sh", "-c", "exit 7"]).fails(7);
    box_.run("exec c no-such-program").fails(127).says("no-such-program");
    box_.run("exec c /etc/passwd").fails(126);
    box_.run("exec nobody true").fails(1).says("No such container: nobody");
    box_.run("stop -t 0 c").success();
    box_.run("exec c true").fails(1).says("is not running");
}

#[test]
fn detached_it_is_not_waited_for() {
    let box_ = running();
    let begin = std::time::Instant::now();
    box_.wharf(["exec", "-d", "c", "sh", "-c", "sleep 0.5; echo done > /done"]).success().prints("");
    assert!(begin.elapsed().as_secs_f64() < 0.5);
    eventually("it has run", || box_.run("exec c cat /done").stdout == "done\n");
}

#[test]
fn a_shell_of_one_s_own_leaves_the_container_alone() {
    let box_ = running();
    let mut terminal = box_.terminal("exec -it c sh");
    terminal.expect("# ");
    terminal.line("tty; stty size");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.send("sleep 60\r");
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.send("\u{3}");
    terminal.line("exit 3");
    assert_eq!(terminal.wait(), 3);
    assert_eq!(box_.inspect("c", "{{.State.Running}}"), "true");
}

#[test]
fn it_has_the_container_s_privileges() {
    let box_ = running();
    box_.run("exec c grep CapEff /proc/self/status").success().prints("CapEff:\t00000000a80425fb\n");
    box_.run("exec c grep Seccomp: /proc/self/status").success().prints("Seccomp:\t2\n");
    box_.run("exec --privileged c grep CapEff /proc/self/status").success().without("a80425fb");
}
