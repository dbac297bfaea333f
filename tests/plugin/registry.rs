//! Plugins that go to a registry and come from one.

use std::fs;

use super::digest;
use super::verbs::{component, config_of};
use crate::harness::{Asked, Registry, Sandbox, configured, has, host};

const SKOPEO: [&str; 2] = ["skopeo", "--insecure-policy"];

/// What a registry says of an artifact, by another client.
fn raw(registry: &Registry, name: &str, what: &[&str]) -> serde_json::Value {
    let name = format!("docker://{}", registry.name(name));
    let line = [&SKOPEO[..], &["inspect", "--tls-verify=false", "--raw"], what, &[&name]].concat();
    serde_json::from_str(&host(&line)).unwrap()
}

#[test]
fn a_plugin_is_pushed_added_elsewhere_and_updated() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let file = component(&box_, "label");
    let name = registry.name("acme/mark:1.0");
    let pushed = box_.run(&format!("plugin push label {name}")).success();
    let line = pushed.stdout.trim().to_owned();
    assert!(line.starts_with("1.0: digest: sha256:") && line.contains(" size: "), "{line}");
    pushed.says(&format!("wharf plugin add oci://{name}"));
    box_.run(&format!("plugin push label oci://{name}")).success().shows(&line);

    let other = box_.beside();
    other.write("Dockerfile", "FROM scratch\n");
    other.config("# mine\n");
    let looked = other.run(&format!("plugin inspect oci://{name}")).success();
    looked.shows("ops:config").shows("not configured");
    assert!(!other.root().join("plugins/code").join(&digest(&file)[7..]).exists());
    let added = other.run(&format!("plugin add oci://{name} --as LABEL=MARK --grant-all")).success();
    added.prints("mark\n").says("granted").says("ops:config").says("wharf.lock");
    let (config, lock) = config_of(&other);
    let toml = fs::read_to_string(&config).unwrap();
    assert!(toml.contains(&format!("source = \"oci://{name}\"\ndigest = \"{}\"", digest(&file))), "{toml}");
    let pins = fs::read_to_string(&lock).unwrap();
    assert!(pins.contains(&format!("source = \"oci://{name}\"")) && pins.contains(&digest(&file)), "{pins}");
    other.wharf(["plugin", "ls", "--format", "{{.Name}} {{.State}}"]).success().shows("mark ok\n");
    assert_eq!(fs::read_dir(other.root().join("blobs/sha256")).unwrap().count(), 0, "nothing is left of it");

    // The tag moves: only an update takes that over, and a dry run does not.
    box_.run(&format!("plugin push env {name}")).success();
    let before = fs::read_to_string(&config).unwrap();
    let dry = other.run("plugin update mark --dry-run").fails(1);
    dry.says("`ENV` is claimed by the plugin `env` too");
    box_.run(&format!("plugin push label {name}")).success();
    other.run("plugin update mark --dry-run").success().without("mark:");
    assert_eq!(fs::read_to_string(&config).unwrap(), before);

    // Without its code, an update brings it again.
    fs::remove_file(other.root().join("plugins/code").join(&digest(&file)[7..])).unwrap();
    other.run("plugin inspect mark").success().shows("is not on this machine");
    other.run("plugin update mark").success();
    other.wharf(["plugin", "ls", "--format", "{{.Name}} {{.State}}"]).success().shows("mark ok\n");
    other.run("plugin update mark").success().says("up to date");
}

#[test]
fn other_clients_read_what_was_pushed_and_write_what_is_added() {
    let Some(registry) = Registry::start() else { return };
    if !has("skopeo") {
        eprintln!("skipped: needs skopeo, which ./dev test installs");
        return;
    }
    let box_ = Sandbox::new();
    let file = component(&box_, "label");
    box_.run(&format!("plugin push label {}", registry.name("acme/label:1"))).success();
    let manifest = raw(&registry, "acme/label:1", &[]);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["mediaType"]), (1, &"application/wasm".into()));
    assert_eq!(layers[0]["digest"], digest(&file).as_str());
    let config = raw(&registry, "acme/label:1", &["--config"]);
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"], serde_json::json!([digest(&file)]));
    let exports = config["component"]["exports"].to_string();
    assert!(exports.contains("wharf:plugin/instruction@0.1.0"), "{exports}");

    // Through a directory, as other tools keep artifacts, and back under another name.
    let layout = format!("oci:{}:label", box_.dir().join("layout").display());
    let copy = |from: &str, to: &str, insecure: &str| {
        host(&[&SKOPEO[..], &["copy", "--quiet", insecure, from, to]].concat());
    };
    let there = format!("docker://{}", registry.name("acme/label:1"));
    copy(&there, &layout, "--src-tls-verify=false");
    let back = registry.name("acme/copied:2");
    copy(&layout, &format!("docker://{back}"), "--dest-tls-verify=false");
    box_.run(&format!("plugin add oci://{back} --as LABEL=COPIED --grant-all")).success().prints("copied\n");
    box_.build("m", "FROM busybox\nCOPIED a=1\n");
    assert_eq!(box_.inspect("m", "{{json .Config.Labels}}"), r#"{"a":"1"}"#);
}

#[test]
fn what_is_no_plugin_says_what_it_is() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let (config, _) = config_of(&box_);
    box_.run(&format!("plugin push label {}", registry.name("acme/label"))).success();
    box_.run(&format!("tag busybox {}", registry.name("image"))).success();
    box_.run(&format!("push {}", registry.name("image"))).success();
    let oci = |name: &str| format!("oci://{}", registry.name(name));
    box_.run(&format!("plugin inspect {}", oci("acme/label"))).success();
    let add = |name: &str, words: &[&str]| box_.refuses(1, &["plugin", "add", &oci(name)], words);
    add("image", &["no WebAssembly artifact, but an image of containers", "wharf pull"]);
    add("none", &["not in the registry"]);
    add("acme/label", &["a plugin `label` already"]);
    box_.refuses(1, &["plugin", "add", &oci("UPPER")], &["lowercase"]);
    let nowhere = "oci://acme/label";
    let words = ["names no registry", "oci://docker.io/acme/label"];
    box_.refuses(1, &["plugin", "add", nowhere], &words);
    box_.refuses(1, &["plugin", "inspect", nowhere], &words);
    box_.refuses(1, &["plugin", "update", "label", nowhere], &words);
    let pull = ["pull", &registry.name("acme/label")];
    let words = ["is no image, but a WebAssembly artifact", "wharf plugin add oci://"];
    box_.refuses(1, &pull, &words);
    let by_digest = format!("{}@{}", registry.name("x"), digest(&component(&box_, "label")));
    box_.refuses(1, &["plugin", "push", "label", &by_digest], &["a digest is not a name to give"]);
    box_.refuses(1, &["plugin", "push", "labl", &registry.name("x")], &["did you mean `label`?"]);
    assert_eq!(fs::read_to_string(&config).unwrap(), "");

    // Machine code under the name of a component.
    if !has("skopeo") {
        eprintln!("skipped the rest: needs skopeo, which ./dev test installs");
        return;
    }
    let send = |code: &[u8], kind: &str, image: &str| {
        let (from, to) = (layout_of(&box_, code, kind), format!("docker://{}", registry.name(image)));
        host(&[&SKOPEO[..], &["copy", "--quiet", "--dest-tls-verify=false", &from, &to]].concat());
    };
    send(b"\x7fELF machine code", "application/wasm", "elf");
    add("elf", &["is machine code"]);
    send(b"compiled", "application/vnd.example.cwasm", "cwasm");
    add("cwasm", &["no WebAssembly artifact", "application/vnd.example.cwasm"]);
}

/// An OCI layout with one artifact, made by hand.
fn layout_of(box_: &Sandbox, code: &[u8], kind: &str) -> String {
    let blob = |bytes: &[u8]| {
        let file = box_.write("blob", bytes);
        let sum = digest(&file);
        box_.write(&format!("hand/blobs/sha256/{}", &sum[7..]), bytes);
        serde_json::json!({ "digest": sum, "size": bytes.len() })
    };
    let typed = |kind: &str, mut blob: serde_json::Value| {
        blob["mediaType"] = kind.into();
        blob
    };
    let layer = typed(kind, blob(code));
    let config =
        serde_json::json!({ "architecture": "wasm", "os": "wasip1", "layerDigests": [layer["digest"]] });
    let config = typed("application/vnd.wasm.config.v0+json", blob(config.to_string().as_bytes()));
    let manifest_kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": manifest_kind, "config": config, "layers": [layer],
    });
    let manifest = typed(manifest_kind, blob(manifest.to_string().as_bytes()));
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    box_.write("hand/index.json", index.to_string());
    box_.write("hand/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    format!("oci:{}", box_.dir().join("hand").display())
}

#[test]
fn a_plugin_travels_with_logins_certificates_and_hooks() {
    let Some(registry) = Registry::start_as(Asked { tls: true, password: true, ..Asked::default() }) else {
        return;
    };
    let box_ = Sandbox::new();
    let name = registry.name("acme/mark:1");
    let oci = format!("oci://{name}");
    let certificates = box_.home().join(".config/wharf/certs.d").join(registry.address());
    fs::create_dir_all(&certificates).unwrap();
    box_.run(&format!("plugin push label {name}")).fails(1).says("certificate").says("hint");
    fs::copy(registry.authority(), certificates.join("ca.crt")).unwrap();
    box_.run(&format!("plugin push label {name}")).fails(1).says("denied").says("wharf login");
    box_.wharf_with(["login", "-u", "sailor", "--password-stdin", &registry.address()], b"ahoy").success();
    box_.run(&format!("plugin push label {name}")).success();
    let denied = format!("deny = [\"image-pull {name}\", \"image-push {name}\"]");
    let more = format!("grants = {{ ops = [\"judge\"] }}\n[plugin.rules.settings]\n{denied}");
    box_.config(&configured("rules", "hook", &more));
    box_.refuses(1, &["plugin", "add", &oci], &["denied by hook `rules`"]);
    box_.refuses(1, &["plugin", "push", "label", &name], &["denied by hook `rules`"]);
    box_.config("");
    let added = box_.run(&format!("plugin add {oci} --as LABEL=MARK")).success();
    added.says("not granted").says("ops:config").says("to grant the rest");
}
