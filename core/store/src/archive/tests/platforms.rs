//! Archives with images for several platforms.

use super::*;

const OTHER: &str = "linux/s390x";

/// Blobs of a layout, and its index.
#[derive(Default, Clone)]
struct Layout {
    tar: Tar,
    entries: Vec<serde_json::Value>,
}

impl Layout {
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = Digest::of(bytes);
        let path = format!("blobs/sha256/{}", digest.hex());
        self.tar = std::mem::take(&mut self.tar).file(&path, bytes);
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    /// An image with one file, as docker writes its manifests; its entry in an index.
    fn image(&mut self, platform: &Platform) -> serde_json::Value {
        let layer = Tar::default().file("for", platform.to_string().as_bytes()).end();
        let packed = zstd::encode_all(layer.as_slice(), 1).unwrap();
        let config = json!({
            "architecture": platform.architecture, "os": platform.os,
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        });
        let config =
            self.blob("application/vnd.docker.container.image.v1+json", config.to_string().as_bytes());
        let layer = self.blob("application/vnd.docker.image.rootfs.diff.tar.zstd", &packed);
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "layers": [layer], "config": config });
        let mut entry = self.blob(kind, format!("{manifest:#}").as_bytes());
        entry["platform"] = json!(platform);
        entry
    }

    fn name(&mut self, name: &str, mut entry: serde_json::Value) {
        entry["annotations"] = json!({ "io.containerd.image.name": name });
        self.entries.push(entry);
    }

    fn end(self) -> Vec<u8> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": self.entries });
        self.tar.file("index.json", index.to_string().as_bytes()).end()
    }
}

/// One name for two platforms and one that is not in the archive; and the digests of the index and its images.
fn two() -> (Layout, Digest) {
    let mut layout = Layout::default();
    let (own, other) = (layout.image(&Platform::host()), layout.image(&OTHER.parse().unwrap()));
    let mut missing = Layout::default().image(&"linux/ppc64le".parse().unwrap());
    missing["platform"] = json!({ "os": "linux", "architecture": "ppc64le" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [other, missing, own] })
        .to_string();
    let index = layout.blob(INDEX_TYPE, index.as_bytes());
    let digest = index["digest"].as_str().unwrap().parse().unwrap();
    layout.name("docker.io/library/app:1", index);
    (layout, digest)
}

#[test]
fn privileged_all_platforms_of_a_name_come_and_go_together() {
    if !is_root() {
        return;
    }
    let (layout, index) = two();
    let mut bench = Bench::new(LayerFormat::Overlay);
    let loaded = bench.load(&layout.end()).unwrap();
    assert_eq!(loaded.len(), 2);
    let name: Reference = "app:1".parse().unwrap();
    assert!(loaded.iter().all(|image| image.names == [name.clone()]), "{loaded:?}");
    assert_eq!(bench.store.index_of(&name).unwrap(), Some(index));
    assert_eq!(bench.store.resolve("app:1").unwrap().config.platform(), Platform::host());
    bench.store.sweep().unwrap();

    // The index goes on as it came, whatever it lists that is not here.
    let usual = bench.store.resolve("app:1").unwrap();
    let saved = Saved {
        image: usual.id,
        names: vec![name.clone()],
        index: Some(index),
        only: Vec::new(),
        statement: None,
    };
    let mut archive = Vec::new();
    save(&bench.store, std::slice::from_ref(&saved), &mut bench.home, Form::Docker, &mut archive).unwrap();
    let mut there = Bench::new(LayerFormat::Tree);
    let again = there.load(&archive).unwrap();
    let ids =
        |loaded: &[Loaded]| loaded.iter().map(|image| image.id).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((ids(&again), again.len()), (ids(&loaded), 2));
    assert_eq!(there.store.index_of(&name).unwrap(), Some(index));
    let mut third = Vec::new();
    save(&there.store, std::slice::from_ref(&saved), &mut there.home, Form::Docker, &mut third).unwrap();
    assert_eq!(third, archive);

    // Some of its images are an index as well.
    let other = loaded.iter().map(|image| image.id).find(|id| *id != usual.id).unwrap();
    for (only, count) in [(vec![usual.id], 1), (vec![usual.id, other], 2)] {
        let saved = Saved { only, ..saved.clone() };
        let mut some = Vec::new();
        save(&bench.store, &[saved], &mut bench.home, Form::Docker, &mut some).unwrap();
        let mut there = Bench::new(LayerFormat::Tree);
        assert_eq!(there.load(&some).unwrap().len(), count);
        assert_eq!(there.store.index_of(&name).unwrap(), Some(index));
    }

    // Without the index it is one image, as docker's list has it.
    let alone = there.save(usual.id).unwrap();
    assert_eq!(Bench::new(LayerFormat::Tree).load(&alone).unwrap()[0].id, usual.id);
}

#[test]
fn privileged_a_platform_chooses_and_has_to_be_there() {
    if !is_root() {
        return;
    }
    let (mut layout, _) = two();
    let load_for = |archive: &[u8], platform: &str| {
        let mut bench = Bench::new(LayerFormat::Overlay);
        let platforms: Vec<Platform> = platform.split(',').map(|it| it.parse().unwrap()).collect();
        let loaded = load(&bench.store, archive, &platforms, &mut bench.home);
        let loaded = loaded.map_err(|error| error.to_string());
        assert_eq!(bench.store.images().unwrap().len(), loaded.as_ref().map_or(0, Vec::len));
        let images = bench.store.images().unwrap();
        let mut there: Vec<String> = images.iter().map(|image| image.config.platform().to_string()).collect();
        there.sort();
        loaded.map(|_| there.join(","))
    };
    let archive = layout.clone().end();
    assert_eq!(load_for(&archive, OTHER).unwrap(), OTHER);
    assert_eq!(load_for(&archive, &Platform::host().to_string()).unwrap(), Platform::host().to_string());
    let refused = load_for(&archive, "linux/riscv64").unwrap_err();
    let there = format!("app:1 has nothing for linux/riscv64, only {}, {OTHER}", Platform::host());
    assert_eq!(refused, there);
    let both = format!("{OTHER},{}", Platform::host());
    let mut names: Vec<&str> = both.split(',').collect();
    names.sort_unstable();
    assert_eq!(load_for(&archive, &both).unwrap(), names.join(","));
    assert_eq!(load_for(&archive, &format!("{OTHER},linux/riscv64")).unwrap_err(), there);
    // Nothing is left out without a word.
    let alone = layout.image(&Platform::host());
    layout.name("docker.io/library/alone:1", alone);
    let refused = load_for(&layout.end(), OTHER).unwrap_err();
    assert_eq!(refused, format!("alone:1 has nothing for {OTHER}, only {}", Platform::host()));
    // Docker's list does not say for what its images are; their configs do.
    let layer = root_tar();
    let old = docker_archive(&[("l.tar", &layer)], &[Digest::of(&layer)]);
    assert_eq!(load_for(&old, "linux/amd64").unwrap(), "linux/amd64");
    let refused = load_for(&old, "linux/arm64").unwrap_err();
    assert_eq!(refused, "old:1 has nothing for linux/arm64, only linux/amd64");
}

#[test]
fn privileged_a_list_says_what_an_index_does_not() {
    if !is_root() {
        return;
    }
    let mut layout = Layout::default();
    let entry = layout.image(&Platform::host());
    layout.entries.push(entry);
    let archive = layout.end();
    let nameless = Bench::new(LayerFormat::Overlay).load(&archive).unwrap();
    assert!(nameless[0].names.is_empty());
    let id = nameless[0].id;
    let layer = Tar::default().file("for", Platform::host().to_string().as_bytes()).end();
    let packed = Digest::of(zstd::encode_all(layer.as_slice(), 1).unwrap());
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let list =
        json!([{ "Config": path(&id), "RepoTags": ["said:1"], "Layers": [path(&packed)] }]).to_string();
    // The end of a tar is two empty blocks.
    let both =
        [&archive[..archive.len() - 1024], &Tar::default().file("manifest.json", list.as_bytes()).end()];
    let loaded = Bench::new(LayerFormat::Overlay).load(&both.concat()).unwrap();
    assert_eq!((loaded.len(), loaded[0].id, loaded[0].names[0].familiar()), (1, id, "said:1".into()));
}
