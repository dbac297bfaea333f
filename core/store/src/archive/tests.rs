//! Whole journeys: import, save, load, and what goes wrong on the way.

use std::fs;
use std::path::Path;

use serde_json::json;
use wharf_model::image::ImageConfig;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Platform, Reference};

use super::sample::{Home, Mounted};
use super::*;
use crate::Store;
use crate::layer::sample::{Tar, is_root};

mod hostile;
mod platforms;

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    home: Home,
}

impl Bench {
    fn new(format: LayerFormat) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(dir, format)
    }

    fn at(dir: tempfile::TempDir, format: LayerFormat) -> Self {
        let store = Store::open(dir.path()).unwrap();
        let home = Home::new(dir.path(), format);
        Self { dir, store, home }
    }

    fn import(&mut self, tar: &[u8], name: &str) -> Result<Digest, LoadError> {
        let config = ImageConfig::empty(&Platform::host());
        let names = vec![name.parse().unwrap()];
        let how = Import { config, names, message: Some("from a test".into()), epoch: None };
        import(&self.store, tar, &mut self.home, &how)
    }

    fn save(&mut self, image: Digest) -> Result<Vec<u8>, SaveError> {
        let names = self.store.image(&image).unwrap().unwrap().names;
        let mut out = Vec::new();
        let saved = Saved { image, names, index: None, only: Vec::new(), statement: None };
        save(&self.store, &[saved], &mut self.home, Form::Docker, &mut out).map(|()| out)
    }

    fn load(&mut self, archive: &[u8]) -> Result<Vec<Loaded>, LoadError> {
        load(&self.store, archive, &[], &mut self.home)
    }

    /// It fails with these words, and nothing of it is left.
    #[track_caller]
    fn refuses(&mut self, archive: &[u8], words: &[&str]) {
        let text = chain(&self.load(archive).unwrap_err());
        for word in words {
            assert!(text.contains(word), "{text}\ndoes not say\n{word}");
        }
        assert!(self.store.images().unwrap().is_empty() && self.store.layers().unwrap().is_empty(), "{text}");
        assert!(self.home.is_clean(0), "{text}");
        assert_eq!(self.files("blobs/incoming"), 0, "{text}");
        self.store.sweep().unwrap();
        assert_eq!(self.files("blobs/sha256"), 0, "{text}");
    }

    fn files(&self, path: &str) -> usize {
        fs::read_dir(self.dir.path().join(path)).unwrap().count()
    }
}

/// An error with all of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn root_tar() -> Vec<u8> {
    Tar::default()
        .dir("./")
        .dir("bin/")
        .file("bin/tool", b"#!/bin/tool\n")
        .hard("bin/alias", "bin/tool")
        .end()
}

#[test]
fn privileged_importing_twice_gives_one_image() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new(LayerFormat::Overlay);
    let first = bench.import(&root_tar(), "a").unwrap();
    let packed = zstd::encode_all(root_tar().as_slice(), 1).unwrap();
    assert_eq!(bench.import(&root_tar(), "b").unwrap(), first);
    assert_eq!(bench.import(&packed, "c").unwrap(), first);
    let image = bench.store.resolve("c").unwrap();
    assert_eq!((image.names.len(), image.size), (3, 12));
    assert_eq!(image.config.created.as_deref(), Some("2001-09-09T01:46:40Z"));
    assert_eq!(image.layers[0].blob, Some(Digest::of(root_tar())));
    assert!(bench.home.is_clean(1));
    assert_eq!(bench.files("blobs/incoming"), 0);
}

/// The index that an archive's only entry leads to, with what is said about the image.
fn said(archive: &[u8]) -> (serde_json::Value, serde_json::Value, Vec<u8>) {
    let mut files = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        files.insert(path, content);
    }
    let read = |digest: &serde_json::Value| {
        let path = format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        (files[&path].clone(), Digest::of(&files[&path]).to_string())
    };
    let json = |digest: &serde_json::Value| -> serde_json::Value {
        let (text, found) = read(digest);
        assert_eq!(digest.as_str(), Some(&*found));
        serde_json::from_slice(&text).unwrap()
    };
    let top: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(top["manifests"][0]["mediaType"], INDEX_TYPE);
    let index = json(&top["manifests"][0]["digest"]);
    let manifest = json(&index["manifests"][1]["digest"]);
    let statement = read(&manifest["layers"][0]["digest"]).0;
    (index, manifest, statement)
}

#[test]
fn privileged_what_is_said_about_an_image_is_beside_it() {
    if !is_root() {
        return;
    }
    let mut here = Bench::new(LayerFormat::Overlay);
    let image = here.import(&root_tar(), "a").unwrap();
    let statement = Statement { predicate_type: "https://kind".into(), text: b"{\"said\": 1}".to_vec() };
    let saved = Saved {
        image,
        names: here.store.image(&image).unwrap().unwrap().names,
        index: None,
        only: Vec::new(),
        statement: Some(statement.clone()),
    };
    let mut archive = Vec::new();
    save(&here.store, std::slice::from_ref(&saved), &mut here.home, Form::Oci, &mut archive).unwrap();
    let (index, manifest, text) = said(&archive);
    assert_eq!(text, statement.text);
    let about = &index["manifests"][0];
    assert_eq!(about["digest"], here.store.image(&image).unwrap().unwrap().manifest.to_string());
    assert_eq!(about["platform"], json!(Platform::host()));
    let beside = &index["manifests"][1];
    assert_eq!(beside["platform"], json!({ "architecture": "unknown", "os": "unknown" }));
    assert_eq!(
        beside["annotations"],
        json!({ "vnd.docker.reference.digest": about["digest"], "vnd.docker.reference.type": "attestation-manifest" })
    );
    assert_eq!(manifest["layers"][0]["annotations"], json!({ "in-toto.io/predicate-type": "https://kind" }));

    let mut there = Bench::new(LayerFormat::Tree);
    let loaded = there.load(&archive).unwrap();
    assert_eq!((loaded.len(), loaded[0].id, loaded[0].names.len()), (1, image, 1));
    // Docker's list has no place for it.
    let mut plain = Vec::new();
    save(&here.store, &[saved], &mut here.home, Form::Docker, &mut plain).unwrap();
    assert_eq!(plain, here.save(image).unwrap());
}

#[test]
fn privileged_saved_images_load_elsewhere() {
    if !is_root() {
        return;
    }
    for format in [LayerFormat::Overlay, LayerFormat::Tree] {
        let mut here = Bench::new(format);
        let base = here.import(&root_tar(), "localhost:5000/base:1").unwrap();
        let built = here.home.build(&here.store, |root| {
            fs::write(root.join("made"), "here").unwrap();
            fs::write(root.join("n".repeat(180)), "").unwrap();
        });
        let mut config = ImageConfig::empty(&Platform::host());
        config.rootfs.diff_ids = vec![built.diff_id];
        let name: Reference = "built".parse().unwrap();
        let own = here.store.commit(&config, &[name]).unwrap();

        for image in [base, own] {
            let archive = here.save(image).unwrap();
            assert_eq!(archive, here.save(image).unwrap(), "the same bytes each time");
            let mut there = Bench::new(LayerFormat::Tree);
            let loaded = there.load(&archive).unwrap();
            assert_eq!((loaded.len(), loaded[0].id, loaded[0].names.len()), (1, image, 1));
            assert_eq!(there.load(&archive).unwrap(), loaded);
            assert_eq!(there.home.placed, 1, "what is there is not unpacked again");
            assert_eq!(there.save(image).unwrap(), archive);
            there.store.sweep().unwrap();
            assert_eq!(there.save(image).unwrap(), archive);
        }
    }
}

#[test]
fn privileged_an_oci_layout_without_dockers_list_loads() {
    if !is_root() {
        return;
    }
    let mut here = Bench::new(LayerFormat::Overlay);
    let image = here.import(&root_tar(), "a:1").unwrap();
    let archive = here.save(image).unwrap();
    let mut without = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path_bytes() != b"manifest.json".as_slice() {
            without.append(&entry.header().clone(), entry).unwrap();
        }
    }
    let mut there = Bench::new(LayerFormat::Overlay);
    let loaded = there.load(&without.into_inner().unwrap()).unwrap();
    assert_eq!((loaded[0].id, loaded[0].names[0].familiar()), (image, "a:1".into()));
}

/// An archive as old docker wrote them, with these layers.
fn docker_archive(layers: &[(&str, &[u8])], diff_ids: &[Digest]) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Env": null },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let paths: Vec<&str> = layers.iter().map(|(path, _)| *path).collect();
    let list = json!([{ "Config": "config.json", "RepoTags": ["old:1"], "Layers": paths }]);
    let files = layers.iter().fold(Tar::default(), |tar, (path, bytes)| tar.file(path, bytes));
    let files = files.file("config.json", config.to_string().as_bytes());
    files.file("manifest.json", list.to_string().as_bytes()).end()
}

#[test]
fn privileged_layers_may_be_packed_and_linked() {
    if !is_root() {
        return;
    }
    let (low, high) = (root_tar(), Tar::default().file("bin/.wh.tool", b"").end());
    let packed = zstd::encode_all(low.as_slice(), 1).unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&low), Digest::of(&high)] },
    });
    let list = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["1/layer.tar", "2/layer.tar"] }]);
    let archive = Tar::default()
        .file("0/layer.tar", &packed)
        .symlink("1/layer.tar", "../0/layer.tar")
        .file("2/layer.tar", &high)
        .file("c.json", config.to_string().as_bytes())
        .file("manifest.json", list.to_string().as_bytes())
        .end();
    let mut bench = Bench::new(LayerFormat::Tree);
    let loaded = bench.load(&archive).unwrap();
    let image = bench.store.image(&loaded[0].id).unwrap().unwrap();
    assert_eq!(image.layers[0].blob, Some(Digest::of(&packed)));
    let top = bench.home.path(&image.layers[1].chain_id);
    assert!(top.join("bin/alias").exists() && !top.join("bin/tool").exists());
}

#[test]
fn privileged_bad_archives_leave_nothing() {
    if !is_root() {
        return;
    }
    let layer = root_tar();
    let evil = Tar::default().file("../../evil", b"x").end();
    let half = &layer[..700];
    for (archive, words) in [
        (b"not a tar at all".to_vec(), "not a tar archive"),
        (Tar::default().file("readme", b"x").end(), "not an image archive"),
        (Tar::default().file("repositories", b"{}").file("a/json", b"{}").end(), "before 1.10"),
        (docker_archive(&[("l.tar", &layer)], &[Digest::of("other")]), "expected sha256"),
        (docker_archive(&[("l.tar", &layer)], &[]), "the archive lists 1"),
        (docker_archive(&[("l.tar", &evil)], &[Digest::of(&evil)]), "is refused"),
        (docker_archive(&[("l.tar", half)], &[Digest::of(half)]), "ends in the middle"),
        (
            Tar::default().file("manifest.json", br#"[{"Config":"../../etc/passwd","Layers":[]}]"#).end(),
            "not in it",
        ),
        (Tar::default().symlink("manifest.json", "/etc/passwd").end(), "not an image archive"),
        (Tar::default().symlink("manifest.json", "manifest.json").end(), "not an image archive"),
        (docker_archive(&[("l.tar", &layer)], &[Digest::of(&layer)])[..2000].to_vec(), "archive"),
    ] {
        Bench::new(LayerFormat::Overlay).refuses(&archive, &[words]);
    }
}

#[test]
fn privileged_a_changed_layer_is_not_saved_as_the_old_one() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new(LayerFormat::Overlay);
    let layer = bench.home.build(&bench.store, |root| fs::write(root.join("a"), "1").unwrap());
    let mut config = ImageConfig::empty(&Platform::host());
    config.rootfs.diff_ids = vec![layer.diff_id];
    let image = bench.store.commit(&config, &[]).unwrap();
    fs::write(bench.home.path(&layer.chain_id).join("a"), "2").unwrap();
    assert!(matches!(bench.save(image), Err(SaveError::Changed { .. })));
}

/// The file under a mounted file system holds exactly what reached the disk.
#[test]
fn privileged_an_image_survives_a_power_cut() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy"));
    fs::File::create(&disk).unwrap().set_len(96 << 20).unwrap();
    let made = std::process::Command::new("mkfs.ext4").arg("-q").arg(&disk).status();
    let mount = |file: &Path| Mounted::new(&["-o", "loop", file.to_str().unwrap()]);
    let Some(before) = made.is_ok_and(|status| status.success()).then(|| mount(&disk)).flatten() else {
        println!("skipped: needs mkfs.ext4 and loop devices");
        return;
    };
    let tar = Tar::default().file("big", &vec![7; 5 << 20]).file("small", b"x").end();
    let archive = docker_archive(&[("l.tar", &tar)], &[Digest::of(&tar)]);
    let store = Store::open(before.path()).unwrap();
    let mut home = Home::new(before.path(), LayerFormat::Overlay);
    let loaded = load(&store, archive.as_slice(), &[], &mut home).unwrap();
    fs::copy(&disk, &copy).unwrap();

    let after = mount(&copy).unwrap();
    let store = Store::open(after.path()).unwrap();
    let home = Home::new(after.path(), LayerFormat::Overlay);
    let image = store.resolve("old:1").unwrap();
    assert_eq!(image.id, loaded[0].id);
    for digest in [image.id, image.manifest, image.layers[0].blob.unwrap()] {
        store.blobs().verify(&digest).unwrap();
    }
    let layer = home.path(&image.layers[0].chain_id);
    assert_eq!(fs::read(layer.join("big")).unwrap(), vec![7; 5 << 20]);
    assert_eq!(fs::read(layer.join("small")).unwrap(), b"x");
}

#[test]
fn privileged_a_full_disk_leaves_nothing_half() {
    if !is_root() {
        return;
    }
    let names: Vec<String> = (0..20).map(|number| format!("small{number}")).collect();
    let many = names.iter().fold(Tar::default(), |tar, name| tar.file(name, b"x"));
    let big = many.file("big", &vec![7; 3 << 20]).end();
    let archive = docker_archive(&[("l.tar", &big)], &[Digest::of(&big)]);
    for size in ["size=2m", "size=5m", "size=16m,nr_inodes=25"] {
        let disk = Mounted::new(&["-t", "tmpfs", "-o", size, "wharf-store-test"]).unwrap();
        let store = Store::open(disk.path()).unwrap();
        let mut home = Home::new(disk.path(), LayerFormat::Overlay);
        let text = chain(&load(&store, archive.as_slice(), &[], &mut home).unwrap_err());
        assert!(text.contains(if size.contains("inodes") { "no inodes" } else { "space" }), "{size}: {text}");
        assert!(store.images().unwrap().is_empty() && home.is_clean(0), "{size}");
        assert_eq!(fs::read_dir(disk.path().join("blobs/incoming")).unwrap().count(), 0);
        store.sweep().unwrap();
        assert_eq!(fs::read_dir(disk.path().join("blobs/sha256")).unwrap().count(), 0);
        let small = Tar::default().file("small", b"x").end();
        let again = docker_archive(&[("l.tar", &small)], &[Digest::of(&small)]);
        if !size.contains("inodes") {
            load(&store, again.as_slice(), &[], &mut home).unwrap();
        }
    }
}
