//! `--device`: nodes of the host, and what CDI files describe.

use crate::harness::{Sandbox, host};

/// A sandbox with one CDI file, `cdi/vendor.yaml`.
fn with_cdi() -> Sandbox {
    let box_ = Sandbox::new();
    let share = box_.write("share/lib", "of the host\n").with_file_name("");
    box_.write("cdi/vendor.yaml", CDI.replace("SHARE", share.to_str().unwrap()));
    box_.config(&format!("[engine]\ncdi = [\"{}\"]\n", box_.dir().join("cdi").display()));
    box_
}

/// The control of loop devices under another name: containers do not have it by themselves.
const CDI: &str = r#"
cdiVersion: "0.7.0"
kind: vendor.com/class
containerEdits:
  env: [FOR_ALL=yes]
devices:
- name: loops
  containerEdits:
    env: [PATH=/bin, WHICH=loops]
    additionalGids: [4242]
    deviceNodes:
    - path: /dev/vendor/loops
      hostPath: /dev/loop-control
      permissions: r
      fileMode: 0644
    mounts:
    - hostPath: SHARE
      containerPath: /opt/vendor
      options: [ro, nosuid, bind]
- name: hooked
  containerEdits:
    hooks:
    - hookName: createContainer
      path: /usr/bin/vendor-hook
"#;

#[test]
fn a_container_gets_a_node_of_the_host_and_no_other() {
    let box_ = Sandbox::new();
    let script = "(: < /dev/loops) && echo opened; (: > /dev/loops); mknod /dev/other c 10 229 && (: < /dev/other); \
                  ls /dev | grep -c -E '^(kmsg|loop-|sd)'";
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--device",
        "/dev/loop-control:/dev/loops:r",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let seen = box_.wharf(run);
    assert_eq!(seen.stdout, "opened\n0\n", "{seen}");
    assert_eq!(seen.stderr.matches("Operation not permitted").count(), 2, "{seen}");
    box_.run("run --rm --network none busybox ls /dev/loops").fails(1);
    box_.run("create --name c --device /dev/loop-control:/dev/loops:r busybox true").success();
    assert_eq!(
        box_.inspect("c", "{{json .HostConfig.Devices}}"),
        r#"[{"CgroupPermissions":"r","PathInContainer":"/dev/loops","PathOnHost":"/dev/loop-control"}]"#
    );
}

#[test]
fn all_nodes_below_a_directory_come_along() {
    let box_ = Sandbox::new();
    let folder = box_.dir().join("nodes");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    for (name, minor) in [("zero", "5"), ("deep/full", "7")] {
        host(&["mknod", folder.join(name).to_str().unwrap(), "c", "1", minor]);
    }
    box_.write("nodes/file", "not a device");
    let device = format!("{}:/dev/many", folder.display());
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--device",
        &device,
        "busybox",
        "find",
        "/dev/many",
        "-type",
        "c",
    ];
    let mut seen: Vec<String> = box_.wharf(run).success().stdout.lines().map(str::to_owned).collect();
    seen.sort();
    assert_eq!(seen, ["/dev/many/deep/full", "/dev/many/zero"]);
}

#[test]
fn a_cdi_device_brings_nodes_mounts_variables_and_groups() {
    let box_ = with_cdi();
    let script = "(: < /dev/vendor/loops) && stat -c '%a %u' /dev/vendor/loops; cat /opt/vendor/lib; \
                  touch /opt/vendor/x; echo $PATH $WHICH $FOR_ALL; id -G";
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--device",
        "vendor.com/class=loops",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let seen = box_.wharf(run).success();
    assert_eq!(seen.stdout, "644 0\nof the host\n/bin loops yes\n0 4242\n", "{seen}");
    assert!(seen.stderr.contains("Read-only file system"), "{seen}");
    box_.run("create --name c --device vendor.com/class=loops busybox true").success();
    assert_eq!(
        box_.inspect("c", "{{(index .HostConfig.DeviceRequests 0).DeviceIDs}}"),
        "[vendor.com/class=loops]"
    );
    box_.run("info").success().shows("vendor.com/class=hooked vendor.com/class=loops");
}

#[test]
fn a_device_that_can_not_be_had_leaves_nothing() {
    let box_ = with_cdi();
    for (device, words) in [
        (
            "vendor.com/class=other",
            &["unresolvable CDI devices", "known devices: vendor.com/class=hooked"][..],
        ),
        ("vendor.com/class=hooked", &["the hook createContainer (/usr/bin/vendor-hook)", "vendor.yaml"]),
        ("/dev/no-such-device", &["No such file or directory"]),
        ("/etc/passwd:/dev/x", &["not a device node"]),
        ("/dev/loop-control:/loops", &["/loops would not be below /dev"]),
        ("loops", &["loops is not an absolute path"]),
        ("/dev/loop-control:/dev/x:q", &["bad mode specified: q"]),
    ] {
        box_.refuses(125, &["run", "--network", "none", "--device", device, "busybox", "true"], words);
    }
    box_.write("cdi/vendor.yaml", CDI.replace("devices:", "devises:"));
    let refused = ["run", "--device", "vendor.com/class=loops", "busybox", "true"];
    box_.refuses(125, &refused, &["vendor.yaml: ", "unknown field `devises`"]);
    box_.run("info").success().shows("unknown field `devises`");
}

#[test]
fn a_device_that_has_gone_keeps_a_container_from_starting() {
    let box_ = with_cdi();
    box_.run("create --network none --name c --device vendor.com/class=loops busybox true").success();
    std::fs::remove_file(box_.dir().join("cdi/vendor.yaml")).unwrap();
    box_.run("start -a c")
        .fails(125)
        .says("unresolvable CDI devices vendor.com/class=loops")
        .says("[engine] cdi");
    assert_eq!(box_.inspect("c", "{{.State.Status}}"), "created");
}
