//! Archives that somebody made to do harm.

use super::*;

/// So much of a tmpfs is free.
const SMALL_DISK: &str = "size=32m";

/// Half a gigabyte of zeros as a layer, packed.
fn bombs() -> Vec<(&'static str, Vec<u8>, Digest)> {
    let zeros = vec![0; 512 << 20];
    let layer = Tar::default().file("zeros", &zeros).end();
    let digest = Digest::of(&layer);
    let gzip = crate::registry::sample::gzip(&layer);
    let twice = crate::registry::sample::gzip(&gzip);
    let zstd = zstd::encode_all(layer.as_slice(), 1).unwrap();
    assert!(gzip.len() < 8 << 20 && zstd.len() < 1 << 20);
    vec![("gzip", gzip, digest), ("zstd", zstd, digest), ("gzip twice", twice, digest)]
}

#[test]
fn privileged_a_bomb_ends_before_the_disk_is_full() {
    if !is_root() {
        return;
    }
    for (kind, bomb, digest) in bombs() {
        let disk = Mounted::new(&["-t", "tmpfs", "-o", SMALL_DISK, "wharf-store-test"]).unwrap();
        let store = Store::open(disk.path()).unwrap();
        let mut home = Home::new(disk.path(), LayerFormat::Overlay);
        let archive = docker_archive(&[("bomb/layer.tar", &bomb)], &[digest]);
        let text = chain(&load(&store, archive.as_slice(), &[], &mut home).unwrap_err());
        assert!(text.contains("`bomb/layer.tar`"), "{kind}: {text}");
        if kind != "gzip twice" {
            assert!(text.contains("there is no space for more"), "{kind}: {text}");
        }
        assert!(store.images().unwrap().is_empty() && home.is_clean(0), "{kind}");
        assert_eq!(fs::read_dir(disk.path().join("blobs/incoming")).unwrap().count(), 0, "{kind}");
        let good = root_tar();
        load(&store, docker_archive(&[("l", &good)], &[Digest::of(&good)]).as_slice(), &[], &mut home)
            .unwrap();
    }
    // The archive itself may be one.
    let zeros = vec![0; 512 << 20];
    let whole = zstd::encode_all(Tar::default().file("zeros", &zeros).end().as_slice(), 1).unwrap();
    let disk = Mounted::new(&["-t", "tmpfs", "-o", SMALL_DISK, "wharf-store-test"]).unwrap();
    let store = Store::open(disk.path()).unwrap();
    let mut home = Home::new(disk.path(), LayerFormat::Overlay);
    let text = chain(&load(&store, whole.as_slice(), &[], &mut home).unwrap_err());
    assert!(text.contains("there is no space for more"), "{text}");
    assert_eq!(fs::read_dir(disk.path().join("blobs/incoming")).unwrap().count(), 0);
}

#[test]
fn privileged_a_hostile_entry_is_named_with_its_layer() {
    if !is_root() {
        return;
    }
    let good = root_tar();
    for (entry, words) in [
        (Tar::default().file("../evil", b"x"), "`../evil` of the archive is refused"),
        (Tar::default().file(".wh.", b""), "`.wh.` of the archive is refused: it is a whiteout of nothing"),
        (Tar::default().file("d/.wh...", b""), "`d/.wh...` of the archive is refused: it is a whiteout"),
        (Tar::default().file("d/.wh..", b""), "`d/.wh..` of the archive is refused: it is a whiteout"),
        (Tar::default().file(".wh./x", b""), "`.wh./x` of the archive is refused"),
        (Tar::default().file("a/.wh.b/x", b""), "`a/.wh.b/x` of the archive is refused"),
        (Tar::default().hard("x", "../etc/passwd"), "`x` of the archive is refused"),
        (Tar::default().hard("x", "etc/passwd"), "`x` is a hard link to `etc/passwd`"),
        (Tar::default().file("f", b"").file("f/below", b""), "cannot make `f/below`"),
        (Tar::default().symlink("l", "l").file("l/below", b""), "cannot make `l/below`"),
        (Tar::default().pax(&[("size", b"-1")]).file("f", b"x"), "a PAX number is not one"),
    ] {
        let evil = entry.end();
        let archive = docker_archive(
            &[("1/layer.tar", &good), ("2/layer.tar", &evil)],
            &[Digest::of(&good), Digest::of(&evil)],
        );
        let mut bench = Bench::new(LayerFormat::Overlay);
        let text = chain(&bench.load(&archive).unwrap_err());
        assert!(text.contains("`2/layer.tar`") && text.contains(words), "{text}\ndoes not say\n{words}");
        assert!(bench.store.images().unwrap().is_empty());
        // The layer below was whole; the next clean-up takes it.
        assert!(bench.home.is_clean(1), "{text}");
        assert_eq!(bench.store.unused_layers().unwrap().len(), 1);
    }
}

/// What lists it knows how long it is, and what it hashes to.
#[test]
fn privileged_blobs_of_a_layout_are_what_they_are_listed_as() {
    if !is_root() {
        return;
    }
    let layer = root_tar();
    let longer = [layer.as_slice(), &[0; 512]].concat();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
    })
    .to_string();
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let part = |bytes: &[u8], size: usize| json!({ "digest": Digest::of(bytes), "size": size });
    let layout = |config_is: &str, layer_is: &[u8], sizes: (usize, usize)| {
        let manifest = json!({
            "schemaVersion": 2,
            "config": part(config.as_bytes(), sizes.0),
            "layers": [part(&layer, sizes.1)],
        })
        .to_string();
        let index = json!({ "manifests": [part(manifest.as_bytes(), manifest.len())] }).to_string();
        Tar::default()
            .file(&path(&layer), layer_is)
            .file(&path(config.as_bytes()), config_is.as_bytes())
            .file(&path(manifest.as_bytes()), manifest.as_bytes())
            .file("index.json", index.as_bytes())
            .end()
    };
    let sizes = (config.len(), layer.len());
    Bench::new(LayerFormat::Overlay).load(&layout(&config, &layer, sizes)).unwrap();
    let spaced = config.replace(':', ": ");
    let (more, less) = ((sizes.0, sizes.1 + 1), (sizes.0, sizes.1 - 1));
    for (archive, words) in [
        (layout(&spaced, &layer, sizes), "its digest is"),
        (layout(&config, &layer, (sizes.0 + 1, sizes.1)), "bytes, but"),
        (layout(&config, &longer, sizes), "its digest is"),
        (layout(&config, &layer[..layer.len() - 512], sizes), "its digest is"),
        (layout(&config, &layer, more), "bytes, but"),
        (layout(&config, &layer, less), "bytes, but"),
    ] {
        Bench::new(LayerFormat::Overlay).refuses(&archive, &[words, "blobs/sha256/"]);
    }
    // Nor where the layer is here.
    let mut bench = Bench::new(LayerFormat::Overlay);
    bench.load(&layout(&config, &layer, sizes)).unwrap();
    let text = chain(&bench.load(&layout(&config, &layer, more)).unwrap_err());
    assert!(text.contains("bytes, but") && text.contains("blobs/sha256/"), "{text}");
}
