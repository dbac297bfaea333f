//! build --output: where the result goes.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::harness::{Sandbox, has, host};

const FILES: &str = "FROM busybox AS made\n\
    RUN mkdir -p /out/sub && echo one > /out/sub/a && chmod 750 /out/sub/a && chown 7:8 /out/sub/a && ln -s a /out/sub/soft\n\
    FROM scratch\nCOPY --from=made /out /\n";

#[test]
fn a_directory_gets_the_files_and_they_belong_to_the_caller() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", FILES);
    box_.write("out/kept", "kept\n");
    box_.run("build -o out .").success();
    assert_eq!((box_.read("out/sub/a"), box_.read("out/kept")), ("one\n".into(), "kept\n".into()));
    let file = fs::metadata(box_.dir().join("out/sub/a")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o750, 0, 0));
    assert_eq!(fs::read_link(box_.dir().join("out/sub/soft")).unwrap().to_str(), Some("a"));
    // No image is left, and what was built is in the cache.
    box_.run("images -q -a").success().prints(&format!("{}\n", &box_.inspect("busybox", "{{.Id}}")[7..19]));
    let again = box_.run("build --progress plain -o type=local,dest=new/deep .").success();
    assert!(again.stderr.contains("CACHED"), "{again}");
    assert_eq!(box_.read("new/deep/sub/a"), "one\n");
}

#[test]
fn nothing_is_written_through_links_out_of_the_directory() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", FILES);
    for target in ["../victim", box_.dir().join("victim").to_str().unwrap()] {
        fs::create_dir_all(box_.dir().join("victim")).unwrap();
        fs::create_dir_all(box_.dir().join("out")).unwrap();
        symlink(target, box_.dir().join("out/sub")).unwrap();
        box_.run("build -o out .");
        assert_eq!(fs::read_dir(box_.dir().join("victim")).unwrap().count(), 0, "through {target}");
        fs::remove_dir_all(box_.dir().join("out")).unwrap();
    }
    box_.write("Dockerfile", "FROM busybox AS made\nRUN mkdir /out && ln -s /etc /out/etc\nFROM scratch\nCOPY --from=made /out /\n");
    box_.run("build -o out .").success();
    box_.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /etc/wharf-was-here\n");
    box_.run("build -o out .");
    assert!(!std::path::Path::new("/etc/wharf-was-here").exists());
}

#[test]
fn a_tar_goes_to_a_file_or_to_standard_output_with_the_same_bytes() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", FILES);
    box_.run("build -o type=tar,dest=a.tar .").success().prints("");
    host(&["sh", "-c", &format!("cd {} && tar -tvf a.tar | grep -q '7/8.*sub/a'", box_.dir().display())]);
    let piped = box_.command(["build", "-q", "-o", "-", "."]).output().unwrap();
    assert!(piped.status.success());
    assert!(fs::read(box_.dir().join("a.tar")).unwrap() == piped.stdout, "the same bytes");
    box_.run("build -o type=tar,dest=missing/a.tar .").fails(1).says("missing/a.tar");
    box_.run("build -o type=tar,dest=- -o type=oci .").fails(1).says("several results");
}

#[test]
fn archives_are_read_by_us_and_by_others() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", FILES);
    box_.run("build -t app:v1 -o type=oci,dest=oci.tar -o type=docker,dest=docker.tar -o type=oci,tar=false,dest=layout .")
        .success();
    assert!(!box_.run("images").success().stdout.contains("app"));
    box_.run("build -t app:v1 .").success();
    let id = box_.inspect("app:v1", "{{.Id}}");
    for from in ["oci.tar", "docker.tar", "layout"] {
        let other = box_.beside();
        let path = box_.dir().join(from);
        other.wharf(["load", "-i", path.to_str().unwrap()]).success().prints("Loaded image: app:v1\n");
        assert_eq!(other.inspect("app:v1", "{{.Id}}"), id, "from {from}");
    }
    if !has("skopeo") {
        eprintln!("skipped: skopeo is not installed");
        return;
    }
    for source in ["oci-archive:oci.tar:v1", "docker-archive:docker.tar:app:v1", "oci:layout:v1"] {
        let line = format!("cd {} && skopeo inspect --config {source}", box_.dir().display());
        host(&["sh", "-c", &line]);
    }
}

#[test]
fn an_image_can_go_to_several_places_and_keep_its_name() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", FILES);
    box_.run("build -t app --load -o type=local,dest=out -o type=tar,dest=a.tar .").success();
    assert!(box_.dir().join("out/sub/a").exists() && box_.dir().join("a.tar").exists());
    assert!(box_.inspect("app", "{{.Id}}").starts_with("sha256:"));
    box_.run("build -o type=image,name=other:v2 .").success();
    assert_eq!(box_.inspect("other:v2", "{{.Id}}"), box_.inspect("app", "{{.Id}}"));
    box_.run("build --push .").fails(1).says("tag is needed when pushing to registry");
    box_.run("build -o type=cacheonly .").success();
}

#[test]
fn what_is_no_layout_is_not_loaded() {
    let box_ = Sandbox::new();
    box_.write("empty/file", "");
    box_.run("load -i empty").fails(1).says("index.json");
    box_.write("bad/index.json", r#"{"manifests":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}"#);
    fs::create_dir_all(box_.dir().join("bad/blobs/sha256")).unwrap();
    box_.run("load -i bad").fails(1).says("not in it");
    symlink("/etc/passwd", box_.dir().join("bad/blobs/sha256/0000")).unwrap();
    box_.run("load -i bad").fails(1);
}
