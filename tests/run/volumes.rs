//! `-v`, `--mount`, `--tmpfs` and `wharf volume`.

use crate::harness::Sandbox;

#[test]
fn a_directory_of_the_host_is_shared_both_ways() {
    let box_ = Sandbox::new();
    box_.write("shared/in", "from the host\n");
    let mount = format!("{}:/s", box_.dir().join("shared").display());
    box_.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &mount,
        "busybox",
        "sh",
        "-c",
        "cat /s/in; echo back > /s/out",
    ])
    .success()
    .prints("from the host\n");
    assert_eq!(box_.read("shared/out"), "back\n");
    box_.run("run --rm --network none -v ./shared:/s:ro busybox touch /s/x")
        .fails(1)
        .says("Read-only file system");
    box_.run("volume ls -q").success().prints("");
}

#[test]
fn a_missing_directory_is_made_by_v_and_refused_by_mount() {
    let box_ = Sandbox::new();
    let path = box_.dir().join("made/here");
    let mount = format!("{}:/m", path.display());
    box_.wharf(["run", "--rm", "--network", "none", "-v", &mount, "busybox", "true"]).success();
    assert!(path.is_dir());
    let missing = format!("type=bind,source={},target=/m", box_.dir().join("missing").display());
    box_.refuses(
        125,
        &["run", "--rm", "--mount", &missing, "busybox", "true"],
        &["bind source path does not exist"],
    );
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let box_ = Sandbox::new();
    box_.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "data:/d",
        "busybox",
        "sh",
        "-c",
        "echo kept > /d/x",
    ])
    .success();
    box_.run("run --rm --network none -v data:/d busybox cat /d/x").success().prints("kept\n");
    box_.run("volume ls").success().shows("DRIVER").shows("data");
    box_.run("create --network none --name user -v data:/d busybox true").success();
    box_.run("volume rm data").fails(1).says("volume is in use");
    box_.run("rm -v user").success();
    box_.run("volume ls -q").success().prints("data\n");
    box_.run("volume rm data").success().prints("data\n");
    box_.run("volume inspect data").fails(1).says("no such volume");
}

#[test]
fn a_fresh_volume_starts_with_what_the_image_has_there() {
    let box_ = Sandbox::new();
    box_.build(
        "v",
        "FROM busybox\nRUN mkdir /d && echo image > /d/f && chown 1000:2000 /d /d/f && chmod 750 /d && ln -s f /d/link && ln /d/f /d/hard\n",
    );
    let look = "stat -c '%u:%g %a' /d; stat -c '%u:%g %h' /d/f; readlink /d/link; cat /d/f";
    let run = |mount: &str| {
        box_.wharf(["run", "--rm", "--network", "none", "-v", mount, "v", "sh", "-c", look]).success()
    };
    run("fresh:/d").prints("1000:2000 750\n1000:2000 2\nf\nimage\n");
    box_.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "fresh:/d",
        "busybox",
        "sh",
        "-c",
        "echo changed > /d/f",
    ])
    .success();
    run("fresh:/d").shows("changed");
}

#[test]
fn v_takes_the_place_of_the_image_s_volume() {
    let box_ = Sandbox::new();
    box_.build("v", "FROM busybox\nVOLUME /d\n");
    box_.write("mine/file", "");
    box_.run("run --rm --network none -v ./mine:/d v ls /d").success().prints("file\n");
    box_.run("volume ls -q").success().prints("");
    box_.run("run --rm --network none v ls /d").success().prints("");
    box_.run("volume ls -q").success().prints("");
}

#[test]
fn memory_can_be_mounted() {
    let box_ = Sandbox::new();
    box_.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "--tmpfs",
        "/t:size=1m",
        "busybox",
        "sh",
        "-c",
        "mount | grep ' /t '",
    ])
    .success()
    .shows("tmpfs")
    .shows("size=1024k");
}

#[test]
fn a_link_in_the_image_leads_no_mount_out_of_it() {
    let box_ = Sandbox::new();
    box_.build("v", "FROM busybox\nRUN ln -s / /leads\n");
    box_.write("mine/file", "");
    box_.run("run --rm --network none -v ./mine:/leads/tmp/in v ls /tmp/in").success().prints("file\n");
    assert!(!std::path::Path::new("/tmp/in").exists());
}
