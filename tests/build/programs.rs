//! What RUN's programs see and may.

use std::fs;

use crate::harness::{Sandbox, host};

/// behaviours every Dockerfile stands on: hosts, name, directory, user, home, PATH, no terminal, no input.
#[test]
fn a_step_sees_a_sandbox_and_leaves_nothing_of_it() {
    let box_ = Sandbox::new();
    let built = box_.build(
        "x",
        "FROM busybox\nWORKDIR /w\nUSER sailor\n\
         RUN hostname; pwd; id -un; echo $HOME; echo $PATH; test -t 0 || echo no terminal; wc -c < /dev/stdin; \
         grep -c localhost /etc/hosts; test -s /etc/resolv.conf && echo resolves\n",
    );
    let built = built.says(" buildkitsandbox").says(" /w").says(" sailor").says(" /home/sailor");
    let built = built.says(" /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    built.says(" no terminal").says(" 0\n").says(" resolves");
    box_.run("save -o x.tar x").success();
    let listed = host(&["tar", "-xOf", box_.dir().join("x.tar").to_str().unwrap(), "--wildcards", "*"]);
    assert!(!listed.contains("buildkitsandbox"), "the host name is in a layer");
}

#[test]
fn a_failed_step_tells_its_code_and_names_nothing() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo first > /first\nRUN exit 7\nRUN echo never\n");
    box_.run("build -t x .")
        .fails(1)
        .says("did not complete successfully: exit code: 7")
        .says("Dockerfile:3");
    box_.run("inspect x").fails(1);
    box_.write("Dockerfile", "FROM busybox\nRUN echo first > /first\nRUN true\n");
    box_.run("build -t x .").success().says("CACHED");
}

#[test]
fn the_hosts_network_and_no_confinement_take_a_word_of_whoever_builds() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN --network=host ls /sys/class/net\n");
    let words = ["Dockerfile:2", "network.host is not allowed", "--allow network.host"];
    box_.refuses(1, &["build", "-t", "x", "."], &words);
    let built = box_.run("build --allow network.host -t x .").success();
    for link in fs::read_dir("/sys/class/net").unwrap().flatten() {
        assert!(built.stderr.contains(&format!(" {}\n", link.file_name().display())), "{built}");
    }
    // A step that is cached is no way around it.
    box_.run("build -t x .").fails(1).says("network.host is not allowed");
    box_.run("build --network host -t x .").success();
    box_.run("build --allow everything -t x .").fails(125).says("unknown entitlement `everything`");

    box_.config("[plugin.run]\ngrants.ops = [\"exec\", \"exec-insecure\"]\n");
    box_.write(
        "Dockerfile",
        "FROM busybox\nRUN --security=insecure grep -E 'CapEff|Seccomp:' /proc/self/status\n",
    );
    box_.run("build -t x .")
        .fails(1)
        .says("security.insecure is not allowed")
        .says("--allow security.insecure");
    let all = fs::read_to_string("/proc/self/status").unwrap();
    let all = all.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim().to_owned();
    let built = box_.run("build --allow security.insecure --allow network.host -t x .").success();
    built.says(&all).says("Seccomp:");
}

#[test]
fn a_step_without_a_network_has_none() {
    let box_ = Sandbox::new();
    let links = "ls /sys/class/net | tr '\\n' ' '";
    box_.write(
        "Dockerfile",
        format!("FROM busybox\nRUN --network=none echo \"one: $({links})\"\nRUN echo \"two: $({links})\"\n"),
    );
    box_.run("build -t x .").success().says("one: lo \n").says("two: eth0 lo ");
    let built = box_.run("build --network none -t x .").success();
    built.says("two: lo \n");
    box_.run("build --network nowhere --no-cache -t x .").fails(1).says("nowhere");
    box_.run("build --network default --no-cache -t x .").success().says("two: eth0 lo ");
    box_.run("network create quay").success();
    box_.run("build --network quay --no-cache -t x .").success().says("two: eth0 lo ");
    box_.run("network rm quay").success();
}

#[test]
fn hosts_are_added_and_only_their_names_count() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN tr '\\t' ' ' < /etc/hosts\n");
    let built = box_
        .run("build --add-host db:10.1.2.3 --add-host six=::1 --add-host me:host-gateway -t x .")
        .success();
    let gateway = built.stderr.lines().find_map(|line| line.strip_suffix(" me")).unwrap();
    let gateway = gateway.rsplit(' ').next().unwrap();
    assert!(gateway.parse::<std::net::Ipv4Addr>().is_ok(), "{built}");
    built.says("10.1.2.3 db").says("::1 six");
    box_.run("build --add-host db:10.9.9.9 --add-host six=::1 --add-host me:host-gateway -t x .")
        .success()
        .says("CACHED");
    box_.run("build --add-host other:10.1.2.3 -t x .").success().says("10.1.2.3 other");
    for wrong in ["db", "db:", "db:1.2.3", "a b:1.2.3.4", "a\n1.1.1.1 b:1.2.3.4"] {
        box_.refuses(125, &["build", "--add-host", wrong, "-t", "y", "."], &["invalid --add-host"]);
    }
    let words = ["no host-gateway for me", "Dockerfile:2"];
    box_.refuses(1, &["build", "--network", "none", "--add-host", "me:host-gateway", "-t", "y", "."], &words);
    assert_eq!(box_.in_image("x", "grep -c other /etc/hosts || true"), "0\n");
}

#[test]
fn what_a_step_may_use_is_limited() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nRUN df -k /dev/shm | tail -1 | awk '{print \"shm\", $2}'; ulimit -n; \
         cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; \
         cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null; nproc\n",
    );
    let built = box_
        .run("build --shm-size 2m --ulimit nofile=99:100 -m 64m --cpu-quota 50000 --cpu-period 100000 --cpuset-cpus 0 -t x .")
        .success();
    built.says("shm 2048").says(" 99\n").says(" 67108864").says(" 50000").says(" 1\n");
    box_.run("build --shm-size 2m --ulimit nofile=99:100 -t x .").success().says("CACHED");
    box_.run("build --shm-size 4m -t x .").success().says("shm 4096");
    box_.run("build --ulimit nofiles=1 -t x .").fails(125).says("nofiles");
}

#[test]
fn a_group_can_be_named_for_the_steps() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo ran\n");
    box_.run("build --cgroup-parent ../up -t x .").fails(1).says("invalid --cgroup-parent");
}

#[test]
fn a_shell_is_opened_where_a_step_failed() {
    let box_ = Sandbox::new();
    box_.write("token", "wharf-test-hunter2");
    box_.write(
        "Dockerfile",
        "FROM busybox AS s\nRUN echo staged > /staged\nFROM busybox\nWORKDIR /w\nENV GREETING=ahoy\nUSER sailor\n\
         RUN --mount=type=secret,id=token,target=/t,uid=1000 --mount=from=s,target=/s,rw --mount=type=cache,target=/c,sharing=locked,uid=1000 \
         echo half > /tmp/half; echo cached > /c/x; echo it fails; exit 3\n",
    );
    let before = box_.traces();
    let mut build = box_.terminal("build --debug-shell --secret id=token,src=token -t x .");
    build.expect("it fails");
    build.expect("/bin/sh");
    build.line("echo \"<$GREETING $(id -un) $(pwd) $(cat /tmp/half /s/staged /t /c/x | tr '\\n' ' ')>\"");
    build.expect("<ahoy sailor /w half staged wharf-test-hunter2cached >");
    build.line("tty; exit 0");
    build.expect("/dev/");
    assert_eq!(build.wait(), 1, "{}", build.screen());
    build.expect("exit code: 3");
    box_.run("inspect x").fails(1);
    drop(before);

    let words = ["not a terminal", "--debug-shell"];
    box_.refuses(1, &["build", "--debug-shell", "-t", "x", "."], &words);
    box_.write("Dockerfile", "FROM busybox\nRUN echo fine\n");
    let mut build = box_.terminal("build --debug-shell -t x .");
    assert_eq!(build.wait(), 0, "{}", build.screen());
}

#[test]
fn a_step_that_fails_where_there_is_no_shell_says_so() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nSHELL [\"/absent\", \"-c\"]\nRUN [\"false\"]\n");
    let mut build = box_.terminal("build --debug-shell -t x .");
    assert_eq!(build.wait(), 1, "{}", build.screen());
    build.expect("cannot open a shell");
    build.expect("exit code: 1");
}
