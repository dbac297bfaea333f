//! An image with all that is hard to keep goes through other engines and comes back as it was.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::archive::podman;
use crate::harness::{Docker, Registry, Sandbox, has, host};

/// `cap_net_bind_service=ep`, as the kernel keeps it (`struct vfs_cap_data`, revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Longer than a header of a tar can hold.
fn long_name() -> String {
    format!("odd/{}/{}/ünï", "d".repeat(90), "f".repeat(200))
}

/// A layer from a tar, one of a command, and one that removes and replaces what is below it.
const ODD: &str = "FROM busybox\nADD odd.tar /\n\
    RUN mkdir -p /keep/gone /dir/deep && echo x > /keep/gone/f && echo old > /dir/old && echo old > /dir/deep/old \\\n\
     && mkfifo /fifo && mknod -m 666 /odd/null c 1 3 && truncate -s 40000000 /sparse && echo end >> /sparse && ln -s /nowhere /dangling \\\n\
     && touch -d '1980-01-02 03:04:05' /dated && chmod 1777 /dir && chown 1000:70000 /dated\n\
    RUN rm -r /keep/gone /dir && mkdir /dir && echo new > /dir/new && rm /odd/hard-2\n\
    CMD [\"cat\", \"/dir/new\"]\n";

fn odd(box_: &Sandbox) {
    add_archive(&box_.dir().join("odd.tar"));
    box_.build("odd", ODD);
}

/// What a container sees of it, whoever runs it.
const LOOK: &str = "ls /dir; cat /dir/new; test /odd/hard-1 -ef /odd/hard-3 && echo linked; stat -c '%n %a %u:%g %F %t:%T %s' /odd/hard-1 /odd/hard-3 \
     /odd/null /odd/cap /odd/old /fifo /dated /sparse; tail -c 4 /sparse; readlink /dangling; cat /odd/d*/f*/*; \
     test -e /keep/gone || test -e /odd/hard-2 || echo gone";

fn add_archive(path: &Path) {
    let mut archive = tar::Builder::new(File::create(path).unwrap());
    let header = |kind, size, mode| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header
    };
    let xattrs = [("SCHILY.xattr.security.capability", &CAPABILITY[..]), ("SCHILY.xattr.user.note", b"a\0b")];
    archive.append_pax_extensions(xattrs).unwrap();
    archive.append_data(&mut header(tar::EntryType::Regular, 4, 0o755), "odd/cap", &b"cap\n"[..]).unwrap();
    archive
        .append_data(&mut header(tar::EntryType::Regular, 5, 0o6640), "odd/hard-1", &b"hard\n"[..])
        .unwrap();
    for name in ["odd/hard-2", "odd/hard-3"] {
        archive.append_link(&mut header(tar::EntryType::Link, 0, 0o6640), name, "odd/hard-1").unwrap();
    }
    // More than an octal number of a header holds, and older than its zero.
    archive
        .append_pax_extensions([("uid", &b"3000000"[..]), ("gid", b"4000000000"), ("mtime", b"-31536000")])
        .unwrap();
    archive.append_data(&mut header(tar::EntryType::Regular, 4, 0o644), "odd/old", &b"old\n"[..]).unwrap();
    archive.append_data(&mut header(tar::EntryType::Regular, 5, 0o600), long_name(), &b"long\n"[..]).unwrap();
    archive.finish().unwrap();
}

/// All files of an image, each with what a tar says of it and a digest of its bytes.
fn files(box_: &Sandbox, image: &str) -> BTreeMap<String, String> {
    let container = box_.run(&format!("create --network none {image}")).success().line().to_owned();
    let path = box_.dir().join("exported.tar");
    box_.wharf(["export", "-o", path.to_str().unwrap(), &container]).success();
    box_.run(&format!("rm {container}")).success();
    let mut archive = tar::Archive::new(File::open(&path).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let header = entry.header();
        let mut words = format!(
            "{:?} {:o} {}:{} {} {:?}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            (header.device_major().ok(), header.device_minor().ok()),
        );
        words += &format!(" -> {:?}", entry.link_name().unwrap());
        let extensions: Vec<String> = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .map(Result::unwrap)
            .filter(|extension| {
                let key = extension.key_bytes();
                key.starts_with(b"SCHILY.xattr.") || [&b"uid"[..], b"gid", b"mtime"].contains(&key)
            })
            .map(|extension| format!(" {:?}={:?}", extension.key(), extension.value_bytes()))
            .collect();
        words += &extensions.concat();
        let (mut sum, mut length, mut buffer) = (0_u64, 0, vec![0; 1 << 16]);
        while let Ok(count) = entry.read(&mut buffer)
            && count > 0
        {
            length += count;
            // It has to see a change, not to withstand anybody.
            sum = buffer[..count].iter().fold(sum, |sum, byte| {
                sum.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(*byte) + 1)
            });
        }
        found.insert(name, format!("{words} {length} {sum:x}"));
    }
    found
}

/// The image has what it should before anybody else sees it.
fn expect_odd(files: &BTreeMap<String, String>) {
    let of = |name: &str| files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
    assert!(of("odd/cap").contains("security.capability"), "{}", of("odd/cap"));
    let old = of("odd/old");
    assert!(old.contains("Ok(\"uid\")=") && old.contains("Ok(\"gid\")="), "{old}");
    assert!(of("odd/null").starts_with("Char 666 0:0"), "{}", of("odd/null"));
    assert!(of("odd/null").contains("(Some(Some(1)), Some(Some(3)))"), "{}", of("odd/null"));
    assert!(of("odd/hard-3").contains("odd/hard-1") || of("odd/hard-1").contains("odd/hard-3"));
    assert!(of(&long_name()).contains(" 5 "));
    assert!(of("sparse").contains(" 40000004 ") && of("dir/new").contains(" 4 "));
    assert!(of("dated").contains("1000:70000"), "{}", of("dated"));
    for gone in ["keep/gone/", "keep/gone", "dir/old", "dir/deep/", "odd/hard-2"] {
        assert!(!files.contains_key(gone), "{gone} is back");
    }
}

fn expect_same(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>, after: &str) {
    for (name, words) in one {
        assert_eq!(Some(words), other.get(name), "{name} after {after}");
    }
    let more: Vec<_> = other.keys().filter(|name| !one.contains_key(*name)).collect();
    assert!(more.is_empty(), "{more:?} came with {after}");
}

/// Loads an archive or a layout in an empty place, and looks.
fn expect_loaded(box_: &Sandbox, path: &str, before: &BTreeMap<String, String>, after: &str) {
    let other = box_.beside();
    other.wharf(["load", "-i", path]).success();
    let id = other.run("images -q").success().line().to_owned();
    expect_same(before, &files(&other, &id), after);
    other.run(&format!("run --rm --network none {id}")).success().prints("new\n");
}

/// An image that another engine built of the same Dockerfile: it has the same, but for the times.
fn expect_made(box_: &Sandbox, path: &str) {
    let other = box_.beside();
    other.wharf(["load", "-i", path]).success();
    let id = other.run("images -q").success().line().to_owned();
    expect_odd(&files(&other, &id));
    other.run(&format!("run --rm --network none {id}")).success().prints("new\n");
    assert_eq!(other.in_image(&id, LOOK), box_.in_image("odd", LOOK));
}

#[test]
fn through_docker_and_a_registry_and_back() {
    let Some(docker) = Docker::start() else { return };
    let box_ = Sandbox::new();
    odd(&box_);
    let before = files(&box_, "odd");
    expect_odd(&before);
    // Not all engines make layers with such attributes, and with such times.
    assert!(before["odd/cap"].contains("user.note") && before["odd/old"].contains("Ok(\"mtime\")="));
    let place = |name: &str| box_.dir().join(name).display().to_string();
    for (format, name) in [("docker-archive", "ours.tar"), ("oci-archive", "ours-oci.tar")] {
        box_.run(&format!("save --format {format} -o {name} odd")).success();
    }
    docker.types(&["load", "-i", &place("ours.tar")]);
    assert_eq!(docker.types(&["run", "--rm", "--network", "none", "odd"]), "new\n");
    let seen = docker.types(&["run", "--rm", "--network", "none", "odd", "sh", "-c", LOOK]);
    assert_eq!(seen, box_.in_image("odd", LOOK));
    docker.types(&["save", "-o", &place("theirs.tar"), "odd"]);
    expect_loaded(&box_, &place("theirs.tar"), &before, "docker's save");

    // What it builds of the same; its base image came from here as well.
    box_.run("save -o busybox.tar busybox").success();
    docker.types(&["load", "-i", &place("busybox.tar")]);
    docker.types(&["build", "-t", "made", &box_.dir().display().to_string()]);
    docker.types(&["save", "-o", &place("made.tar"), "made"]);
    expect_made(&box_, &place("made.tar"));

    let Some(registry) = Registry::start() else { return };
    let (ours, theirs, made) =
        (registry.name("odd:ours"), registry.name("odd:theirs"), registry.name("made"));
    box_.run(&format!("tag odd {ours}")).success();
    box_.run(&format!("push {ours}")).success();
    docker.types(&["rmi", "-f", "odd"]);
    docker.types(&["pull", &ours]);
    assert_eq!(docker.types(&["run", "--rm", "--network", "none", &ours, "sh", "-c", LOOK]), seen);
    docker.types(&["tag", &ours, &theirs]);
    docker.types(&["push", &theirs]);
    docker.types(&["tag", "made", &made]);
    docker.types(&["push", &made]);
    let other = box_.beside();
    other.run(&format!("pull {theirs}")).success();
    expect_same(&before, &files(&other, &theirs), "docker's push");
    other.run(&format!("pull {made}")).success();
    assert_eq!(other.in_image(&made, LOOK), seen);
}

#[test]
fn through_buildah_and_back() {
    if !has("buildah") {
        eprintln!("skipped: buildah is not installed");
        return;
    }
    let box_ = Sandbox::new();
    odd(&box_);
    let before = files(&box_, "odd");
    let place = |name: &str| box_.dir().join(name).display().to_string();
    box_.run("save -o ours.tar odd").success();
    box_.run("save --format oci-archive -o busybox.tar busybox").success();
    buildah(&box_, &["pull", &format!("docker-archive:{}", place("ours.tar"))]);
    let container = buildah(&box_, &["from", "--pull-never", "localhost/odd"]);
    let run = ["run", "--isolation", "chroot", container.trim(), "--", "sh", "-c", LOOK];
    assert_eq!(buildah(&box_, &run), box_.in_image("odd", LOOK));
    for format in ["docker-archive", "oci-archive"] {
        buildah(&box_, &["push", "localhost/odd", &format!("{format}:{}", place(format))]);
        expect_loaded(&box_, &place(format), &before, &format!("buildah's {format}"));
    }
    let base = buildah(&box_, &["pull", &format!("oci-archive:{}", place("busybox.tar"))]);
    buildah(&box_, &["tag", base.trim(), "localhost/busybox"]);
    let context = box_.dir().display().to_string();
    buildah(
        &box_,
        &["build", "--isolation", "chroot", "--cap-add", "MKNOD", "--pull-never", "-t", "made", &context],
    );
    buildah(&box_, &["push", "localhost/made", &format!("oci-archive:{}", place("made.tar"))]);
    expect_made(&box_, &place("made.tar"));
}

/// With storage of its own that goes with the test.
fn buildah(box_: &Sandbox, args: &[&str]) -> String {
    let root = box_.dir().parent().unwrap().join("buildah");
    let own = [format!("--root={}", root.display()), format!("--runroot={}", root.join("run").display())];
    let mut command = Command::new("buildah");
    command.args(own).arg("--storage-driver=vfs").args(args).env("TMPDIR", box_.dir());
    let output = command.output().unwrap();
    assert!(output.status.success(), "buildah {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn through_skopeo_to_layouts_and_archives_and_back() {
    if !has("skopeo") {
        eprintln!("skipped: skopeo is not installed");
        return;
    }
    let box_ = Sandbox::new();
    odd(&box_);
    let before = files(&box_, "odd");
    expect_odd(&before);
    // Not all engines make layers with such attributes, and with such times.
    assert!(before["odd/cap"].contains("user.note") && before["odd/old"].contains("Ok(\"mtime\")="));
    let place = |name: &str| box_.dir().join(name).display().to_string();
    box_.run("save -o ours.tar odd").success();
    box_.run("save --format oci-archive -o ours-oci.tar odd").success();
    let copy = |from: &str, to: &str| host(&["skopeo", "--insecure-policy", "copy", "--quiet", from, to]);
    copy(&format!("docker-archive:{}", place("ours.tar")), &format!("oci:{}:odd", place("layout")));
    expect_loaded(&box_, &place("layout"), &before, "a copy to an OCI layout");
    copy(&format!("oci:{}:odd", place("layout")), &format!("docker-archive:{}:odd:v2", place("theirs.tar")));
    expect_loaded(&box_, &place("theirs.tar"), &before, "a copy to a docker archive");
    copy(
        &format!("oci-archive:{}", place("ours-oci.tar")),
        &format!("oci-archive:{}:odd", place("theirs-oci.tar")),
    );
    expect_loaded(&box_, &place("theirs-oci.tar"), &before, "a copy from OCI archive to OCI archive");
}

#[test]
fn through_podman_s_store_and_a_registry_and_back() {
    if !has("podman") {
        eprintln!("skipped: podman is not installed");
        return;
    }
    let box_ = Sandbox::new();
    odd(&box_);
    let before = files(&box_, "odd");
    box_.run("save -o ours.tar odd").success();
    let place = |name: &str| box_.dir().join(name).display().to_string();
    podman(&box_, &["load", "-i", &place("ours.tar")]);
    let name = "docker.io/library/odd:latest";
    for format in ["docker-archive", "oci-archive"] {
        podman(&box_, &["save", "--format", format, "-o", &place(format), name]);
        expect_loaded(&box_, &place(format), &before, &format!("podman's {format}"));
    }
    let Some(registry) = Registry::start() else { return };
    box_.run(&format!("tag odd {}", registry.name("odd:ours"))).success();
    box_.run(&format!("push {}", registry.name("odd:ours"))).success();
    podman(&box_, &["pull", "--tls-verify=false", &registry.name("odd:ours")]);
    let theirs = registry.name("odd:theirs");
    podman(&box_, &["push", "--tls-verify=false", &registry.name("odd:ours"), &theirs]);
    let other = box_.beside();
    other.run(&format!("pull {theirs}")).success();
    expect_same(&before, &files(&other, &theirs), "podman's push");
}

#[test]
fn umoci_unpacks_what_we_save_and_we_load_what_it_repacks() {
    if !has("umoci") {
        eprintln!("skipped: umoci is not installed");
        return;
    }
    let box_ = Sandbox::new();
    odd(&box_);
    let before = files(&box_, "odd");
    box_.run("save --format oci-archive -o ours.tar odd").success();
    let (layout, bundle) = (box_.dir().join("layout"), box_.dir().join("bundle"));
    fs::create_dir(&layout).unwrap();
    host(&["tar", "-C", layout.to_str().unwrap(), "-xf", box_.dir().join("ours.tar").to_str().unwrap()]);
    let tag = tag_of(&layout);
    let image = format!("{}:{tag}", layout.display());
    host(&["umoci", "unpack", "--image", &image, bundle.to_str().unwrap()]);
    let root = bundle.join("rootfs");
    let (one, three) =
        (fs::metadata(root.join("odd/hard-1")).unwrap(), fs::metadata(root.join("odd/hard-3")).unwrap());
    assert_eq!((one.ino(), one.mode() & 0o7777, one.nlink()), (three.ino(), 0o6640, 2));
    let device = fs::symlink_metadata(root.join("odd/null")).unwrap();
    assert!(device.file_type().is_char_device() && device.rdev() == 0x103);
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(root.join("odd/cap"), "security.capability", &mut value).unwrap();
    assert_eq!(&value[..length], CAPABILITY);
    assert!(
        root.join(long_name()).exists() && !root.join("keep/gone").exists() && !root.join("dir/old").exists()
    );

    fs::write(root.join("added"), "added\n").unwrap();
    host(&["umoci", "repack", "--image", &format!("{}:two", layout.display()), bundle.to_str().unwrap()]);
    let other = box_.beside();
    other.wharf(["load", "-i", layout.to_str().unwrap()]).success();
    // It kept the annotation with our name for the image, and came after the first.
    let mut after = files(&other, "odd");
    assert!(after.remove("added").is_some(), "{:?}", after.keys());
    after.retain(|name, _| before.contains_key(name));
    // What was unpacked and packed again has the times of then.
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(after["odd/cap"], before["odd/cap"]);
    assert_eq!(other.in_image("odd", "cat /dir/new /added"), "new\nadded\n");
}

/// What the only image of a layout is called.
fn tag_of(layout: &Path) -> String {
    let index = fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let name = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    name.as_str().unwrap_or_else(|| panic!("no name in {index}")).to_owned()
}
