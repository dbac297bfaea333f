//! Images from a registry: the distribution project's own server, on the loopback.

use std::process::Stdio;

use crate::harness::{Asked, Proxy, Registry, Sandbox, eventually};

/// A sandbox whose commands ask registries, and a registry that holds `app:v1` as another client sent it.
fn with_app(registry: &Registry, format: &str) -> Option<Sandbox> {
    let box_ = Sandbox::new();
    box_.set("WHARF_PULL", "missing");
    box_.build(
        "app:v1",
        "FROM busybox\nRUN echo one > /one\nRUN echo two > /two && rm /one\nCMD [\"cat\", \"/two\"]\n",
    );
    box_.run("save -o app.tar app:v1").success();
    registry.fill(&box_.dir().join("app.tar"), "team/app:v1", format).then_some(box_)
}

/// A second one, without images, whose commands ask registries.
fn empty(other: &Sandbox) -> Sandbox {
    let box_ = other.beside();
    box_.set("WHARF_PULL", "missing");
    box_.run("images").success();
    box_
}

#[test]
fn pull_brings_an_image_that_another_client_pushed() {
    let Some(registry) = Registry::start() else { return };
    let name = registry.name("team/app:v1");
    for format in ["oci", "v2s2"] {
        let Some(other) = with_app(&registry, format) else { return };
        let box_ = empty(&other);
        let pulled = box_.run(&format!("pull {name}")).success();
        let lines: Vec<&str> = pulled.stdout.lines().collect();
        assert_eq!(lines[0], "v1: Pulling from team/app");
        let digest = lines[1].strip_prefix("Digest: ").unwrap();
        assert_eq!(lines[2], format!("Status: Downloaded newer image for {name}"));
        assert_eq!((lines[3], lines.len()), (name.as_str(), 4));
        assert_eq!(pulled.stderr.matches(": Pull complete\n").count(), 3, "{pulled}");

        // The other client wrote a config of its own; the layers are the same.
        let layers = "{{.RootFS.Layers}}";
        assert_eq!(box_.inspect(&name, layers), other.inspect("app:v1", layers));
        let by_digest = registry.name(&format!("team/app@{digest}"));
        assert_eq!(box_.inspect(&name, "{{index .RepoDigests 0}}"), by_digest);
        box_.run(&format!("run --rm --network none {name}")).success().prints("two\n");
        let again = box_.run(&format!("pull {name}")).success();
        again
            .shows(&format!("Status: Image is up to date for {name}"))
            .says("Already exists")
            .without("complete");
        box_.run(&format!("pull -q {name}")).success().prints(&format!("{name}\n"));

        box_.run(&format!("rmi {name}")).success();
        box_.run(&format!("pull -q {by_digest}")).success().prints(&format!("{by_digest}\n"));
        box_.run("images").success().line_with(&format!("{}   <none>", registry.name("team/app")));
        box_.run(&format!("rmi {by_digest}")).success();
    }
}

#[test]
fn run_create_and_build_pull_what_is_missing() {
    let Some(registry) = Registry::start() else { return };
    let Some(other) = with_app(&registry, "oci") else { return };
    let name = registry.name("team/app:v1");
    let box_ = empty(&other);
    box_.set("WHARF_PULL", "never");
    box_.refuses(125, &["run", "--rm", &name], &["Unable to find image", &name, "hint"]);
    let run = box_.run(&format!("run --rm --network none --pull missing {name}")).success();
    run.says(&format!("Unable to find image '{name}' locally"))
        .says("Status: Downloaded newer")
        .prints("two\n");
    let quiet =
        box_.run(&format!("run -q --rm --network none --pull always {name}")).success().prints("two\n");
    quiet.without("Status");
    box_.run(&format!("run --rm --network none --pull always {name}")).success().says("Image is up to date");
    box_.run(&format!("rmi {name}")).success();

    box_.set("WHARF_PULL", "missing");
    let id = box_.run(&format!("create --network none {name}")).success();
    box_.run(&format!("rm {}", id.line())).success();
    box_.run(&format!("rmi {name}")).success();
    box_.build("child", &format!("FROM {name}\nCOPY --from={name} /two /three\nRUN cat /three\n"))
        .says("Pull complete");
    box_.run("build --pull -t child .").success().says("Already exists");
    box_.write("Dockerfile", format!("FROM {}\n", registry.name("nothing:v9")));
    let failed = box_.run("build .").fails(1);
    failed
        .says(&registry.name("nothing:v9: not found here, and it can not be pulled"))
        .says("manifest unknown")
        .says("hint");
    let missing = registry.name("team/app:v2");
    box_.refuses(
        125,
        &["run", "--rm", &missing],
        &[&format!("cannot pull {missing}"), "not in the registry"],
    );
    box_.refuses(1, &["pull", &registry.name("UPPER")], &["lowercase"]);
    box_.refuses(1, &["pull", "127.0.0.1:1/app"], &["cannot pull 127.0.0.1:1/app:latest", "refused", "hint"]);
    box_.refuses(1, &["pull", "--platform", "linux/s390x", &name], &["nothing for linux/s390x"]);
}

#[test]
fn a_registry_with_tls_needs_an_authority() {
    let Some(registry) = Registry::start_as(Asked { tls: true, ..Asked::default() }) else { return };
    let box_ = Sandbox::new();
    let certificates = box_.home().join(".config/wharf/certs.d").join(registry.address());
    std::fs::create_dir_all(&certificates).unwrap();
    let name = registry.name("app");
    box_.refuses(
        1,
        &["pull", &name],
        &["certificate", "hint", &format!("certs.d/{}/ca.crt", registry.address())],
    );
    std::fs::copy(registry.authority(), certificates.join("ca.crt")).unwrap();
    box_.refuses(1, &["pull", &name], &["manifest unknown"]);
    std::fs::remove_dir_all(&certificates).unwrap();
    box_.refuses(1, &["pull", &name], &["HTTPS server", "certs.d"]);
}

#[test]
fn a_pull_that_was_killed_is_gone_on_with() {
    let Some(registry) = Registry::start() else { return };
    let other = Sandbox::new();
    other.build(
        "big",
        "FROM busybox\nRUN head -c 6000000 /dev/urandom > /first\nRUN head -c 6000000 /dev/urandom > /second\n",
    );
    other.run("save -o big.tar big").success();
    if !registry.fill(&other.dir().join("big.tar"), "big", "oci") {
        return;
    }
    let proxy = Proxy::to(registry.port());
    let name = proxy.name("big");
    let box_ = empty(&other);
    proxy.hold_after(7_000_000);
    let mut pull = box_.command(["pull", &name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let before = proxy.passed();
    eventually("most of it came", || proxy.passed() >= before + 7_000_000);
    std::thread::sleep(std::time::Duration::from_millis(100));
    pull.kill().unwrap();
    pull.wait().unwrap();

    box_.run("images -q").success().prints("");
    proxy.heal();
    let came = proxy.passed();
    // Lines that break all the time do not stop it either.
    proxy.cut_after(2_000_000);
    box_.run(&format!("pull -q {name}")).success();
    proxy.heal();
    let rest = proxy.passed() - came;
    assert!(rest < 8_000_000, "{rest} bytes came once more");
    let layers = "{{.RootFS.Layers}}";
    assert_eq!(box_.inspect(&name, layers), other.inspect("big", layers));
    let sizes = box_.in_image(&name, "wc -c < /first; wc -c < /second");
    assert_eq!(sizes, "6000000\n6000000\n");
}

#[test]
fn what_the_registry_holds_damaged_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let Some(other) = with_app(&registry, "oci") else { return };
    let box_ = empty(&other);
    let name = registry.name("team/app:v1");
    box_.run(&format!("pull -q {name}")).success();
    let digest = box_.inspect(&name, "{{index .RepoDigests 0}}");
    box_.run(&format!("rmi {name}")).success();
    registry.damage(digest.split('@').nth(1).unwrap());
    let refused = box_.run(&format!("pull {name}")).fails(1);
    refused.says(&format!("cannot pull {name}"));
    box_.run("images -q").success().prints("");
}
