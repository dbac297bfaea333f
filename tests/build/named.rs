//! `--build-context NAME=VALUE`: further contexts, and what they take the place of.

use crate::harness::{Page, Sandbox, Web, host};

fn files(box_: &Sandbox) {
    box_.write("other/one", "1\n");
    box_.write("other/sub/two", "2\n");
    box_.write("other/left-out", "");
    box_.write("other/.dockerignore", "left-out\n.dockerignore\n");
}

#[test]
fn a_directory_with_a_name_is_copied_mounted_and_stood_on() {
    let box_ = Sandbox::new();
    files(&box_);
    host(&["chown", "1000:1000", box_.dir().join("other/one").to_str().unwrap()]);
    box_.write(
        "Dockerfile",
        "FROM busybox\nCOPY --from=more sub/two one /c/\n\
         RUN --mount=type=bind,from=more,source=sub,target=/m cat /m/two > /mounted\n\
         FROM more\nCOPY --from=0 /c /mounted /all/\nCOPY --from=busybox /bin /bin\n",
    );
    let built = box_.run("build --build-context more=other -t n .").success();
    assert_eq!(
        box_.in_image("n", "cat /all/two /all/one /all/mounted; stat -c '%u %n' /one /sub/two; ls /"),
        "2\n1\n2\n0 /one\n0 /sub/two\nall\nbin\ndev\netc\none\nproc\nsub\nsys\n",
        "{built}"
    );
    box_.run("build --build-context more=other -t n .").success().without("DONE");
    box_.write("other/sub/two", "changed\n");
    box_.run("build --build-context more=other -t n .").success().without("CACHED");
    assert_eq!(box_.in_image("n", "cat /all/mounted"), "changed\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:4", "more"]);
}

#[test]
fn a_name_wins_over_a_stage_and_an_image() {
    let box_ = Sandbox::new();
    files(&box_);
    box_.build(
        "base",
        "FROM busybox\nENV FROM=base\nRUN echo other > /who\nONBUILD RUN echo trigger > /on\n",
    );
    box_.write(
        "Dockerfile",
        "FROM busybox AS tools\nRUN exit 9\nFROM tools AS next\nFROM alpine:3\nCOPY --from=tools /one /tools\n\
         COPY --from=0 /one /by-number\nCOPY --from=next /sub /next\n",
    );
    let line = "build --build-context tools=other --build-context alpine:3=docker-image://base -t n .";
    box_.run(line).success();
    assert_eq!(
        box_.in_image("n", "cat /who /on /tools /by-number /next/two; echo $FROM"),
        "other\ntrigger\n1\n1\n2\nbase\n"
    );
    // A stage that a context takes the place of is the whole stage.
    box_.run("build --build-context tools=docker-image://base --target tools -t t .").success();
    assert_eq!(box_.in_image("t", "cat /who"), "other\n");
    let missing = ["build", "--build-context", "tools=docker-image://nothing", "."];
    box_.refuses(1, &missing, &["nothing", "not found"]);
}

#[test]
fn a_name_may_stand_for_what_the_web_has() {
    let box_ = Sandbox::new();
    files(&box_);
    let (dir, tar) = (box_.dir().join("other"), box_.dir().join("other.tar"));
    host(&["tar", "-C", dir.to_str().unwrap(), "-czf", tar.to_str().unwrap(), "."]);
    let page = |body: Vec<u8>| Page { headers: vec![], body };
    let web = Web::serve([
        ("/o.tar.gz", page(std::fs::read(tar).unwrap())),
        ("/file.txt", page(b"text\n".to_vec())),
    ]);
    box_.write("Dockerfile", "FROM busybox\nCOPY --from=packed . /p/\nCOPY --from=file . /f/\n");
    let (packed, file) =
        (format!("packed={}", web.url("/o.tar.gz")), format!("file={}", web.url("/file.txt")));
    let line = ["build", "--build-context", &packed, "--build-context", &file, "-t", "n", "."];
    box_.wharf(line).success();
    assert_eq!(box_.in_image("n", "ls /p /f; cat /f/*"), "/f:\nfile.txt\n\n/p:\none\nsub\ntext\n");
    box_.wharf(line).success().without("DONE");
}

#[test]
fn a_name_may_stand_for_an_image_of_an_oci_layout() {
    let box_ = Sandbox::new();
    box_.build("base", "FROM busybox\nENV FROM=layout\nRUN echo layout > /who\n");
    box_.run("save -o base.tar base").success();
    let layout = box_.dir().join("layout");
    std::fs::create_dir(&layout).unwrap();
    host(&["tar", "-C", layout.to_str().unwrap(), "-xf", box_.dir().join("base.tar").to_str().unwrap()]);
    let id = box_.inspect("base", "{{.Id}}");
    box_.run("rmi base").success();
    box_.run("builder prune -af").success();
    let index = box_.read("layout/index.json");
    let digest = index.split("sha256:").nth(1).unwrap()[..64].to_owned();
    box_.write("ctx/Dockerfile", "FROM given\nCOPY --from=given /who /copied\n");
    for (suffix, words) in [("", ""), (&format!("@sha256:{digest}"), ""), (":nothing", "nothing")] {
        let given = format!("given=oci-layout://layout{suffix}");
        let built = box_.wharf(["build", "--build-context", &given, "-t", "n", "ctx"]);
        if words.is_empty() {
            let built = built.success();
            assert_eq!(
                box_.in_image("n", "cat /who /copied; echo $FROM"),
                "layout\nlayout\nlayout\n",
                "{built}"
            );
        } else {
            built.fails(1).says(words);
        }
    }
    assert!(!box_.run("images").success().stdout.contains("base"), "the layout's names are not taken");
    assert_eq!(box_.wharf(["inspect", "-f", "{{.Id}}", &id]).success().line(), id);
    // What is not what its name says is refused.
    box_.run("rmi -f n").success();
    box_.wharf(["rmi", "-f", &id]);
    let blob = layout.join("blobs/sha256").join(&digest);
    let mut text = std::fs::read(&blob).unwrap();
    text.push(b' ');
    std::fs::write(&blob, text).unwrap();
    let before = box_.traces();
    box_.run("build --build-context given=oci-layout://layout -t n ctx").fails(1).says(&digest);
    box_.left_nothing_since(&before);
}

#[test]
fn what_is_no_context_is_refused() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\n");
    box_.write("file", "");
    for (given, words) in [
        ("a", "NAME=VALUE"),
        ("a b=.", "a b"),
        ("a=missing", "missing"),
        ("a=file", "file"),
        ("a=target:b", "target"),
        ("a=oci-layout://missing", "missing"),
        ("a=docker-image://missing", "missing"),
    ] {
        box_.refuses(1, &["build", "--build-context", given, "."], &[words]);
    }
}
