//! `manifest`: images of several platforms put together under one name.

use serde_json::Value;

use crate::harness::{Asked, Registry, Sandbox};

/// Two images in a registry, in repositories of their own: `one` for amd64, `two` for arm64.
fn with_two(registry: &Registry) -> (Sandbox, String, String) {
    let box_ = Sandbox::new();
    let push = |repository: &str, platform: &str| {
        let name = registry.name(&format!("{repository}:1"));
        box_.write("file", format!("{platform}\n"));
        box_.write("Dockerfile", "FROM scratch\nCOPY file /file\nCMD [\"/file\"]\n");
        box_.run(&format!("build --platform {platform} -t {name} .")).success();
        box_.run(&format!("push -q {name}")).success();
        name
    };
    let names = (push("one", "linux/amd64"), push("two", "linux/arm64"));
    (box_, names.0, names.1)
}

fn platforms(list: &Value) -> Vec<String> {
    let entries = list["manifests"].as_array().unwrap();
    let word = |entry: &Value, key: &str| entry["platform"][key].as_str().unwrap_or("-").to_owned();
    entries.iter().map(|entry| format!("{}/{}", word(entry, "os"), word(entry, "architecture"))).collect()
}

#[test]
fn a_list_of_two_images_is_pushed_and_pulled_by_platform() {
    let Some(registry) = Registry::start() else { return };
    let (box_, one, two) = with_two(&registry);
    let list = registry.name("all:1");
    let made = box_.run(&format!("manifest create {list} {one} {two}")).success();
    assert_eq!(made.line(), format!("Created manifest list {list}"));
    let kept = box_.run(&format!("manifest inspect {list}")).success().json();
    assert_eq!(platforms(&kept), ["linux/amd64", "linux/arm64"]);

    let digest = box_.run(&format!("manifest push {list}")).success().line().to_owned();
    let other = box_.beside();
    let there = other.run(&format!("manifest inspect {list}")).success().json();
    assert_eq!(there, kept, "the registry has what was put together");
    for (platform, name) in [("linux/amd64", &one), ("linux/arm64", &two)] {
        other.run(&format!("pull -q --platform {platform} {list}@{digest}")).success();
        other.run(&format!("pull -q --platform {platform} {list}")).success();
        let of = |box_: &Sandbox, name: &str| {
            box_.run(&format!("image inspect --platform {platform} -f {{{{.Id}}}} {name}"))
                .success()
                .line()
                .to_owned()
        };
        assert_eq!(of(&other, &list), of(&box_, name));
    }
    // The same images give the same list.
    box_.run(&format!("manifest create {} {one} {two}", registry.name("again:1"))).success();
    let again = box_.run(&format!("manifest push --purge {}", registry.name("again:1"))).success();
    assert_eq!(again.line(), digest);
    box_.refuses(1, &["manifest", "rm", &registry.name("again:1")], &["No such manifest"]);
}

#[test]
fn an_entry_says_what_it_was_annotated_with() {
    let Some(registry) = Registry::start() else { return };
    let (box_, one, two) = with_two(&registry);
    let list = registry.name("all:1");
    box_.run(&format!("manifest create {list} {one}")).success();
    box_.refuses(1, &["manifest", "create", &list, &two], &["no --amend flag"]);
    box_.run(&format!("manifest create --amend {list} {two}")).success();
    box_.run(&format!("manifest annotate --variant v8 --os-version 6.1 --os-features sse4,avx {list} {two}"))
        .success();
    let kept = box_.run(&format!("manifest inspect {list}")).success().json();
    let platform = &kept["manifests"][1]["platform"];
    assert_eq!(platform["variant"], "v8");
    assert_eq!(platform["os.version"], "6.1");
    assert_eq!(platform["os.features"], serde_json::json!(["sse4", "avx"]));
    assert_eq!(kept["manifests"][0]["platform"].as_object().unwrap().len(), 2, "{kept}");

    let entry = box_.run(&format!("manifest inspect {list} {two}")).success().json();
    assert_eq!(entry["Ref"], two.as_str());
    assert_eq!(entry["Descriptor"]["platform"]["variant"], "v8");
    assert!(entry["OCIManifest"]["layers"].is_array(), "{entry}");
    let missing = registry.name("three:1");
    box_.refuses(1, &["manifest", "annotate", "--os", "linux", &list, &missing], &["does not exist in"]);

    // Two for one machine: one of them would never be found.
    box_.run(&format!(
        "manifest annotate --arch arm64 --variant v8 --os-version 6.1 --os-features sse4,avx {list} {one}"
    ))
    .success();
    box_.refuses(1, &["manifest", "push", &list], &["are both for linux/arm64", "manifest annotate"]);
    box_.run(&format!("manifest rm {list}")).success();
    box_.refuses(1, &["manifest", "push", &list], &["No such manifest", "manifest create"]);
}

#[test]
fn images_are_added_to_a_list_and_say_what_they_are_for() {
    let Some(registry) = Registry::start() else { return };
    let (box_, one, two) = with_two(&registry);
    let list = registry.name("all:1");
    box_.refuses(1, &["manifest", "add", &list, &one], &["No such manifest", "manifest create"]);
    box_.run(&format!("manifest create {list}")).success();
    box_.refuses(1, &["manifest", "push", &list], &["has no entry", &format!("manifest add {list}")]);
    box_.run(&format!("manifest add {list} {one}")).success().prints(&format!("{list}\n"));
    box_.run(&format!(
        "manifest add --all --arch arm64 --variant v8 --annotation by=us {list} docker://{two}"
    ))
    .success();
    box_.refuses(1, &["manifest", "add", "--annotation", "by", &list, &two], &["expected NAME=VALUE"]);
    let kept = box_.run(&format!("manifest inspect {list}")).success().json();
    assert_eq!(platforms(&kept), ["linux/amd64", "linux/arm64"]);
    assert_eq!(kept["manifests"][1]["platform"]["variant"], "v8");
    assert_eq!(kept["manifests"][1]["annotations"], serde_json::json!({ "by": "us" }));
    box_.run(&format!("manifest push {list}")).success();
    assert_eq!(box_.beside().run(&format!("manifest inspect {list}")).success().json(), kept);
}

#[test]
fn an_insecure_registry_needs_no_proof_of_who_it_is() {
    let Some(tls) = Registry::start_as(Asked { tls: true, ..Asked::default() }) else { return };
    let Some(plain) = Registry::start() else { return };
    for registry in [tls, plain] {
        let box_ = Sandbox::new();
        let address = registry.address();
        let (app, list) = (registry.name("app:1"), registry.name("list:1"));
        box_.config(&format!(
            "[registry.\"{address}\"]\ninsecure = true\nplain-http = {}\n",
            address.starts_with("127")
        ));
        box_.run(&format!("tag busybox {app}")).success();
        box_.run(&format!("push -q {app}")).success();
        // TLS is not spoken with this machine itself unless somebody says so, and not without it otherwise.
        box_.config(&format!("[registry.\"{address}\"]\nplain-http = {}\n", !address.starts_with("127")));
        box_.run(&format!("manifest create {list} {app}")).fails(1);
        box_.run(&format!("manifest create --insecure {list} {app}")).success();
        box_.run(&format!("manifest push {list}")).fails(1);
        box_.run(&format!("manifest push --insecure {list}")).success();
        box_.run(&format!("manifest rm {list}")).success();
        box_.run(&format!("manifest inspect {list}")).fails(1);
        let there = box_.run(&format!("manifest inspect --insecure {list}")).success().json();
        assert_eq!(platforms(&there).len(), 1, "{there}");
    }
}

#[test]
fn an_index_gives_its_entries_and_what_is_not_there_makes_no_list() {
    let Some(registry) = Registry::start() else { return };
    let (box_, one, two) = with_two(&registry);
    let (first, second) = (registry.name("first:1"), registry.name("second:1"));
    box_.run(&format!("manifest create {first} {one} {two}")).success();
    box_.run(&format!("manifest push {first}")).success();
    box_.run(&format!("manifest create {second} {first}")).success();
    let kept = box_.run(&format!("manifest inspect {second}")).success().json();
    assert_eq!(platforms(&kept), ["linux/amd64", "linux/arm64"]);
    box_.run(&format!("manifest push {second}")).success();
    box_.beside().run(&format!("pull -q --platform linux/arm64 {second}")).success();
    let in_full = box_.run(&format!("manifest inspect -v {second}")).success().json();
    assert_eq!(in_full.as_array().unwrap().len(), 2, "{in_full}");

    let third = registry.name("third:1");
    let nobody = registry.name("nobody:1");
    box_.refuses(1, &["manifest", "create", &third, &one, &nobody], &["nobody"]);
    box_.refuses(
        1,
        &["manifest", "create", &third, "elsewhere.test/x:1"],
        &["another registry", "push it there"],
    );
    box_.refuses(1, &["manifest", "inspect", &third], &["third"]);
    let exact = format!("{third}@sha256:{}", "0".repeat(64));
    box_.refuses(1, &["manifest", "create", &exact, &one], &["holds a digest", "name it by a tag"]);
}
