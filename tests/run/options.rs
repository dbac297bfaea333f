//! Options of `wharf run`.

use crate::harness::Sandbox;

#[test]
fn variables_come_from_the_image_the_command_line_a_file_and_the_caller() {
    let box_ = Sandbox::new();
    box_.build("e", "FROM busybox\nENV A=image B=image\n");
    box_.write("env", "# a comment\nC=\"quotes stay\"\nD\n");
    box_.set("CALLER", "caller's");
    box_.set("D", "d");
    let line = "run --rm --network none -e B=given -e CALLER -e MISSING -e EMPTY= --env-file env e env";
    let seen = box_.run(line).success();
    for text in [
        "A=image\n",
        "B=given\n",
        "C=\"quotes stay\"\n",
        "D=d\n",
        "CALLER=caller's\n",
        "EMPTY=\n",
        "HOME=/root\n",
    ] {
        assert!(seen.stdout.contains(text), "{text:?}\n{seen}");
    }
    assert!(!seen.stdout.contains("MISSING") && !seen.stdout.contains("TERM="), "{seen}");
    assert!(seen.stdout.starts_with("PATH=/usr/local/sbin:"), "{seen}");
}

#[test]
fn the_working_directory_is_made_when_it_is_missing() {
    let box_ = Sandbox::new();
    box_.run("run --rm --network none -w /not/there busybox pwd").success().prints("/not/there\n");
}

#[test]
fn users_are_names_or_numbers_of_the_image() {
    let box_ = Sandbox::new();
    let id = |user: &str| {
        box_.wharf(["run", "--rm", "--network", "none", "-u", user, "busybox", "sh", "-c", "id; echo $HOME"])
            .success()
            .stdout
    };
    assert_eq!(
        id("sailor"),
        "uid=1000(sailor) gid=1000(sailor) groups=1000(sailor),2000(crew)\n/home/sailor\n"
    );
    assert_eq!(id("sailor:crew"), "uid=1000(sailor) gid=2000(crew) groups=2000(crew)\n/home/sailor\n");
    assert_eq!(id("4000"), "uid=4000 gid=0(root) groups=0(root)\n/\n");
    assert_eq!(id("4000:5000"), "uid=4000 gid=5000 groups=5000\n/\n");
    let before = box_.traces();
    box_.run("run --rm --network none -u nobody busybox id").fails(125).says("unable to find user nobody");
    box_.left_nothing_since(&before);
}

#[test]
fn the_host_name_is_the_short_id_unless_it_is_given() {
    let box_ = Sandbox::new();
    box_.run("run --rm --network none --hostname harbour busybox hostname").success().prints("harbour\n");
    let id = box_.run("run -d --network none --name h busybox sleep 60").success();
    box_.run("exec h hostname").success().prints(&format!("{}\n", &id.line()[..12]));
    box_.run("exec h cat /etc/hostname").success().prints(&format!("{}\n", &id.line()[..12]));
    box_.run("exec h cat /etc/hosts").success().shows("127.0.0.1").shows("localhost");
}

#[test]
fn rm_removes_the_container_whatever_its_end() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    let before = box_.traces();
    for (command, code) in
        [("true", 0), ("false", 1), ("no-such-program", 127), ("/etc/passwd", 126), ("/etc", 126)]
    {
        box_.run(&format!("run --rm busybox {command}")).fails(code);
        box_.left_nothing_since(&before);
    }
}

#[test]
fn without_rm_it_stays_with_its_exit_code() {
    let box_ = Sandbox::new();
    box_.wharf(["run", "--network", "none", "--name", "stays", "busybox", "sh", "-c", "exit 3"]).fails(3);
    box_.run("ps").success().without("stays");
    assert!(box_.run("ps -a").success().line_with("stays").contains("Exited (3)"));
    assert_eq!(box_.inspect("stays", "{{.State.ExitCode}} {{.State.Status}}"), "3 exited");
}

#[test]
fn detached_prints_the_id_and_nothing_else_within_a_second() {
    let box_ = Sandbox::new();
    let begin = std::time::Instant::now();
    let started = box_.run("run -d --name d busybox sleep 60").success();
    assert!(begin.elapsed().as_secs_f64() < 1.0, "{:?}", begin.elapsed());
    let id = started.line();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{started}");
    assert_eq!(started.stderr, "", "{started}");
    assert_eq!(box_.inspect("d", "{{.Id}}"), id);
    box_.run(&format!("rm -f {}", &id[..12])).success().prints(&format!("{}\n", &id[..12]));
}

#[test]
fn a_name_that_is_not_given_is_made_up() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none busybox sleep 60").success();
    let name = box_.wharf(["ps", "--format", "{{.Names}}"]).success();
    assert!(name.line().contains('_'), "{name}");
}

#[test]
fn an_id_can_be_written_to_a_file_that_is_not_there_yet() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --cidfile cid --name c busybox sleep 60")
        .success()
        .prints(&format!("{}\n", box_.read("cid")));
    box_.refuses(125, &["run", "-d", "--cidfile", "cid", "busybox", "true"], &["container ID file found"]);
}

#[test]
fn limits_reach_the_control_groups() {
    let box_ = Sandbox::new();
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
                  cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null";
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-m",
        "64m",
        "--pids-limit",
        "30",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let seen = box_.wharf(run).stdout;
    assert_eq!(seen, "67108864\n30\n");
    let greedy = [
        "run",
        "--network",
        "none",
        "--name",
        "greedy",
        "-m",
        "16m",
        "busybox",
        "sh",
        "-c",
        "x=x; while :; do x=$x$x; done",
    ];
    box_.wharf(greedy).fails(137);
    assert_eq!(box_.inspect("greedy", "{{.State.OOMKilled}}"), "true");
    let limit = [
        "run",
        "--rm",
        "--network",
        "none",
        "--ulimit",
        "nofile=77:88",
        "busybox",
        "sh",
        "-c",
        "ulimit -Sn; ulimit -Hn",
    ];
    box_.wharf(limit).success().prints("77\n88\n");
}

#[test]
fn the_root_can_be_read_only() {
    let box_ = Sandbox::new();
    let script =
        "touch /x 2>&1; touch /tmp/x && echo tmp is memory; echo > /dev/shm/x && echo shm can be written";
    let run =
        ["run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "busybox", "sh", "-c", script];
    box_.wharf(run).shows("Read-only file system").shows("tmp is memory").shows("shm can be written");
}

#[test]
fn create_makes_a_container_that_start_runs() {
    let box_ = Sandbox::new();
    let id = box_.run("create --network none --name c busybox echo hello").success();
    assert!(box_.run("ps -a").line_with("busybox").contains("Created"));
    box_.run("start -a c").success().prints("hello\n");
    assert_eq!(box_.inspect("c", "{{.Id}}"), id.line());
}

#[test]
fn unknown_options_and_missing_words_are_docker_s_125() {
    let box_ = Sandbox::new();
    for line in [vec!["run", "--no-such-option", "busybox"], vec!["run"], vec!["build"], vec!["no-such-verb"]]
    {
        box_.refuses(125, &line, &["error"]);
    }
    box_.run("--help").success().shows("Usage");
    box_.run("run --help").success().shows("--publish");
}
