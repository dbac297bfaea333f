//! --cache-to, --cache-from, --verify: builds of other machines, and builds that are done twice.

use std::fs;

use crate::harness::{Sandbox, host};

const STEPS: &str = "FROM busybox AS tools\nRUN cat /proc/sys/kernel/random/uuid > /tool\n\
    FROM busybox\nCOPY note /note\nRUN cat /proc/sys/kernel/random/uuid > /when\n\
    COPY --from=tools /tool /tool\nRUN true\nCMD [\"cat\", \"/when\"]\n";

/// Two roots with the same base image and the same context.
pub(super) fn two() -> (Sandbox, Sandbox) {
    two_with("")
}

/// The second one with a config of its own.
fn two_with(toml: &str) -> (Sandbox, Sandbox) {
    let one = Sandbox::new();
    one.run("save -o base.tar busybox").success();
    let other = one.beside();
    other.config(toml);
    other.wharf(["load", "-i", one.dir().join("base.tar").to_str().unwrap()]).success();
    for box_ in [&one, &other] {
        box_.write("ctx/note", "1");
        box_.write("ctx/Dockerfile", STEPS);
    }
    (one, other)
}

fn carry(from: &Sandbox, to: &Sandbox, name: &str) {
    host(&["cp", "-r", from.dir().join(name).to_str().unwrap(), to.dir().join(name).to_str().unwrap()]);
}

#[test]
fn another_machine_builds_everything_from_an_exported_cache() {
    let (one, other) = two();
    one.run("build -t app --cache-to type=local,dest=cache,mode=max ctx").success().without("CACHED");
    carry(&one, &other, "cache");
    let built = other.run("build -t app --cache-from type=local,src=cache ctx").success();
    assert_eq!(built.stderr.matches("CACHED").count(), 5, "{built}");
    assert_eq!(one.inspect("app", "{{.Id}}"), other.inspect("app", "{{.Id}}"));
    let when = one.run("run --rm --network none app").success().stdout;
    other.run("run --rm --network none app").success().prints(&when);
    // What a second export adds is in the same directory, and what is known here is not changed.
    other.write("ctx/note", "2");
    other.run("build --cache-to type=local,dest=cache,mode=max ctx").success();
    carry(&other, &one, "cache");
}

#[test]
fn the_small_cache_holds_the_layers_of_the_image_only() {
    let (one, _other) = two();
    one.run("build --cache-to type=local,dest=min --cache-to type=local,dest=max,mode=max ctx").success();
    let blobs = |name: &str| fs::read_dir(one.dir().join(name).join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs("min") + 1, blobs("max"), "without the layer of the first stage");
}

#[test]
fn a_cache_inside_an_image_goes_where_the_image_goes() {
    let (one, other) = two();
    one.run("build -t app --cache-to type=inline ctx").success();
    one.run("save -o app.tar app").success();
    carry(&one, &other, "app.tar");
    other.run("load -i app.tar").success();
    let built = other.run("build --cache-from app ctx").success();
    assert!(built.stderr.matches("CACHED").count() >= 2, "{built}");
    other.run("build --cache-from busybox ctx").success().says("not built with an inline cache");
    // What stands on it does not inherit it.
    one.write("ctx/Dockerfile", "FROM app\nENV A=1\n");
    one.run("build -t child ctx").success();
    one.run("save -o child.tar child").success();
    host(&[
        "sh",
        "-c",
        &format!(
            "cd {} && tar -xf child.tar && ! grep -l wharf.cache $(grep -o 'blobs/sha256/[0-9a-f]*' manifest.json | head -n 1)",
            one.dir().display()
        ),
    ]);
}

#[test]
fn a_damaged_cache_is_not_believed() {
    let (one, other) = two();
    one.run("build -t app --cache-to type=local,dest=cache,mode=max ctx").success();
    let blobs = one.dir().join("cache/blobs/sha256");
    for entry in fs::read_dir(blobs).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.first() != Some(&b'{') {
            // Some file's content, wherever it is.
            let at = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    carry(&one, &other, "cache");
    let built = other.run("build -t app --cache-from type=local,src=cache ctx").success();
    built.says("cannot use the cache `cache`").says("beginning anew");
    assert_ne!(one.inspect("app", "{{.Id}}"), other.inspect("app", "{{.Id}}"), "it was built here");
    other.run("run --rm --network none app").success();
    other
        .run("build --cache-from type=local,src=nowhere ctx")
        .success()
        .says("cannot use the cache `nowhere`");
    other.write("bad/index.json", "{");
    other.run("build --cache-from type=local,src=bad ctx").success().says("index.json is damaged");
    for (option, text) in [
        ("--cache-to type=registry,ref=x,image-manifest=false", "image-manifest=false"),
        ("--cache-from type=gha", "on a server"),
        ("--cache-to type=local", "needs dest="),
        ("--sbom", "a hook"),
    ] {
        other.run(&format!("build {option} ctx")).fails(1).says(text);
    }
}

#[test]
fn verify_finds_the_first_file_that_is_not_the_same() {
    let box_ = Sandbox::new();
    box_.build("good", "FROM busybox\nRUN echo same > /same && mkdir /d\n");
    box_.run("build --verify -t again .").success();
    assert_eq!(box_.inspect("good", "{{.Id}}"), box_.inspect("again", "{{.Id}}"));
    box_.write("Dockerfile", "FROM busybox\nRUN echo same > /same\nRUN mkdir /d && cat /proc/uptime > /d/when && cat /proc/sys/kernel/random/uuid > /d/zz\n");
    let failed = box_.run("build --verify -t bad .").fails(1);
    failed.says("not reproducible").says("`d/when` has another content").says("cat /proc/uptime");
    box_.run("inspect bad").fails(1);
    box_.write("Dockerfile", "FROM busybox\nRUN touch /$(cat /proc/sys/kernel/random/uuid)\n");
    box_.run("build --verify .").fails(1).says("is only there the");
}

/// The same bytes whatever the machine's habits are.
#[test]
fn outputs_do_not_depend_on_umask_zone_locale_or_driver() {
    let (one, other) = two_with("[engine]\nstorage = \"storage-copy\"\n");
    let text = "FROM busybox\nCOPY note /note\nRUN mkdir -p /d/e && echo x > /d/e/f && ln /d/e/f /d/hard\n";
    one.write("ctx/Dockerfile", text);
    other.write("ctx/Dockerfile", text);
    for box_ in [&one, &other] {
        box_.set("SOURCE_DATE_EPOCH", "1000000000");
    }
    for (name, value) in [("TZ", "Asia/Tokyo"), ("LC_ALL", "C.UTF-8"), ("LANG", "de_DE.UTF-8")] {
        other.set(name, value);
    }
    one.run("build -o type=tar,dest=a.tar -o type=oci,dest=a.oci,rewrite-timestamp=true ctx").success();
    let other_one = other.command(["build", "-o", "type=tar,dest=a.tar", "-o", "type=oci,dest=a.oci", "ctx"]);
    let environment: Vec<(String, String)> = other_one
        .get_envs()
        .filter_map(|(key, value)| Some((key.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(other_one.get_program())
        .args(other_one.get_args());
    shell.current_dir(other.dir()).env_clear().envs(environment);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["a.tar", "a.oci"] {
        let bytes = |box_: &Sandbox| fs::read(box_.dir().join(name)).unwrap();
        assert!(bytes(&one) == bytes(&other), "{name}");
    }
}
