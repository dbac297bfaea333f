//! Images from a registry: the distribution project's own server, on the loopback.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Asked, Proxy, Registry, Sandbox, eventually, has, host};

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
        assert_eq!(box_.inspect(&by_digest, "{{.RepoTags}} {{.RepoDigests}}"), format!("[] [{by_digest}]"));
        let fields = "{{.Repository}} {{.Tag}} {{.Digest}}";
        let row = format!("{} <none> {digest}\n", registry.name("team/app"));
        box_.wharf(["images", "--format", fields]).success().prints(&row);
        let object = box_.run("images --digests --format json").success().json();
        assert_eq!((&object["Digest"], &object["Tag"]), (&digest.into(), &"<none>".into()), "{object}");
        // Docker fills it for who asks for it only.
        assert_eq!(box_.run("images --format json").success().json()["Digest"], "<none>");
        // Beside a tag of the same repository it is no row of its own.
        box_.run(&format!("pull -q {name}")).success();
        let row = format!("{} v1 {digest}\n", registry.name("team/app"));
        box_.wharf(["images", "--format", fields]).success().prints(&row);
        assert_eq!(box_.inspect(&name, "{{.RepoTags}} {{.RepoDigests}}"), format!("[{name}] [{by_digest}]"));
        box_.run(&format!("untag {name} {name}")).success();
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
fn what_a_registry_does_not_have_is_said_with_a_next_step() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let nothing = registry.name("nothing");
    box_.refuses(1, &["pull", "-a", &nothing], &["nothing", "hint:", "check the name"]);
    box_.refuses(1, &["pull", "ssh://server.example/app"], &["wharf load ssh://server.example/app"]);
    box_.refuses(1, &["pull", "--disable-content-trust=false", &nothing], &["Content Trust", "image-trust"]);
    box_.refuses(1, &["push", "--disable-content-trust=false", "busybox"], &["Content Trust", "image-trust"]);
    box_.refuses(
        125,
        &["run", "--disable-content-trust=false", "busybox"],
        &["Content Trust", "image-trust"],
    );
    box_.write("Dockerfile", "FROM busybox\n");
    box_.refuses(1, &["build", "--disable-content-trust=false", "."], &["Content Trust", "image-trust"]);
    let name = registry.name("app:v1");
    box_.run(&format!("tag busybox {name}")).success();
    box_.run(&format!("push --disable-content-trust {name}")).success();
    box_.run(&format!("pull --disable-content-trust=true {name}")).success();
    // Docker tells them by name.
    let told = box_.run("events --since 10m --until 0s --filter type=image").success();
    for action in ["push", "pull"] {
        assert!(
            told.stdout.contains(&format!("image {action} {name} (name={})", registry.name("app"))),
            "{told}"
        );
    }
    let login = ["login", "--password-stdin", &registry.address()];
    let refused = box_.wharf_with(login, b"ahoy").fails(1);
    refused.says("Must provide --username with --password-stdin").says("hint:");
    // Every mirror that was asked in vain is named.
    let mirrors =
        format!("[registry.\"hub.invalid\"]\nmirrors = [\"127.0.0.1:1\", \"{}\"]\n", registry.address());
    box_.config(&mirrors);
    let failed = box_.run("pull hub.invalid/app:v9").fails(1).says("cannot reach https://hub.invalid");
    let failed = failed.says("cause: the mirror http://127.0.0.1:1 did not do: cannot reach");
    failed.says(&format!("cause: the mirror http://{} did not do: the manifest of", registry.address()));
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
    box_.run(&format!("tag busybox {name}")).success();
    box_.refuses(1, &["push", &name], &["HTTPS server", "hint", "certs.d"]);
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

#[test]
fn push_sends_what_is_missing_and_others_can_read_it() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    box_.set("WHARF_PULL", "missing");
    let (one, two) = (registry.name("team/base:v1"), registry.name("team/app:v1"));
    box_.build(&one, "FROM busybox\nRUN echo base > /base\n");
    let pushed = box_.run(&format!("push {one}")).success();
    pushed.clone().shows(&format!("The push refers to repository [{}]", registry.name("team/base")));
    assert_eq!(pushed.stderr.matches(": Pushed\n").count(), 2, "{pushed}");
    let digest = pushed.line_with("v1: digest: sha256:").split_whitespace().nth(2).unwrap().to_owned();
    assert!(box_.inspect(&one, "{{.RepoDigests}}").contains(&registry.name(&format!("team/base@{digest}"))));
    let again = box_.run(&format!("push {one}")).success();
    assert_eq!(again.stderr.matches(": Layer already exists\n").count(), 2, "{again}");
    assert_eq!(again.line_with("digest:"), pushed.line_with("digest:"), "the same bytes");

    box_.build(&two, &format!("FROM {one}\nRUN echo app > /app\n"));
    let child = box_.run(&format!("push {two}")).success();
    assert_eq!(child.stderr.matches(": Mounted from team/base\n").count(), 2, "{child}");
    assert_eq!(child.stderr.matches(": Pushed\n").count(), 1, "{child}");
    let digest_of_child = child.line_with("digest:").split_whitespace().nth(2).unwrap();
    box_.run(&format!("tag {two} {}", registry.name("team/app:v2"))).success();
    let all = box_.run(&format!("push -a {}", registry.name("team/app"))).success();
    all.shows("v1: digest: sha256:").shows("v2: digest: sha256:");
    box_.run(&format!("push -q {two}")).success().prints(&format!("{two}\n"));
    let built = box_.run(&format!("build -t {} --push .", registry.name("team/app:v3"))).success();
    built
        .says("Layer already exists")
        .says(&format!("pushed {}, digest {digest_of_child}", registry.name("team/app:v3")));

    let other = empty(&box_);
    let all = other.run(&format!("pull -a {}", registry.name("team/app"))).success();
    for tag in ["v1", "v2", "v3"] {
        assert!(all.stdout.contains(&format!("{tag}: Pulling from team/app")), "{all}");
    }
    let listed = other.run("images --digests").success();
    assert!(listed.line_with("v1").contains(digest_of_child), "{listed}");
    other.run("images --format {{.Digest}}").success().shows(digest_of_child);
    assert_eq!(other.inspect(&two, "{{.Id}}"), box_.inspect(&two, "{{.Id}}"));
    assert_eq!(other.in_image(&two, "cat /base /app"), "base\napp\n");
    read_by_skopeo(&registry, "team/app:v1", &box_.inspect(&two, "{{.RootFS.Layers}}"));

    box_.refuses(1, &["push", "nothing:v1"], &["does not exist locally with the tag: nothing:v1", "hint"]);
    box_.refuses(
        1,
        &["push", &format!("{}@{digest}", registry.name("team/base"))],
        &["cannot push", "digest"],
    );
    box_.run("tag busybox 127.0.0.1:1/x").success();
    box_.refuses(1, &["push", "127.0.0.1:1/x"], &["cannot push 127.0.0.1:1/x:latest", "refused"]);
}

/// Another client finds the same layers, and verifies each of them.
fn read_by_skopeo(registry: &Registry, image: &str, layers: &str) {
    if !has("skopeo") {
        return eprintln!("skipped: needs skopeo, which ./dev test installs");
    }
    let directory = tempfile::tempdir().unwrap();
    let (from, to) =
        (format!("docker://{}", registry.name(image)), format!("dir:{}", directory.path().display()));
    host(&["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &from, &to]);
    let config = host(&["skopeo", "inspect", "--config", &to]);
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for diff_id in config["rootfs"]["diff_ids"].as_array().unwrap() {
        assert!(layers.contains(diff_id.as_str().unwrap()), "{layers}");
    }
}

#[test]
fn a_login_opens_a_registry_and_docker_s_file_keeps_it() {
    use std::os::unix::fs::PermissionsExt;
    let Some(registry) = Registry::start_as(Asked { password: true, ..Asked::default() }) else { return };
    let box_ = Sandbox::new();
    let (address, name) = (registry.address(), registry.name("app:v1"));
    box_.run(&format!("tag busybox {name}")).success();
    box_.refuses(1, &["push", &name], &["access to", "denied", &format!("wharf login {address}")]);
    box_.refuses(1, &["pull", &name], &["denied"]);
    let wrong = box_.wharf_with(["login", "-u", "sailor", "--password-stdin", &address], b"wrong\n").fails(1);
    wrong.says("does not take this login");
    box_.refuses(1, &["login", &address], &["non TTY", "--password-stdin"]);

    let file = box_.home().join(".docker/config.json");
    std::fs::create_dir(box_.home().join(".docker")).unwrap();
    std::fs::write(&file, "{\"psFormat\": \"mine\"}").unwrap();
    let login = box_.wharf_with(["login", "-u", "sailor", "--password-stdin", &address], b"ahoy\n").success();
    login.says("stored unencrypted").prints("Login Succeeded\n").without("ahoy");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("psFormat") && text.contains(&address), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    box_.run(&format!("push {name}")).success();
    box_.run(&format!("login {address}")).success().says("existing credentials").prints("Login Succeeded\n");
    let other = empty(&box_);
    other.refuses(1, &["pull", &name], &["denied"]);
    other.set("DOCKER_CONFIG", file.parent().unwrap().to_str().unwrap());
    other.run(&format!("run --rm --network none {name} echo hello")).success().prints("hello\n");

    box_.run(&format!("logout {address}"))
        .success()
        .prints(&format!("Removing login credentials for {address}\n"));
    box_.run(&format!("logout {address}")).success().prints(&format!("Not logged in to {address}\n"));
    box_.run(&format!("pull {name}")).fails(1).says("denied");
    let typed = box_.run(&format!("login -u sailor -p ahoy {address}")).success().says("insecure");
    typed.prints("Login Succeeded\n");
}

#[test]
fn a_program_may_keep_the_login() {
    use std::os::unix::fs::PermissionsExt;
    let Some(registry) = Registry::start_as(Asked { password: true, ..Asked::default() }) else { return };
    let box_ = Sandbox::new();
    let (address, name) = (registry.address(), registry.name("app:v1"));
    let program = "#!/bin/sh\ncd \"$HOME\"\ncase $1 in\nstore) cat > kept;;\nerase) rm kept;;\n\
                   get) cat > asked; cat kept 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; };;\nesac\n";
    let path = box_.write("bin/docker-credential-chest", program);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dirs = format!("{}:{}", path.parent().unwrap().display(), std::env::var("PATH").unwrap());
    box_.set("PATH", &dirs);
    std::fs::create_dir(box_.home().join(".docker")).unwrap();
    let file = box_.home().join(".docker/config.json");
    std::fs::write(&file, "{\"credsStore\": \"chest\"}").unwrap();

    let login = box_.wharf_with(["login", "-u", "sailor", "--password-stdin", &address], b"ahoy").success();
    login.prints("Login Succeeded\n").without("unencrypted");
    let kept = std::fs::read_to_string(box_.home().join("kept")).unwrap();
    assert!(kept.contains("\"Secret\":\"ahoy\"") && kept.contains(&address), "{kept}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&address));
    box_.run(&format!("tag busybox {name}")).success();
    box_.run(&format!("push {name}")).success();
    assert_eq!(std::fs::read_to_string(box_.home().join("asked")).unwrap(), address);
    box_.run(&format!("logout {address}")).success();
    assert!(!box_.home().join("kept").exists());
    box_.run(&format!("push {name}")).fails(1).says("denied");
    std::fs::write(&file, "{\"credHelpers\": {\"ADDRESS\": \"gone\"}}".replace("ADDRESS", &address)).unwrap();
    box_.run(&format!("pull {name}")).fails(1).says("docker-credential-gone");

    // What else it says is part of the error, and nothing that a terminal acts upon.
    let program = "#!/bin/sh\nprintf 'the chest is \\033[31mlocked\\n' >&2\nseq 100000 >&2\nexit 3\n";
    std::fs::write(&path, program).unwrap();
    std::fs::write(&file, "{\"credsStore\": \"chest\"}").unwrap();
    let said = box_.run(&format!("pull {name}")).fails(1).says("docker-credential-chest");
    let said = said.says("the chest is \\u{1b}[31mlocked; 1; 2;");
    assert!(said.stderr.len() < 8000 && !said.stderr.contains('\u{1b}'), "{said}");
}

#[test]
fn the_config_says_where_images_are() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let address = registry.address();
    box_.run(&format!("tag busybox {}", registry.name("mirror/app:v1"))).success();
    box_.run(&format!("push {}", registry.name("mirror/app:v1"))).success();
    let other = empty(&box_);
    other.config(&format!(
        "[registry.\"hub.invalid/team\"]\nmirrors = [\"127.0.0.1:1\", \"{address}/mirror\"]\n"
    ));
    other
        .run("pull hub.invalid/team/app:v1")
        .success()
        .shows("Downloaded newer image for hub.invalid/team/app:v1");
    other.run("run --rm --network none hub.invalid/team/app:v1 echo hello").success().prints("hello\n");
    other.run("pull hub.invalid/other/app:v1").fails(1).says("cannot reach https://hub.invalid");

    other.config(&format!("[registry.\"ours.invalid\"]\nlocation = \"{address}/ours\"\nplain-http = true\n"));
    other.run("tag hub.invalid/team/app:v1 ours.invalid/app:v2").success();
    other.run("push ours.invalid/app:v2").success();
    box_.run(&format!("pull {}", registry.name("ours/app:v2"))).success();
    other.config("[registry.\"https://x\"]\n");
    other
        .run("pull ours.invalid/app:v2")
        .fails(125)
        .says("is not the beginning of an image's name")
        .says("hint");
}

/// What a mirror begins, the next one or the registry ends.
#[test]
fn a_mirror_that_breaks_in_the_middle_of_a_layer_is_replaced() {
    let Some(registry) = Registry::start() else { return };
    let Some(broken) = Registry::start() else { return };
    let box_ = Sandbox::new();
    // Random bytes, so that the layer is about as long compressed.
    let bytes: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    box_.write("large", &bytes);
    box_.build("app", "FROM busybox\nCOPY large /large\n");
    for place in [registry.name("app:v1"), broken.name("app:v1")] {
        box_.run(&format!("tag app {place}")).success();
        box_.run(&format!("push {place}")).success();
    }
    let id = box_.inspect("app", "{{.Id}}");

    let mirror = Proxy::to(broken.port());
    let other = empty(&box_);
    other.config(&format!(
        "[registry.\"{}\"]\nmirrors = [\"{}\"]\n",
        registry.address(),
        mirror.name("").trim_end_matches('/')
    ));
    // It is gone for good once a part of the layer has come.
    mirror.hold_after(4_000_000);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while mirror.passed() < 4_000_000 && !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            mirror.heal();
            mirror.cut_after(1);
        });
        let pulled = other.run(&format!("pull {}", registry.name("app:v1")));
        over.store(true, Ordering::SeqCst);
        pulled.success();
    });
    assert!(mirror.passed() >= 4_000_000, "the mirror had no part in it");
    assert_eq!(other.inspect(&registry.name("app:v1"), "{{.Id}}"), id);

    // It gives other bytes than those that were asked for.
    let third = empty(&box_);
    broken.damage_layers();
    third.config(&format!("[registry.\"{}\"]\nmirrors = [\"{}\"]\n", registry.address(), broken.address()));
    third.run(&format!("pull {}", registry.name("app:v1"))).success();
    assert_eq!(third.in_image(&registry.name("app:v1"), "wc -c < /large"), "12000000\n");
}

#[test]
fn tls_takes_a_client_s_certificate_or_none_at_all() {
    let Some(registry) = Registry::start_as(Asked { tls: true, ..Asked::default() }) else { return };
    let box_ = Sandbox::new();
    let name = registry.name("app:v1");
    box_.run(&format!("tag busybox {name}")).success();
    box_.config(&format!("[registry.\"{}\"]\nplain-http = false\n", registry.address()));
    box_.run(&format!("push {name}")).fails(1).says("certificate");
    box_.config(&format!("[registry.\"{}\"]\nplain-http = false\ninsecure = true\n", registry.address()));
    box_.run(&format!("push {name}")).success();
    box_.config("");
    let certificates = box_.home().join(".config/wharf/certs.d").join(registry.address());
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::copy(registry.authority(), certificates.join("ca.crt")).unwrap();
    box_.run(&format!("pull {name}")).success();
    std::fs::write(certificates.join("client.cert"), "nonsense").unwrap();
    box_.run(&format!("pull {name}")).fails(1).says("client.key");
}
