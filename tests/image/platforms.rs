//! Names that lead to an index: images for several platforms, in a registry and here.

use serde_json::json;

use crate::harness::{Registry, Sandbox, has, host};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A platform that this machine is not.
pub(super) const OTHER: &str = if cfg!(target_arch = "aarch64") { "linux/amd64" } else { "linux/arm64" };
pub(super) const OWN: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

fn with_index(registry: &Registry) -> (Sandbox, String) {
    let box_ = Sandbox::new();
    box_.set("WHARF_PULL", "missing");
    let name = fill_index(registry, &box_);
    (box_, name)
}

/// A registry's `app:all` is an index of two images, which hold a file with the name of their platform.
pub(super) fn fill_index(registry: &Registry, box_: &Sandbox) -> String {
    let mut entries = Vec::new();
    for platform in [OTHER, OWN] {
        let name = registry.name(&format!("app:{}", platform.replace('/', "-")));
        let base = if platform == OWN { "busybox" } else { "scratch" };
        box_.write("Dockerfile", format!("FROM {base}\nARG TARGETPLATFORM\nCOPY file /file\nLABEL for=$TARGETPLATFORM\nCMD [\"cat\", \"/file\"]\n"));
        box_.write("file", format!("{platform}\n"));
        box_.run(&format!("build --platform {platform} -t {name} .")).success();
        let pushed = box_.run(&format!("push {name}")).success();
        let line = pushed.line_with("digest: sha256:");
        let words: Vec<&str> = line.split_whitespace().collect();
        let (os, architecture) = platform.split_once('/').unwrap();
        entries.push(json!({
            "mediaType": MANIFEST, "digest": words[2], "size": words[4].parse::<u64>().unwrap(),
            "platform": { "os": os, "architecture": architecture },
        }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    registry.put_document("app", "all", INDEX, &index);
    registry.name("app:all")
}

/// Which digest a registry's tag has, as far as is known here.
fn digest_of(box_: &Sandbox, name: &str) -> String {
    let listed = box_.run(&format!("images --digests --no-trunc --format {{{{.Digest}}}} {name}")).success();
    listed.line().to_owned()
}

fn id_of(box_: &Sandbox, platform: &str, name: &str) -> String {
    let shown = box_.run(&format!("image inspect --platform {platform} -f {{{{.Id}}}} {name}"));
    shown.success().line().to_owned()
}

fn empty(other: &Sandbox) -> Sandbox {
    let box_ = other.beside();
    box_.set("WHARF_PULL", "missing");
    box_
}

#[test]
fn a_platform_chooses_what_is_pulled_from_an_index() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    let box_ = empty(&other);
    box_.run(&format!("pull -q --platform {OTHER} {name}")).success();
    assert_eq!(box_.inspect(&name, "{{.Os}}/{{.Architecture}}"), OTHER);
    assert_eq!(box_.inspect(&name, "{{index .Config.Labels \"for\"}}"), OTHER);
    // Nobody said which: docker's warning, and the program of another machine.
    let made = box_.run(&format!("create --network none {name}")).success();
    made.clone()
        .says(&format!("requested image's platform ({OTHER}) does not match the detected host platform"));
    box_.run(&format!("rm {}", made.line())).success();
    let chosen = box_.run(&format!("create --network none --platform {OTHER} {name}")).success();
    chosen.clone().without("does not match");
    box_.run(&format!("rm {}", chosen.line())).success();

    // What is here is for another platform, so the right one is brought, and both stay.
    let run = box_.run(&format!("run --rm --network none --platform {OWN} {name}")).success();
    run.says("Unable to find image").says("Downloaded newer image").prints(&format!("{OWN}\n"));
    box_.run(&format!("run --rm --network none {name}"))
        .success()
        .prints(&format!("{OWN}\n"))
        .without("warning");
    let of = |platform: &str| {
        let shown = box_.run(&format!("image inspect --platform {platform} -f {{{{.Id}}}} {name}"));
        shown.success().line().to_owned()
    };
    assert_ne!(of(OTHER), of(OWN));
    assert_eq!(of(OWN), box_.inspect(&name, "{{.Id}}"));
    let digests = box_.inspect(&name, "{{.RepoDigests}}");
    assert!(digests.contains(&registry.name("app@sha256:")), "{digests}");
    let history = box_.run(&format!("history -q --platform {OTHER} {name}")).success();
    assert!(of(OTHER).contains(history.stdout.lines().next().unwrap()), "{history}");
    box_.refuses(1, &["image", "inspect", "--platform", "linux/s390x", &name], &["not for linux/s390x"]);
    box_.refuses(125, &["run", "--platform", "linux/s390x", &name], &["nothing for linux/s390x"]);
    box_.refuses(125, &["run", "--platform", "a/b/c/d", &name], &["is not a platform"]);
    box_.refuses(
        125,
        &["pull", "--platform", "foo", &name],
        &["`foo` is not a platform", "such as linux/arm64"],
    );

    // There is one image only, and it is for another machine.
    let foreign = registry.name(&format!("app:{}", OTHER.replace('/', "-")));
    let words =
        format!("requested image's platform ({OTHER}) does not match the detected host platform ({OWN})");
    let third = empty(&box_);
    third.run(&format!("pull {foreign}")).success().says(&words);
    third.run(&format!("rmi {foreign}")).success();
    third.run(&format!("pull --platform {OTHER} {foreign}")).success().without("does not match");
    third.run(&format!("rmi {foreign}")).success();
    let run = third.run(&format!("create --network none {foreign}")).success();
    assert_eq!(run.stderr.matches("does not match").count(), 1, "{run}");
    third.run(&format!("rm {}", run.line())).success();

    box_.run(&format!("save --platform {OTHER} -o other.tar {name}")).success();
    let third = empty(&box_);
    third.wharf(["load", "-i", box_.dir().join("other.tar").to_str().unwrap()]).success();
    assert_eq!(third.inspect(&name, "{{.Id}}"), of(OTHER));
}

#[test]
fn from_takes_the_platform_that_it_names() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    let box_ = empty(&other);
    box_.write("Dockerfile", format!("FROM --platform={OTHER} {name} AS foreign\nFROM {name}\nCOPY --from=foreign /file /foreign\nRUN cat /file /foreign > /both\n"));
    box_.run("build -t both .").success();
    assert_eq!(box_.in_image("both", "cat /both"), format!("{OWN}\n{OTHER}\n"));
    assert_eq!(box_.inspect("both", "{{.Os}}/{{.Architecture}}"), OWN);

    box_.write("Dockerfile", format!("FROM {name}\nLABEL further=1\n"));
    box_.run(&format!("build --platform {OTHER} -t further .")).success();
    assert_eq!(
        box_.inspect("further", "{{.Os}}/{{.Architecture}} {{index .Config.Labels \"for\"}}"),
        format!("{OTHER} {OTHER}")
    );
    box_.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n");
    box_.run(&format!("build --platform {OTHER} -t nothing .")).success();
    assert_eq!(box_.inspect("nothing", "{{.Os}}/{{.Architecture}}"), OTHER);
    box_.refuses(125, &["build", "--platform", "linux/amd64,linux/arm64", "."], &["one platform at a time"]);
    box_.write("Dockerfile", format!("FROM --platform=linux/s390x {name}\n"));
    box_.refuses(1, &["build", "."], &["Dockerfile:1", "nothing for linux/s390x"]);
}

#[test]
fn an_index_is_kept_and_goes_on_as_one() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    let box_ = empty(&other);
    box_.run(&format!("pull -q --all-platforms {name}")).success().prints(&format!("{name}\n"));
    let listed = box_.run("images -q").success();
    assert_eq!(listed.stdout.lines().count(), 1, "one row for one name: {listed}");
    let tree = box_.run("images --tree").success();
    assert!(tree.line_with(&format!("├─ {OWN}")).contains(listed.line()), "{tree}");
    tree.clone().shows(&format!("└─ {OTHER}")).shows("CONTENT SIZE");
    box_.run("image prune -f").success();
    assert_eq!(box_.run("images --tree").success().stdout, tree.stdout, "none of them hangs loose");

    // To another repository of the same registry, and to another registry.
    let Some(second) = Registry::start() else { return };
    for to in [registry.name("copy/app:all"), second.name("app:all")] {
        box_.run(&format!("tag {name} {to}")).success();
        let pushed = box_.run(&format!("push {to}")).success();
        let digest = pushed.line_with("digest: sha256:").split_whitespace().nth(2).unwrap().to_owned();
        assert!(box_.inspect(&name, "{{.RepoDigests}}").contains(&digest), "the same index: {pushed}");
        let third = empty(&box_);
        third.run(&format!("pull -q --all-platforms {to}")).success();
        assert_eq!(third.inspect(&to, "{{.Id}}"), box_.inspect(&name, "{{.Id}}"));
        third.run("images --tree").success().shows(OTHER).shows(OWN);
    }
    let alone = second.name("app:own");
    box_.run(&format!("tag {name} {alone}")).success();
    box_.run(&format!("push -q --platform {OWN} {alone}")).success();
    let third = empty(&box_);
    third.run(&format!("pull -q {alone}")).success();
    third.refuses(1, &["pull", "--platform", OTHER, &alone], &["nothing for"]);

    // One platform goes, then the rest with the name.
    for tag in [registry.name("copy/app:all"), second.name("app:all"), alone] {
        box_.run(&format!("rmi {tag}")).success().shows("Untagged: ").without("Deleted");
    }
    let removed = box_.run(&format!("rmi --platform {OTHER} {name}")).success();
    removed.shows("Deleted: sha256:").without("Untagged");
    box_.run("images --tree").success().shows(OWN).without(OTHER);
    // An index of which something is missing goes as the image that is here.
    box_.run(&format!("pull -q --platform {OTHER} {name}")).success();
    box_.run(&format!("rmi {name}")).success().shows(&format!("Untagged: {name}"));
    box_.run("images -q").success().prints("");
}

#[test]
fn an_archive_holds_all_platforms_of_a_name_or_one() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    let box_ = empty(&other);
    box_.run(&format!("pull -q --all-platforms {name}")).success();
    let id = |of: &Sandbox, platform: &str| id_of(of, platform, &name);
    let loaded = format!("Loaded image: {name}\n");
    for format in ["docker-archive", "oci-archive"] {
        box_.run(&format!("save --format {format} -o all.tar {name}")).success();
        let archive = box_.dir().join("all.tar");
        let archive = archive.to_str().unwrap();
        let third = empty(&box_);
        third.wharf(["load", "-i", archive]).success().prints(&loaded);
        for platform in [OTHER, OWN] {
            assert_eq!(id(&third, platform), id(&box_, platform), "{format}");
        }
        third.run(&format!("run --rm --network none {name}")).success().prints(&format!("{OWN}\n"));
        third.run(&format!("save --format {format} -o again.tar {name}")).success();
        let bytes = |of: &Sandbox, file: &str| std::fs::read(of.dir().join(file)).unwrap();
        assert!(bytes(&third, "again.tar") == bytes(&box_, "all.tar"), "{format}: the same bytes again");

        let fourth = empty(&box_);
        let there = ["has nothing for linux/s390x", OTHER, OWN];
        fourth.wharf(["load", "--platform", OTHER, "-i", archive]).success().prints(&loaded);
        assert_eq!(id(&fourth, OTHER), id(&box_, OTHER), "{format}");
        fourth.refuses(1, &["load", "--platform", "linux/s390x", "-i", archive], &there);
        let there = [&*format!("not for {OWN}"), OTHER];
        fourth.refuses(1, &["save", "--platform", OWN, "-o", "own.tar", &name], &there);
        fourth.refuses(1, &["image", "inspect", "--platform", OWN, &name], &["not for"]);
        // What was loaded goes to a registry as the image that it is.
        fourth.wharf(["load", "--platform", OWN, "-i", archive]).success().prints(&loaded);
        assert_eq!(fourth.run("images -q").success().stdout.lines().count(), 1);
        let copy = registry.name(&format!("from/{format}:all"));
        fourth.run(&format!("tag {name} {copy}")).success();
        fourth.run(&format!("push -q {copy}")).success();
        assert_eq!(digest_of(&fourth, &copy), digest_of(&box_, &name), "{format}: the same index");
        let fifth = empty(&box_);
        fifth.run(&format!("pull -q --platform {OTHER} {copy}")).success();
        assert_eq!(fifth.inspect(&copy, "{{.Id}}"), id(&box_, OTHER), "{format}");
    }
    // A platform that is not here makes no archive.
    let words = ["not for linux/s390x", OTHER, OWN];
    box_.refuses(1, &["save", "--platform", "linux/s390x", "-o", "none.tar", &name], &words);
    assert!(!box_.dir().join("none.tar").exists());
    // An archive of one platform is one for others, too, and says so.
    box_.run(&format!("save --platform {OTHER} -o one.tar {name}")).success();
    let archive = box_.dir().join("one.tar");
    let third = empty(&box_);
    third.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    let words = [&*format!("has nothing for {OWN}, only {OTHER}")];
    third.refuses(1, &["load", "--platform", OWN, "-i", archive.to_str().unwrap()], &words);
}

#[test]
fn an_archive_may_hold_several_platforms_and_not_all() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    let box_ = empty(&other);
    box_.run(&format!("pull -q --all-platforms {name}")).success();
    let loaded = format!("Loaded image: {name}\n");
    let both = format!("{OTHER},{OWN}");
    for options in [format!("--platform {both}"), format!("--platform {OTHER} --platform {OWN}")] {
        box_.run(&format!("save {options} -o both.tar {name}")).success();
        let third = empty(&box_);
        let archive = box_.dir().join("both.tar");
        let load = format!("load {options} -i {}", archive.display());
        third.run(&load).success().prints(&loaded);
        for platform in [OTHER, OWN] {
            assert_eq!(id_of(&third, platform, &name), id_of(&box_, platform, &name), "{options}");
        }
        let there = ["has nothing for linux/s390x", OTHER, OWN];
        let options = format!("{OWN},linux/s390x");
        third.refuses(1, &["load", "--platform", &options, "-i", archive.to_str().unwrap()], &there);
        box_.refuses(1, &["save", "--platform", &options, &name], &["not for linux/s390x"]);
        third.refuses(1, &["rmi", "--platform", &options, &name], &["not for linux/s390x"]);
        let gone = third.run(&format!("rmi --platform {both} {name}")).success();
        assert_eq!(gone.stdout.matches("Deleted: ").count(), gone.stdout.lines().count() - 1, "{gone}");
        third.run("images -q").success().prints("");
    }
}

#[test]
fn a_layout_of_several_platforms_is_read_from_a_directory() {
    let Some(registry) = Registry::start() else { return };
    let (other, name) = with_index(&registry);
    if !has("skopeo") {
        eprintln!("skipped: needs skopeo, which ./dev test installs");
        return;
    }
    let layout = other.dir().join("layout");
    let to = format!("oci:{}:{name}", layout.display());
    host(&[
        "skopeo",
        "--insecure-policy",
        "copy",
        "--quiet",
        "--all",
        "--src-tls-verify=false",
        &format!("docker://{name}"),
        &to,
    ]);
    let box_ = empty(&other);
    let path = layout.to_str().unwrap();
    box_.wharf(["load", "--platform", OTHER, "-i", path])
        .success()
        .prints(&format!("Loaded image: {name}\n"));
    assert_eq!(box_.inspect(&name, "{{.Os}}/{{.Architecture}}"), OTHER);
    box_.refuses(1, &["load", "--platform", "linux/s390x", "-i", path], &["has nothing for", OTHER, OWN]);
    box_.wharf(["load", "-i", path]).success();
    box_.run("images --tree").success().shows(OTHER).shows(OWN);
    // skopeo finds its way through the index that we write, too.
    box_.run(&format!("save --format oci-archive -o all.tar {name}")).success();
    let archive = format!("oci-archive:{}:all", box_.dir().join("all.tar").display());
    for platform in [OTHER, OWN] {
        let (_, architecture) = platform.split_once('/').unwrap();
        let told = host(&["skopeo", "--override-arch", architecture, "inspect", "--config", &archive]);
        assert!(told.contains(&format!("\"for\": \"{platform}\"")), "{told}");
    }
}
