//! What is built again and what is not; the same input gives the same image.

use crate::harness::Sandbox;

const STEPS: &str = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /when\nCOPY note /note\nRUN cat /note\nCMD [\"cat\", \"/when\"]\n";

/// Builds and gives the image's id.
fn id(box_: &Sandbox, options: &str) -> String {
    box_.run(&format!("build -q {options} .")).success().line().to_owned()
}

#[test]
fn a_second_build_runs_nothing_and_gives_the_same_image() {
    let box_ = Sandbox::new();
    box_.write("note", "1");
    box_.build("c", STEPS).without("CACHED");
    let one = id(&box_, "");
    let second = box_.run("build -t c .").success().without("DONE");
    assert_eq!(second.stderr.matches("CACHED").count(), 3, "{second}");
    assert_eq!(one, id(&box_, ""));
}

#[test]
fn a_changed_file_rebuilds_from_its_step_on() {
    let box_ = Sandbox::new();
    box_.write("note", "1");
    box_.build("c", STEPS);
    let when = box_.run("run --rm --network none c").success().stdout;
    box_.write("note", "2");
    let again = box_.build("c", STEPS).says(" 2");
    assert_eq!(again.stderr.matches("CACHED").count(), 1, "{again}");
    box_.run("run --rm --network none c").success().prints(&when);
}

#[test]
fn the_time_of_a_file_changes_nothing_and_its_mode_does() {
    let box_ = Sandbox::new();
    let note = box_.write("note", "1");
    box_.write("Dockerfile", "FROM busybox\nCOPY note /\n");
    let first = id(&box_, "");
    let file = std::fs::File::options().write(true).open(&note).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(99)).unwrap();
    assert_eq!(first, id(&box_, "--no-cache"), "the same bytes at another time");
    std::fs::set_permissions(&note, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_ne!(first, id(&box_, ""), "another mode");
}

#[test]
fn no_cache_runs_every_step() {
    let box_ = Sandbox::new();
    box_.write("note", "1");
    box_.build("c", STEPS);
    let when = box_.run("run --rm --network none c").success().stdout;
    box_.run("build --no-cache -t c .").success().without("CACHED");
    assert_ne!(when, box_.run("run --rm --network none c").success().stdout);
}

/// In the same root, in another one, and from a context that was written at another time.
#[test]
fn the_same_input_gives_the_same_image_everywhere() {
    let dockerfile = "FROM busybox\nWORKDIR /w\nCOPY . .\nRUN mkdir -p d && echo x > d/f && ln d/f d/hard && ln -s f d/soft && rm b\n\
                      ENV A=1\nCMD [\"true\"]\n";
    let one = Sandbox::new();
    let files = |box_: &Sandbox| {
        for name in ["a", "b", "sub/c"] {
            box_.write(name, name);
        }
        box_.write("Dockerfile", dockerfile);
    };
    files(&one);
    let first = id(&one, "");
    assert_eq!(first, id(&one, "--no-cache"), "twice in one root");
    let two = one.beside();
    one.run("save -o base.tar busybox").success();
    two.wharf(["load", "-i", one.dir().join("base.tar").to_str().unwrap()]).success();
    files(&two);
    assert_eq!(first, id(&two, ""), "in two roots");
}

#[test]
fn explain_tells_for_each_line_what_was_read_done_granted_and_cached() {
    let box_ = Sandbox::new();
    box_.write("note", "1");
    box_.write("Dockerfile", "FROM busybox\nCOPY note /note\nWORKDIR sub\nRUN echo $X\n");
    let first = box_.run("build --explain -t e .").success();
    for text in [
        "Dockerfile:1: FROM busybox",
        "Dockerfile:2: COPY note /note",
        "plugin: copy sha256:",
        "plugin: run sha256:",
        "read:",
        "op:",
        "grants:",
        "cache:",
    ] {
        assert!(first.stdout.contains(text), "{text}\n{first}");
    }
    let again = box_.run("build --explain -t e .").success();
    assert_ne!(first.stdout, again.stdout, "the second time the lines are cached, and say so");
    assert!(again.stdout.to_lowercase().contains("cached"), "{again}");
}

/// A plugin that is started and has no compiled code is compiled, and says so.
#[test]
fn a_kept_plan_starts_no_plugin_until_something_is_answered_differently() {
    let box_ = Sandbox::new();
    box_.build("k", "FROM busybox\nUSER 0\nWORKDIR b\nRUN pwd\n");
    let forget_compiled = || std::fs::remove_dir_all(box_.root().join("plugins")).unwrap();

    forget_compiled();
    let again = box_.run("build --explain .").success();
    assert_eq!(again.stdout.matches("plan:   kept: the plugin was not started").count(), 4, "{again}");
    // The storage driver is not needed either, as no tree is.
    for name in ["from", "user", "workdir", "run", "overlay"] {
        assert!(!again.stderr.contains(&format!("compiling plugin {name}")), "{again}");
    }

    assert!(!box_.root().join("plugins").exists(), "nothing was compiled, so nothing was kept");
    box_.write("Dockerfile", "FROM busybox\nUSER 1\nWORKDIR b\nRUN pwd\n");
    let changed = box_.run("build --explain -t changed .").success().says("compiling plugin workdir");
    for how in ["made for the first time", "made anew: user has another answer now", "kept"] {
        assert!(changed.stdout.contains(&format!("plan:   {how}")), "{how}\n{changed}");
    }
    assert_eq!(box_.in_image("changed", "stat -c %u /b"), "1\n");
}

#[test]
fn a_shared_layer_is_stored_once() {
    let box_ = Sandbox::new();
    let layers = || std::fs::read_dir(box_.root().join("storage/overlay/layer")).unwrap().count();
    let before = layers();
    box_.build("one", "FROM busybox\nRUN echo shared > /x\nCMD [\"one\"]\n");
    box_.build("two", "FROM busybox\nRUN echo shared > /x\nCMD [\"two\"]\n");
    assert_eq!(layers(), before + 1);
}
