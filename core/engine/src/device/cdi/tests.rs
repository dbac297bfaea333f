//! CDI files in directories of their own. The devices are `/dev/null` and `/dev/zero`, which every host has.

use super::*;

const NULL: &str = "cdiVersion: \"0.6.0\"\nkind: vendor.com/class\ndevices:\n";

/// Directories with these files, `NUMBER/NAME`.
fn directories(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let temp = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = temp.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let directories = ["0", "1", "2"].map(|name| temp.path().join(name)).to_vec();
    (temp, directories)
}

fn device(name: &str, variable: &str) -> String {
    format!("- name: {name}\n  containerEdits: {{env: [{variable}]}}\n")
}

fn names(devices: &Devices) -> Vec<&str> {
    devices.names().collect()
}

#[test]
fn a_file_of_either_language_is_read() {
    let json = r#"{"cdiVersion": "0.5.0", "kind": "vendor.com/gpu",
        "containerEdits": {"env": ["ALL=1"], "additionalGids": []},
        "devices": [
            {"name": "0", "containerEdits": {
                "deviceNodes": [
                    {"path": "/dev/gpu0", "hostPath": "/dev/null", "permissions": "rw", "fileMode": 384, "gid": 5},
                    {"path": "/dev/made", "type": "b", "major": 200, "minor": 7, "permissions": "none"}],
                "mounts": [{"hostPath": "/etc", "containerPath": "/opt/gpu", "options": ["ro", "bind"]}]}},
            {"name": "all", "containerEdits": {"env": ["N=0"]}}]}"#;
    let yaml = "cdiVersion: v0.7.0\nkind: vendor.com/net.a\nannotations:\n  auto: true\n  number: 1\ndevices:\n\
                - name: eth\n  annotations: {text: yes it is}\n  containerEdits:\n    additionalGids: [5, 0]\n    \
                deviceNodes:\n    - path: /dev/null\n      fileMode: 0640\n";
    let (_temp, directories) = directories(&[("0/gpu.json", json), ("0/net.yaml", yaml), ("0/x.yml", "no")]);
    let devices = Devices::read(&directories);
    assert_eq!(devices.problems(), []);
    assert_eq!(names(&devices), ["vendor.com/gpu=0", "vendor.com/gpu=all", "vendor.com/net.a=eth"]);

    let edits = devices.edits(&["vendor.com/gpu=0", "vendor.com/gpu=all", "vendor.com/gpu=0"]).unwrap();
    assert_eq!(edits.env, ["ALL=1", "N=0"], "what is for all is there once, and before the devices' own");
    let [gpu, made] = &edits.nodes[..] else { panic!("{edits:?}") };
    let numbers = Numbers { kind: LinuxDeviceType::C, major: 1, minor: 3, mode: 0o600 };
    assert_eq!((gpu.numbers, gpu.access.as_str(), gpu.uid, gpu.gid), (numbers, "rw", None, Some(5)));
    assert_eq!((made.numbers.kind, made.numbers.minor, made.access.as_str()), (LinuxDeviceType::B, 7, ""));
    let [mount] = &edits.mounts[..] else { panic!("{edits:?}") };
    assert_eq!(mount.source().as_deref(), Some(Path::new("/etc")));
    assert_eq!(mount.options().as_ref().unwrap(), &["ro", "bind"]);

    let net = devices.edits(&["vendor.com/net.a=eth"]).unwrap();
    assert_eq!(
        (net.gids, net.nodes[0].numbers.mode, net.nodes[0].access.as_str()),
        (vec![5, 0], 0o640, "rwm")
    );
}

#[test]
fn a_later_directory_wins_and_nobody_wins_within_one() {
    let low = format!("{NULL}{}{}", device("a", "A=low"), device("b", "B=low"));
    let high = format!("{NULL}{}", device("a", "A=high"));
    let twice = format!("{NULL}{}", device("c", "C=1"));
    let files = [("0/x.yaml", &low), ("1/x.yaml", &high), ("2/x.yaml", &twice), ("2/y.yaml", &twice)];
    let (_temp, directories) = directories(&files.map(|(path, text)| (path, text.as_str())));
    let devices = Devices::read(&directories);
    assert_eq!(names(&devices), ["vendor.com/class=a", "vendor.com/class=b"]);
    assert_eq!(devices.edits(&["vendor.com/class=a"]).unwrap().env, ["A=high"]);
    let [problem] = devices.problems() else { panic!("{devices:?}") };
    assert!(problem.path.ends_with("2/y.yaml") && problem.what.contains("2/x.yaml"), "{problem}");
    match devices.edits(&["vendor.com/class=c"]) {
        Err(DeviceError::Unknown { problem: Some(problem), .. }) => {
            assert!(problem.what.contains("neither is used"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_wrong_is_left_out_and_says_why() {
    let with = |edits: &str| format!("{NULL}- name: a\n  containerEdits: {{{edits}}}\n");
    let version = |version: &str, rest: &str| {
        format!(
            "cdiVersion: {version}\nkind: vendor.com/class\ndevices:\n- name: a\n  containerEdits: {{{rest}}}\n"
        )
    };
    for (text, words) in [
        (NULL.replace("devices", "device"), "unknown field"),
        (format!("{NULL}{}{}", device("a", "A=1"), device("a", "A=2")), "two devices `a`"),
        (format!("{NULL}{}", device("-a", "A=1")), "device name `-a`"),
        (NULL.replace("devices:", "devices: []"), "no devices"),
        (format!("{NULL}- name: a\n"), "`a` changes nothing"),
        (NULL.replace("vendor.com/class", "vendor.com") + &device("a", "A=1"), "invalid kind `vendor.com`"),
        (NULL.replace("0.6.0", "7.0.0") + &device("a", "A=1"), "cdiVersion `7.0.0`"),
        (with("env: [novalue]"), "variable `novalue`"),
        (with("deviceNodes: [{path: dev/null}]"), "path `dev/null`"),
        (with("deviceNodes: [{path: /dev/a, type: x}]"), "device type `x`"),
        (with("deviceNodes: [{path: /dev/a, permissions: rx}]"), "permissions `rx`"),
        (with("deviceNodes: [{path: /dev/a, fileMode: u=rw}]"), "`u=rw` is not a number"),
        (with("hooks: [{hookName: sometimes, path: /bin/true}]"), "hook `sometimes`"),
        (with("mounts: [{containerPath: /x}]"), "source of a mount"),
        (with("additionalGids: [5]"), "`additionalGids` came with 0.7.0"),
        (version("0.2.0", "env: [A=1]"), "every device came with 0.3.0"),
        (version("0.3.0", "mounts: [{hostPath: /a, containerPath: /a, type: none}]"), "came with 0.4.0"),
        (version("0.4.0", "deviceNodes: [{path: /dev/a, hostPath: /dev/b}]"), "came with 0.5.0"),
        (version("1.0.0", "netDevices: [{hostInterfaceName: a, name: b}]"), "came with 1.1.0"),
    ] {
        let (_temp, directories) = directories(&[("0/x.yaml", &text)]);
        let devices = Devices::read(&directories);
        let [problem] = devices.problems() else { panic!("for {text}") };
        assert!(problem.what.contains(words), "{problem}\n{text}");
        assert_eq!(names(&devices), [] as [&str; 0]);
    }
}

#[test]
fn what_can_not_be_done_is_refused_by_its_name() {
    let text = |edits: &str| {
        format!(
            "cdiVersion: 1.1.0\nkind: vendor.com/class\ndevices:\n- name: a\n  containerEdits: {{{edits}}}\n"
        )
    };
    for (edits, words) in [
        (
            "hooks: [{hookName: createContainer, path: /usr/bin/ldc, args: [a]}]",
            "createContainer (/usr/bin/ldc)",
        ),
        ("intelRdt: {closID: x, enableMonitoring: true}", "Intel RDT"),
        ("netDevices: [{hostInterfaceName: eth1, name: eth0}]", "the network interface eth1 as eth0"),
        ("deviceNodes: [{path: /dev/no-such-device}]", "/dev/no-such-device"),
        ("deviceNodes: [{path: /dev/null, type: b}]", "/dev/null"),
        ("deviceNodes: [{path: /null, hostPath: /dev/null}]", "would not be below /dev"),
    ] {
        let (_temp, directories) = directories(&[("0/x.yaml", &text(edits))]);
        let devices = Devices::read(&directories);
        assert_eq!(devices.problems(), [], "for {edits}");
        let refused = devices.edits(&["vendor.com/class=a"]).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn a_device_that_is_not_known_says_which_are() {
    let (_temp, directories) = directories(&[("1/x.yaml", &format!("{NULL}{}", device("a", "A=1")))]);
    let refused = Devices::read(&directories).edits(&["vendor.com/class=b"]).unwrap_err();
    assert_eq!(refused.to_string(), "unresolvable CDI devices vendor.com/class=b");
    assert_eq!(refused.next_step().unwrap(), "known devices: vendor.com/class=a");
    let none = Devices::read(&directories[..1]).edits(&["vendor.com/class=b"]).unwrap_err();
    assert!(none.next_step().unwrap().contains("[engine] cdi"));
}

#[test]
fn a_dockerfile_has_several_names_for_a_device() {
    let text = "cdiVersion: 0.6.0\nkind: vendor.com/gpu\nannotations:\n  \
                org.mobyproject.buildkit.device.autoallow: true\ndevices:\n\
                - name: a\n  containerEdits: {env: [A=1]}\n\
                - name: b\n  annotations: {org.mobyproject.buildkit.device.class: fast}\n  containerEdits: {env: [B=1]}\n\
                - name: c\n  annotations:\n    org.mobyproject.buildkit.device.class: fast\n    \
                org.mobyproject.buildkit.device.autoallow: false\n  containerEdits: {env: [C=1]}\n";
    let (_temp, directories) = directories(&[("0/x.yaml", text)]);
    let devices = Devices::read(&directories);
    for (asked, names) in [
        ("vendor.com/gpu=b", &["vendor.com/gpu=b"][..]),
        ("vendor.com/gpu", &["vendor.com/gpu=a"]),
        ("vendor.com/gpu=*", &["vendor.com/gpu=a", "vendor.com/gpu=b", "vendor.com/gpu=c"]),
        ("fast", &["vendor.com/gpu=b", "vendor.com/gpu=c"]),
        ("vendor.com/gpu=d", &[]),
        ("vendor.com", &[]),
        ("gpu", &[]),
        ("", &[]),
    ] {
        assert_eq!(devices.select(asked), names, "for {asked:?}");
    }
    let allowed = ["a", "b", "c", "d"].map(|name| devices.allows_itself(&format!("vendor.com/gpu={name}")));
    assert_eq!(allowed, [true, true, false, false], "its own word counts more than that of its file");
    assert_eq!(devices.not_registered("x").to_string(), "required device \"x\" is not registered");
}
