//! Hooks: the shipped examples, and what a hook can change, refuse and keep.

use std::path::Path;

use crate::harness::{Registry, Sandbox, configured};

/// `TYPE ACTION (attributes)` of what this plugin asked for and said.
fn said_by(box_: &Sandbox, plugin: &str) -> Vec<String> {
    let output = box_.run(&format!("events --since 0 --until 0s --plugin {plugin}")).success();
    let words = |line: &str| line.split(' ').skip(1).collect::<Vec<_>>().join(" ");
    output.stdout.lines().map(words).collect()
}

const POLICY: &str =
    "required = true\ngrants = { ops = [\"judge\"] }\nsettings = { registry = \"registry.example/\" }";

#[test]
fn a_policy_refuses_a_build_at_the_line_that_breaks_it() {
    let box_ = Sandbox::new();
    box_.run("tag busybox registry.example/base:1.2").success();
    box_.run("tag busybox registry.example/base:latest").success();
    let box_ = box_.with_example("", "policy", "hook", POLICY);
    box_.build("ok", "FROM registry.example/base:1.2\nUSER 1000\nRUN id -u > /tmp/id\n");
    box_.build("two", "FROM registry.example/base:1.2 AS a\nFROM a\nUSER 65534\nRUN true\n");
    for (dockerfile, line, said) in [
        ("FROM busybox\n", 1, "busybox does not come from registry.example/"),
        ("FROM registry.example/base\n", 1, "is whatever is the latest today"),
        ("FROM registry.example/base:latest\n", 1, "is whatever is the latest today"),
        ("FROM registry.example/base:1.2\nRUN true\n", 2, "a RUN works as root"),
        ("FROM registry.example/base:1.2\nUSER 0:1000\n\nRUN true\n", 4, "a RUN works as root"),
        (
            "FROM registry.example/base:1.2\nUSER 1\nRUN --device=vendor.com/class=a true\n",
            3,
            "a RUN sees the device vendor.com/class=a",
        ),
        (
            "FROM registry.example/base:1.2\nUSER 1\nCOPY --from=busybox /bin/busybox /tmp/b\n",
            3,
            "does not come from",
        ),
        (
            "FROM registry.example/base:1.2\nUSER 1\nRUN --mount=from=busybox,target=/x ls /x\n",
            3,
            "busybox does not come from",
        ),
    ] {
        box_.write("Dockerfile", dockerfile);
        let place = format!("Dockerfile:{line}");
        let output =
            box_.run("build -t x .").fails(1).says(&place).says("denied by hook `policy`").says(said);
        assert!(output.stderr.contains("hint:"), "{output}");
        box_.run("images -q x").prints("");
    }
    box_.run("run --rm --network none busybox true").fails(125).says("denied by hook `policy`").says("hint:");
    box_.run("run --rm --network none registry.example/base:1.2 true").success();
    box_.run("ps -aq").prints("");
    let journal = said_by(&box_, "policy").join("\n");
    assert!(journal.contains("hook deny Dockerfile:2 (digest=sha256:"), "{journal}");
    assert!(journal.contains("a RUN works as root, moment=build-op, plugin=policy"), "{journal}");
}

#[test]
fn a_required_hook_that_is_missing_refuses_everything_and_another_one_only_warns() {
    let box_ = Sandbox::new();
    let hook = |required| {
        format!(
            "[plugin.gone]\nworld = \"hook\"\nsource = \"file:/no/such.wasm\"\nrequired = {required}\n\
             phases = [\"container:judge\", \"build-op:judge\", \"exec:judge\"]\ngrants = {{ ops = [\"judge\"] }}\n"
        )
    };
    box_.config(&hook(false));
    let warned = box_.run("run --rm --network none busybox echo hi").success().prints("hi\n");
    assert!(warned.stderr.contains("warning: plugin `gone`"), "{warned}");
    box_.run("run -d --network none --name c busybox sleep 60").success();
    box_.config(&hook(true));
    box_.run("run --rm --network none busybox true").fails(125).says("required hook `gone` failed");
    box_.run("exec c true").fails(126).says("required hook `gone` failed");
    box_.write("Dockerfile", "FROM busybox\nRUN true\n");
    box_.run("build -t x .").fails(1).says("Dockerfile:1").says("required hook `gone` failed");
    assert!(said_by(&box_, "gone").iter().any(|line| line.starts_with("hook failed ")));
    box_.run("rm -f c").success();
}

#[test]
fn every_run_finds_the_mirror_and_no_image_knows_of_it() {
    let box_ = Sandbox::new();
    let dockerfile = "FROM busybox\nENV KEEP=1\nRUN env | sort > /seen; cat /etc/pip.conf $SSL_CERT_FILE >> /seen; \
                      ls -l /etc/pip.conf | cut -c1-10 >> /seen; ! echo x > /etc/pip.conf\nRUN test -e /etc/pip.conf\n";
    box_.build("plain", "FROM busybox\nRUN true\nCMD [\"x\"]\n");
    let settings = |mirror: &str| {
        let more = format!(
            "grants = {{ ops = [\"adjust\"] }}\n[plugin.mirror.settings]\n\
             env = [\"PIP_INDEX_URL={mirror}\"]\nfiles = [\"/etc/pip.conf=[global]\\n\"]\n\
             certificate = \"CERTIFICATE\\n\"\n"
        );
        configured("mirror", "hook", &more)
    };
    box_.config(&settings("https://one.example"));
    box_.build("m", dockerfile);
    let seen = box_.in_image("m", "cat /seen");
    for line in ["KEEP=1", "PIP_INDEX_URL=https://one.example", "SSL_CERT_FILE=/etc/ssl/certs/mirror-ca.pem"]
    {
        assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
    }
    assert!(seen.ends_with("[global]\nCERTIFICATE\n-r--r--r--\n"), "{seen}");

    // Neither the config, nor the history, nor any layer has it, not even as an empty file.
    box_.run("inspect m").success().without("one.example").without("mirror-ca");
    box_.run("history --no-trunc m").success().without("one.example");
    assert_eq!(box_.in_image("m", "ls -d /etc/pip.conf /etc/ssl 2>/dev/null | wc -l"), "0\n");
    box_.run("save -o m.tar m").success();
    let tar = std::fs::read(box_.dir().join("m.tar")).unwrap();
    for name in ["mirror-ca", "pip.conf", "etc/ssl"] {
        // `/seen` itself names the certificate's path; no entry of a layer does.
        let entry = tar.chunks(512).any(|block| {
            block.starts_with(name.as_bytes()) || block.starts_with(format!("etc/{name}").as_bytes())
        });
        assert!(!entry, "an entry for {name}");
    }
    box_.build("plain2", "FROM busybox\nRUN true\nCMD [\"x\"]\n");
    assert_eq!(box_.inspect("plain", "{{.Id}}"), box_.inspect("plain2", "{{.Id}}"), "the same image");

    // The mirror is part of the key.
    let again = box_.build("m", dockerfile);
    assert_eq!(again.stderr.matches("CACHED").count(), 2, "{again}");
    box_.config(&settings("https://two.example"));
    let changed = box_.build("m", dockerfile);
    assert_eq!(changed.stderr.matches("CACHED").count(), 0, "{changed}");
    assert!(box_.in_image("m", "cat /seen").contains("https://two.example"));
}

#[test]
fn each_image_gets_a_list_of_what_is_in_it() {
    let box_ = Sandbox::new();
    let dockerfile = "FROM busybox\nCOPY status /var/lib/dpkg/status\nCOPY meta /usr/lib/python3/foo-1.0.dist-info/METADATA\n\
                      RUN ln -s /etc/passwd /usr/lib/python3/METADATA && mkdir -p /x/evil.dist-info && ln -s /proc/1/mem /x/evil.dist-info/METADATA\n";
    box_.write("status", "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n");
    box_.write("meta", "Name: Foo\nVersion: 1.0\n\nText\n");
    box_.build("bare", dockerfile);
    let more =
        "required = true\ngrants = { ops = [\"adjust\"], read = [\"image\"] }\nlimits = { time_ms = 20000 }";
    box_.config(&configured("sbom", "hook", more));
    box_.build("app:1", dockerfile);
    assert_eq!(box_.inspect("bare", "{{.Id}}"), box_.inspect("app:1", "{{.Id}}"), "the id is the same");

    let list = box_.run("image attachment app:1").success();
    assert!(list.line_with("sbom.cdx.json").contains("application/vnd.cyclonedx+json"), "{list}");
    let sbom = box_.run("image attachment app:1 sbom.cdx.json").success();
    let sbom: serde_json::Value = serde_json::from_str(&sbom.stdout).unwrap();
    let purls: Vec<&str> =
        sbom["components"].as_array().unwrap().iter().map(|it| it["purl"].as_str().unwrap()).collect();
    assert_eq!(purls, ["pkg:pypi/foo@1.0", "pkg:deb/debian/bash@5.2?arch=amd64"]);
    let shown = box_.wharf(["image", "inspect", "-f", "{{json .Attachments}}", "app:1"]).success();
    let shown: serde_json::Value = serde_json::from_str(shown.line()).unwrap();
    assert_eq!((&shown[0]["Name"], &shown[0]["Hook"]), (&"sbom.cdx.json".into(), &"sbom".into()));
    let blob =
        |digest: &str| box_.root().join("blobs/sha256").join(digest.trim_start_matches("sha256:")).exists();
    let digest = shown[0]["Digest"].as_str().unwrap().to_owned();
    assert!(blob(&digest));
    box_.run("image attachment app:1 other").fails(1).says("has no attachment `other`, only sbom.cdx.json");

    box_.run("rmi bare app:1").success();
    assert!(!blob(&digest), "it goes with the image");
    box_.config(&configured("sbom", "hook", "required = true\ngrants = { ops = [\"adjust\"] }"));
    box_.write("Dockerfile", dockerfile);
    box_.run("build -t app:2 .").fails(1).says("sbom").says("read");
    box_.run("images -q app:2").prints("");
}

fn rules(settings: &str) -> String {
    let more = format!(
        "required = true\ngrants = {{ ops = [\"judge\", \"adjust\"] }}\n[plugin.rules.settings]\n{settings}"
    );
    configured("rules", "hook", &more)
}

#[test]
fn rules_hold_for_containers_execs_networks_and_volumes() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --name c -e SECRET=1 busybox sleep 60").success();
    box_.run("volume create keep").success();
    box_.config(&rules(
        "deny = [\"exec c sh\", \"network connect host\", \"volume create secret\", \"volume remove keep\"]\n\
         warn = [\"exec c env\"]\nenv = [\"TZ=UTC\"]\nunset-env = [\"SECRET\"]\nlabels = [\"owner=platform\"]\n\
         hosts = [\"db.internal=10.1.2.3\"]\ndrop = [\"CAP_NET_RAW\"]\n",
    ));
    box_.run("exec c sh").fails(126).says("denied by hook `rules`").says("`exec c sh` is what the rule");
    let env = box_.run("exec c env").success().shows("TZ=UTC\n").without("SECRET");
    assert!(env.stderr.contains("warning: `exec c env`"), "{env}");
    box_.run("run --rm --network host busybox true").fails(125).says("network connect host");
    box_.run("volume create secret").fails(1).says("volume create secret");
    box_.run("run --rm --network none -v secret2:/x busybox true").fails(125).says("volume create secret2");
    box_.run("volume rm keep").fails(1).says("volume remove keep");
    box_.run("volume ls -q").prints("keep\n");
    box_.run("volume create other").success();
    assert_eq!(box_.inspect("other", "{{json .Labels}}"), r#"{"owner":"platform"}"#);

    let script = "env; cat /etc/hosts; grep CapEff /proc/self/status";
    let seen = box_.wharf([
        "run",
        "--network",
        "none",
        "--name",
        "d",
        "-e",
        "SECRET=1",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let seen = seen.success().without("SECRET").shows("TZ=UTC\n").shows("10.1.2.3\tdb.internal\n");
    assert!(seen.stdout.contains("CapEff:\t00000000a80405fb"), "without CAP_NET_RAW\n{seen}");
    assert_eq!(box_.inspect("d", "{{.Config.Labels.owner}}"), "platform");
    let journal = said_by(&box_, "rules").join("\n");
    for line in [
        "hook deny secret ",
        "hook adjust other ",
        "message=label owner=platform, moment=volume",
        "hook warn ",
    ] {
        assert!(journal.contains(line), "{line} in {journal}");
    }
    box_.run("rm -f c d").success();
    box_.config("");
    box_.run("volume rm keep other").success();
}

#[test]
fn the_roots_in_use_are_protected_also_behind_links() {
    let box_ = Sandbox::new();
    let run = |source: &Path| {
        let bind = format!("{}:/x:ro", source.display());
        box_.wharf(["run", "--rm", "--network", "none", "-v", &bind, "busybox", "ls", "/x"])
    };
    run(box_.root()).fails(125).says("denied by hook `guard`").says("which containers may not see");
    run(&box_.root().join("blobs")).fails(125).says("denied by hook `guard`");
    let link = box_.dir().join("innocent");
    std::os::unix::fs::symlink(box_.root(), &link).unwrap();
    run(&link).fails(125).says("denied by hook `guard`");
    run(&link.join("blobs")).fails(125).says("denied by hook `guard`");

    // A link that is turned around after the container was judged.
    let good = box_.dir().join("good");
    std::fs::create_dir(&good).unwrap();
    std::fs::write(good.join("file"), "").unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&good, &link).unwrap();
    let bind = format!("{}:/x", link.display());
    box_.wharf(["create", "--network", "none", "--name", "c", "-v", &bind, "busybox", "ls", "/x"]).success();
    assert_eq!(box_.inspect("c", "{{(index .Mounts 0).Source}}"), link.to_str().unwrap());
    box_.run("start -a c").success().prints("file\n");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(box_.root(), &link).unwrap();
    box_.run("start -a c").fails(125).says("denied by hook `guard`");
    box_.run("rm c").success();
}

#[test]
fn rules_hold_for_images_that_come_and_go() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let (one, two) = (registry.name("one:v1"), registry.name("two:v1"));
    for name in [&one, &two] {
        box_.run(&format!("tag busybox {name}")).success();
    }
    box_.run(&format!("push {one}")).success();
    box_.config(&rules(&format!("deny = [\"image-push {two}\", \"image-pull {one}\"]\n")));
    box_.run(&format!("push {two}"))
        .fails(1)
        .says("denied by hook `rules`")
        .says(&format!("image-push {two}"));
    box_.run(&format!("pull {two}")).fails(1).says("manifest unknown");
    box_.run(&format!("push {one}")).success();
    box_.run(&format!("rmi {one}")).success();
    box_.set("WHARF_PULL", "missing");
    let blobs = || std::fs::read_dir(box_.root().join("blobs/sha256")).unwrap().count();
    let before = blobs();
    box_.run(&format!("run --rm --network none {one} true")).fails(125).says("denied by hook `rules`");
    assert_eq!(blobs(), before, "nothing of it was fetched");
    assert!(said_by(&box_, "rules").join("\n").contains(&format!("hook deny {one}")));
}
