//! RUN --device: devices that CDI files describe.

use crate::harness::Sandbox;

/// A sandbox with two devices, one of which allows itself.
fn with_cdi() -> Sandbox {
    let box_ = Sandbox::new();
    box_.write("share/lib", "of the host\n");
    cdi(&box_, "loop-control");
    box_.write(".dockerignore", "*\n");
    box_.config(&config(&box_));
    box_
}

fn config(box_: &Sandbox) -> String {
    format!("[engine]\ncdi = [\"{}\"]\n", box_.dir().join("cdi").display())
}

/// Describes them; one is that node of the host.
fn cdi(box_: &Sandbox, node: &str) {
    let share = box_.dir().join("share");
    let text = format!(
        "cdiVersion: 0.6.0\nkind: vendor.com/class\ndevices:\n\
         - name: free\n  annotations: {{org.mobyproject.buildkit.device.autoallow: true}}\n  \
         containerEdits: {{env: [FREE=yes]}}\n\
         - name: loops\n  annotations: {{org.mobyproject.buildkit.device.class: fast}}\n  containerEdits:\n    \
         env: [LOOPS=yes]\n    deviceNodes:\n    - {{path: /dev/vendor/loops, hostPath: /dev/{node}}}\n    \
         mounts:\n    - {{hostPath: {}, containerPath: /opt/vendor, options: [ro, bind]}}\n",
        share.display()
    );
    box_.write("cdi/vendor.yaml", text);
}

fn run(options: &str, command: &str) -> String {
    format!("FROM busybox\nRUN {options} {command}\n")
}

const SEE: &str = "(: < /dev/vendor/loops) && cat /opt/vendor/lib > /seen && echo $LOOPS >> /seen";

#[test]
fn a_program_sees_a_device_that_whoever_builds_allows() {
    let box_ = with_cdi();
    box_.write(
        "Dockerfile",
        run("--device=vendor.com/class=loops,required", SEE) + "RUN test ! -e /dev/vendor\n",
    );
    let refused =
        ["device vendor.com/class=loops is requested by the build but not allowed", "--allow device=vendor"];
    box_.refuses(1, &["build", "-t", "x", "."], &refused);
    box_.refuses(1, &["build", "--allow", "device=vendor.com/class=free", "-t", "x", "."], &refused);
    for allowed in ["device", "device=vendor.com/class=loops", "device=vendor.com/class=*", "device=fast"] {
        box_.wharf(["build", "--no-cache", "--allow", allowed, "-t", "x", "."]).success();
    }
    assert_eq!(
        box_.in_image("x", "cat /seen; ls -d /opt /dev/vendor 2>/dev/null; true"),
        "of the host\nyes\n"
    );
    box_.refuses(125, &["build", "--allow", "device=a,b", "."], &["unknown entitlement `device=a,b`"]);
}

#[test]
fn a_device_has_several_names() {
    let box_ = with_cdi();
    for (options, allow, seen) in [
        ("--device=vendor.com/class", "network.host", "yes-"),
        ("--device=vendor.com/class=*", "device", "yes-yes"),
        ("--device=fast", "device", "-yes"),
        ("--device=name=vendor.com/class=free --device=fast", "device=fast", "yes-yes"),
        ("--device=mine,required", "device=vendor.com/class=loops,alias=mine", "-yes"),
    ] {
        box_.write("Dockerfile", run(options, "echo $FREE-$LOOPS > /seen"));
        box_.wharf(["build", "--allow", allow, "-t", "x", "."]).success();
        assert_eq!(box_.in_image("x", "cat /seen"), format!("{seen}\n"), "for {options}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_only_where_it_is_required() {
    let box_ = with_cdi();
    box_.write("Dockerfile", run("--device=vendor.com/class=other,required", "true"));
    let words = [
        "required device \"vendor.com/class=other\" is not registered",
        "known devices: vendor.com/class=free",
    ];
    box_.refuses(1, &["build", "--allow", "device", "-t", "x", "."], &words);
    box_.write("Dockerfile", run("--device=vendor.com/class=other", "true"));
    box_.run("build -t x .").success().says("optional device vendor.com/class=other is not registered");
    for (options, words) in [
        ("--device=a,b", "invalid field 'b' must be a key=value pair"),
        ("--device=a,from=b", "unexpected key 'from' in 'from=b'"),
        ("--device=a,name=b", "device name already set to a"),
        ("--device=", "a device needs a name"),
    ] {
        box_.write("Dockerfile", run(options, "true"));
        box_.refuses(1, &["build", "-t", "x", "."], &[words]);
    }
}

#[test]
fn the_cache_knows_devices_by_name() {
    let box_ = with_cdi();
    let build = "build --allow device -t x .";
    box_.write("Dockerfile", run("--device=vendor.com/class=loops", "echo $LOOPS > /seen"));
    box_.run(build).success().without("CACHED");
    box_.run(build).success().says("CACHED");
    cdi(&box_, "full");
    box_.run(build).success().says("CACHED");
    box_.run("build -t x .").fails(1).says("not allowed");
    std::fs::rename(box_.dir().join("cdi/vendor.yaml"), box_.dir().join("cdi/away")).unwrap();
    box_.run(build).success().without("CACHED");
    assert_eq!(box_.in_image("x", "cat /seen"), "\n", "without the device it is another step");
    std::fs::rename(box_.dir().join("cdi/away"), box_.dir().join("cdi/vendor.yaml")).unwrap();
    box_.run(build).success().says("CACHED");
    assert_eq!(box_.in_image("x", "cat /seen"), "yes\n");
}

#[test]
fn a_plan_shows_its_devices_and_takes_a_grant_for_them() {
    let box_ = with_cdi();
    box_.write("Dockerfile", run("--device=vendor.com/class=free", "true"));
    let plan = box_.run("dockerfile plan --json Dockerfile").success();
    plan.shows(r#""devices":[{"name":"vendor.com/class=free","required":false}]"#);
    box_.run("build --explain -t x .").success().shows("(devices: vendor.com/class=free)");
    box_.config(&(config(&box_) + "[plugin.run]\ngrants.ops = [\"exec\"]\n"));
    box_.refuses(
        1,
        &["build", "-t", "y", "."],
        &["ops:exec-device", "wharf plugin grant run ops:exec-device"],
    );
}
