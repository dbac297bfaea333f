//! What a container sees of the machine, and of other containers: nothing.

use crate::harness::{Sandbox, host};

#[test]
fn one_image_gives_many_containers_that_share_nothing() {
    let box_ = Sandbox::new();
    for name in ["one", "two"] {
        box_.run(&format!("run -d --name {name} busybox sleep 60")).success();
        box_.wharf(["exec", name, "sh", "-c", &format!("echo {name} > /tmp/who; rm /etc/group")]).success();
    }
    for name in ["one", "two"] {
        box_.run(&format!("exec {name} cat /tmp/who")).success().prints(&format!("{name}\n"));
    }
    assert_eq!(
        box_.in_image("busybox", "ls /tmp; head -n 1 /etc/group"),
        "root:x:0:\n",
        "the image stays as it was"
    );
    let address = |name: &str| box_.inspect(name, "{{.NetworkSettings.IPAddress}}");
    assert_ne!(address("one"), address("two"));
}

#[test]
fn only_its_own_processes_are_seen() {
    let box_ = Sandbox::new();
    let processes = box_.in_image("busybox", "ps -o pid,comm | tail -n +2 | wc -l; echo $$");
    assert!(processes.ends_with("\n1\n") && processes.trim().len() <= 3, "{processes}");
    let inside = box_.in_image("busybox", "kill -0 2147483 2>&1; ls /proc | grep -c '^[0-9]'");
    assert!(inside.contains("No such process"), "{inside}");
}

#[test]
fn no_mount_of_the_host_is_seen_and_none_is_made_on_it() {
    let box_ = Sandbox::new();
    box_.run("run -d --name m busybox sleep 60").success();
    let ours = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !ours.contains(box_.root().to_str().unwrap()),
        "a container's root is mounted on the host:\n{ours}"
    );
    let inside = box_.run("exec m cat /proc/self/mountinfo").success();
    let own = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    for line in inside.stdout.lines() {
        let target = line.split(' ').nth(4).unwrap();
        let known = target == "/"
            || own.contains(&target)
            || ["/proc", "/sys", "/dev"].iter().any(|top| target.starts_with(top));
        assert!(known, "{line}");
    }
}

#[test]
fn the_host_name_and_the_namespaces_are_its_own() {
    let box_ = Sandbox::new();
    let spaces = "cd /proc/self/ns; for it in mnt net pid uts ipc; do readlink $it; done";
    let inside = box_.in_image("busybox", spaces);
    let outside = host(&["sh", "-c", spaces]);
    for (inside, outside) in inside.lines().zip(outside.lines()) {
        assert_ne!(inside, outside);
    }
    box_.run("run --rm --network none --hostname x busybox hostname changed").fails(1).says("permitted");
}

#[test]
fn privileges_are_docker_s_defaults() {
    let box_ = Sandbox::new();
    let status = box_
        .in_image("busybox", "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status");
    for (set, mask) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", "0000000000000000"),
        ("Seccomp", "2"),
    ] {
        assert!(status.contains(&format!("{set}:\t{mask}\n")), "{set}\n{status}");
    }
    let user = [
        "run",
        "--rm",
        "--network",
        "none",
        "-u",
        "sailor",
        "busybox",
        "grep",
        "CapEff",
        "/proc/self/status",
    ];
    box_.wharf(user).success().prints("CapEff:\t0000000000000000\n");
    let script = "mount -t tmpfs x /tmp; mknod /tmp/disk b 259 0 && head -c 1 /tmp/disk; echo 1 > /proc/sys/kernel/sysrq; true";
    let run = ["run", "--rm", "--network", "none", "busybox", "sh", "-c", script];
    let said = box_.wharf(run).success();
    assert_eq!(said.stderr.lines().count(), 3, "each of the three is refused\n{said}");
}

#[test]
fn what_docker_masks_is_masked() {
    let box_ = Sandbox::new();
    let seen = box_.in_image(
        "busybox",
        "cat /proc/kcore /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w; \
         for it in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper; do echo x 2>/dev/null > $it && echo $it; done; true",
    );
    assert_eq!(seen, "0\n0\n");
}

#[test]
fn only_descriptors_0_to_2_are_open() {
    let box_ = Sandbox::new();
    // The shell makes no pipe here: it would hold an end of it while ls looks.
    let run = ["run", "--rm", "--network", "none", "busybox", "sh", "-c", "ls /proc/$$/fd; true"];
    let seen = box_.wharf(run).success();
    assert!(["0\n1\n2\n", "0\n1\n10\n2\n"].contains(&seen.stdout.as_str()), "{seen}");
    assert_eq!(
        box_.in_image("busybox", "exec ls /proc/self/fd | wc -l").trim(),
        "4",
        "three, and the one that ls opens"
    );
}
