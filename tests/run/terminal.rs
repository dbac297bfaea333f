//! `-t`, on a real terminal.

use crate::harness::Sandbox;

#[test]
fn a_shell_on_a_terminal_behaves_like_one() {
    let box_ = Sandbox::new();
    let mut terminal = box_.terminal("run --rm -it --network none busybox sh");
    terminal.expect("# ");
    terminal.line("tty; echo term=$TERM; stty size");
    terminal.expect("/dev/pts/0");
    terminal.expect("term=xterm");
    terminal.expect("24 80");
    terminal.line("sleep 60");
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.send("\u{3}");
    terminal.expect("# ");
    terminal.line("echo still $((1+1)) here");
    terminal.expect("still 2 here\r\n");
    terminal.line("exit 3");
    assert_eq!(terminal.wait(), 3);
}

#[test]
fn the_window_is_resized_with_the_terminal() {
    let box_ = Sandbox::new();
    let mut terminal = box_.terminal("run --rm -it --network none busybox sh");
    terminal.expect("# ");
    terminal.resize(40, 120);
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.line("stty size");
    terminal.expect("40 120");
    terminal.line("exit");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn detach_keys_leave_the_container_running_and_attach_comes_back() {
    let box_ = Sandbox::new();
    box_.run("run -id -t --network none --name container-name busybox sh").success();
    let template = "{{.Config.Tty}} {{.Config.OpenStdin}} {{.State.Running}}";
    assert_eq!(box_.inspect("container-name", template), "true true true");
    for word in ["first", "second"] {
        let mut terminal = box_.terminal("attach container-name");
        terminal.line(&format!("echo {word} $((40+2))"));
        terminal.expect(&format!("{word} 42"));
        terminal.send("\u{10}\u{11}");
        assert_eq!(terminal.wait(), 0);
        assert_eq!(box_.inspect("container-name", "{{.State.Running}}"), "true");
    }
}

#[test]
fn the_terminal_is_as_it_was_afterwards() {
    let box_ = Sandbox::new();
    let mut terminal = box_.terminal("run --rm -it --network none busybox true");
    assert_eq!(terminal.wait(), 0);
    let mut terminal = box_.terminal("run --rm -it --network none no-such-image true");
    terminal.expect("Unable to find image");
    assert_eq!(terminal.wait(), 125);
}

#[test]
fn it_without_a_terminal_is_refused() {
    let box_ = Sandbox::new();
    box_.refuses(1, &["run", "-it", "--rm", "busybox", "sh"], &["stdin is not a terminal"]);
    box_.run("run -d --network none --name c busybox sleep 60").success();
    box_.run("exec -it c sh").fails(1).says("stdin is not a terminal");
    box_.run("run --rm -t --network none busybox tty").success().prints("/dev/pts/0\r\n");
}
