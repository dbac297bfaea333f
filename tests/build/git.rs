//! ADD of a git repository, and a repository as the build context.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Sandbox, free_port, host};

/// A bare repository behind `git daemon` on the loopback.
struct Repository {
    directory: PathBuf,
    port: u16,
    daemon: Child,
}

impl Repository {
    fn new(box_: &Sandbox) -> Self {
        let directory = box_.dir().parent().unwrap().join("repositories");
        std::fs::create_dir_all(directory.join("app.git")).unwrap();
        git(&directory.join("app.git"), &["init", "--quiet", "--bare", "--initial-branch=main"]);
        git(&directory, &["clone", "--quiet", "app.git", "work"]);
        let port = free_port();
        let daemon = Command::new("git")
            .args(["daemon", "--reuseaddr", "--listen=127.0.0.1", "--export-all", "--log-destination=none"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", directory.display()))
            .arg(&directory)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        crate::harness::eventually("git daemon answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { directory, port, daemon }
    }

    /// Writes files, commits and pushes; the commit's name.
    fn commit(&self, files: &[(&str, &str)]) -> String {
        let work = self.directory.join("work");
        for (path, content) in files {
            std::fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
            std::fs::write(work.join(path), content).unwrap();
        }
        git(&work, &["add", "--all"]);
        git(&work, &["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn push(&self, arguments: &[&str]) {
        let work = self.directory.join("work");
        git(&work, &[&["push", "--quiet", "origin"], arguments].concat());
    }

    fn url(&self) -> String {
        format!("git://127.0.0.1:{}/app.git", self.port)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // `git` itself is the parent of the daemon.
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
    host(&[&["git", "-C", at.to_str().unwrap()], &who[..], arguments].concat())
}

#[test]
fn add_of_a_repository_puts_its_files_there() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let first =
        repository.commit(&[("README", "one\n"), ("docs/a.txt", "a\n"), ("tool", "#!/bin/sh\necho run\n")]);
    let tool = repository.directory.join("work/tool");
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    repository.commit(&[]);
    let url = repository.url();
    box_.build("g", &format!("FROM busybox\nADD {url} /src\nADD {url}#main:docs /docs/\n"));
    assert_eq!(
        box_.in_image("g", "cd /src; ls -A; stat -c '%a %u:%g' README tool docs; cat /docs/a.txt; ls /docs"),
        "README\ndocs\ntool\n644 0:0\n755 0:0\n755 0:0\na\na.txt\n"
    );
    let old = box_.build("o", &format!("FROM busybox\nADD --chown=1:2 --chmod=600 {url}#{first}:docs /d/\n"));
    assert_eq!(box_.in_image("o", "stat -c '%a %u:%g' /d/a.txt"), "600 1:2\n", "{old}");
}

#[test]
fn a_repository_is_fetched_again_only_when_its_commit_changed() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let first = repository.commit(&[("file", "1\n")]);
    let dockerfile = format!("FROM busybox\nADD {} /src\n", repository.url());
    box_.build("g", &dockerfile);
    box_.build("g", &dockerfile).says("CACHED");
    let id = box_.inspect("g", "{{.Id}}");
    let second = repository.commit(&[("file", "2\n")]);
    assert!(!box_.build("g", &dockerfile).stderr.contains("CACHED"));
    assert_eq!(box_.in_image("g", "cat /src/file"), "2\n");
    // The same commit by another way is the same layer.
    let url = repository.url();
    box_.build("g", &format!("FROM busybox\nADD {url}#{first} /src\n"));
    assert_eq!(box_.in_image("g", "cat /src/file"), "1\n");
    let layers = |name: &str| box_.inspect(name, "{{json .RootFS.Layers}}");
    let by_commit = layers("g");
    box_.build("again", &dockerfile.replace("/src", "/src/")); // another line, another key
    assert_ne!(layers("again"), by_commit);
    box_.run("rmi again").success();
    assert_ne!(box_.inspect("g", "{{.Id}}"), id, "the line is another one");
    // A whole commit that is in the cache needs no server.
    let dockerfile = format!("FROM busybox\nADD {url}#{second} /src\n");
    box_.build("p", &dockerfile);
    drop(repository);
    box_.build("p", &dockerfile).says("CACHED");
}

#[test]
fn branches_tags_and_queries_name_commits() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    repository.commit(&[("file", "tagged\n")]);
    let work = repository.directory.join("work");
    git(&work, &["tag", "-a", "v1", "-m", "one"]);
    git(&work, &["tag", "light"]);
    repository.push(&["v1", "light"]);
    repository.commit(&[("file", "branched\n"), ("sub/deep/x", "deep\n")]);
    repository.push(&["HEAD:refs/heads/feature/x", "HEAD:refs/heads/v1"]);
    let url = repository.url();
    for (address, content) in [
        (format!("{url}#light"), "tagged\n"),
        (format!("{url}#refs/tags/v1"), "tagged\n"),
        (format!("{url}#v1"), "branched\n"),
        (format!("{url}#feature/x"), "branched\n"),
        (format!("{url}?tag=v1"), "tagged\n"),
        (format!("{url}?branch=feature/x"), "branched\n"),
    ] {
        box_.build("g", &format!("FROM busybox\nADD {address} /src\n"));
        assert_eq!(box_.in_image("g", "cat /src/file"), content, "for {address}");
    }
    box_.build("g", &format!("FROM busybox\nADD {url}?subdir=sub/deep /src\n"));
    assert_eq!(box_.in_image("g", "ls /src"), "x\n");
}

#[test]
fn checksums_are_compared_with_the_commit() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let commit = repository.commit(&[("file", "x\n")]);
    let url = repository.url();
    box_.build("g", &format!("FROM busybox\nADD --checksum={} {url} /src\n", &commit[..12]));
    box_.build("g", &format!("FROM busybox\nADD --checksum={commit} {url}#main /src\n"));
    // What a branch stands for is asked each time, and compared before the cache is looked at.
    let next = repository.commit(&[("file", "y\n")]);
    box_.write("Dockerfile", format!("FROM busybox\nADD --checksum={commit} {url}#main /src\n"));
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", &next, &commit]);
    box_.build("g", &format!("FROM busybox\nADD --checksum={commit} {url}#{commit} /src\n"));
    assert_eq!(box_.in_image("g", "cat /src/file"), "x\n");
    let commit = next;
    let wrong = if commit.starts_with('a') { "b" } else { "a" }.repeat(40);
    let build = ["build", "-t", "x", "."];
    box_.write("Dockerfile", format!("FROM busybox\nADD --checksum={wrong} {url} /src\n"));
    box_.refuses(1, &build, &["Dockerfile:2", &url, &commit, &wrong]);
    box_.write("Dockerfile", format!("FROM busybox\nADD --checksum=sha256:{wrong} {url} /src\n"));
    box_.refuses(1, &build, &["Dockerfile:2", "is not a commit"]);
}

#[test]
fn git_directories_are_kept_on_request_and_always_the_same() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let commit = repository.commit(&[("file", "x\n"), ("dir/other", "y\n")]);
    let dockerfile = format!("FROM busybox\nADD --keep-git-dir=true {} /src\n", repository.url());
    box_.build("g", &dockerfile);
    let kept = box_.in_image(
        "g",
        "cat /src/.git/HEAD /src/.git/shallow; ls /src/.git | grep -c -e logs -e FETCH_HEAD; ls -A /src",
    );
    assert_eq!(kept, format!("{commit}\n{commit}\n0\n.git\ndir\nfile\n"));
    let id = box_.inspect("g", "{{.Id}}");
    box_.write("Dockerfile", &dockerfile);
    box_.run("build --no-cache -t g .").success();
    assert_eq!(box_.inspect("g", "{{.Id}}"), id, "the same commit gives the same bytes");
    let url = format!("{}?keep-git-dir=0", repository.url());
    box_.write("Dockerfile", format!("FROM busybox\nADD --keep-git-dir {url} /src\n"));
    box_.refuses(1, &["build", "."], &["Dockerfile:2", "inconsistent keep-git-dir configuration"]);
    box_.write("Dockerfile", "FROM busybox\nADD --keep-git-dir=true Dockerfile /src\n");
    box_.run("build -t x .").success().says("--keep-git-dir is for git repositories");
}

#[test]
fn submodules_come_along() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let part = repository.directory.join("part.git");
    std::fs::create_dir(&part).unwrap();
    git(&part, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    git(&repository.directory, &["clone", "--quiet", "part.git", "part"]);
    let part = repository.directory.join("part");
    std::fs::write(part.join("inner"), "of the part\n").unwrap();
    git(&part, &["add", "--all"]);
    git(&part, &["commit", "--quiet", "-m", "part"]);
    git(&part, &["push", "--quiet", "origin", "HEAD:main"]);
    let work = repository.directory.join("work");
    git(&work, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    git(&work, &["submodule", "--quiet", "add", "../part.git", "vendor/part"]);
    repository.commit(&[("file", "x\n")]);
    box_.build("g", &format!("FROM busybox\nADD {} /src\n", repository.url()));
    assert_eq!(
        box_.in_image("g", "cat /src/vendor/part/inner; find /src -name .git | wc -l"),
        "of the part\n0\n"
    );
}

#[test]
fn failures_name_the_repository_the_reference_and_the_cause() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    repository.commit(&[("file", "x\n")]);
    let url = repository.url();
    let missing = format!("git://127.0.0.1:{}/none.git", repository.port);
    let nobody = format!("git://127.0.0.1:{}/app.git", free_port());
    for (address, said) in [
        (format!("{url}#none"), vec!["app.git#none", "no such branch, tag or commit", "git ls-remote"]),
        (format!("{url}#{}", "1".repeat(40)), vec!["app.git#1111", "cannot fetch"]),
        (format!("{url}#main:none"), vec!["none"]),
        (missing.clone(), vec!["cannot reach", "none.git"]),
        (nobody.clone(), vec!["cannot reach", "refused"]),
        ("https://127.0.0.1:9/x.git".to_owned(), vec!["cannot reach https://127.0.0.1:9/x.git"]),
        (format!("{url}#--upload-pack=touch"), vec!["no name of a branch"]),
        (format!("{url}?unknown=1"), vec!["unexpected query", "known: ref"]),
    ] {
        box_.write("Dockerfile", format!("FROM busybox\nADD {address} /src\n"));
        let said: Vec<&str> = ["Dockerfile:2"].into_iter().chain(said).collect();
        box_.refuses(1, &["build", "-t", "x", "."], &said);
    }
}

/// Neither a hook nor a setting of the user, nor a program that the repository names, is run.
#[test]
fn nothing_of_the_user_or_the_repository_is_run() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    repository.commit(&[("file", "x\n"), (".gitattributes", "file filter=evil\n")]);
    let home = box_.dir().parent().unwrap().join("home");
    let trap = home.join("trapped");
    let settings = format!(
        "[filter \"evil\"]\n\tsmudge = touch {0}\n[core]\n\thooksPath = {1}\n\tgitProxy = touch {0}\n",
        trap.display(),
        home.display()
    );
    std::fs::write(home.join(".gitconfig"), settings).unwrap();
    let hook = home.join("post-checkout");
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", trap.display())).unwrap();
    host(&["chmod", "755", hook.to_str().unwrap()]);
    box_.set("GIT_CONFIG_COUNT", "1");
    box_.set("GIT_CONFIG_KEY_0", "core.hooksPath");
    box_.set("GIT_CONFIG_VALUE_0", home.to_str().unwrap());
    box_.build("g", &format!("FROM busybox\nADD --keep-git-dir {} /src\n", repository.url()));
    assert!(!trap.exists());
    assert_eq!(box_.in_image("g", "cat /src/file"), "x\n");
}

#[test]
fn a_server_that_only_has_files_will_do() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    repository.commit(&[("file", "dumb\n")]);
    let bare = repository.directory.join("app.git");
    git(&bare, &["update-server-info"]);
    let web = crate::harness::Web::serve([]);
    let listed = host(&["find", bare.to_str().unwrap(), "-type", "f"]);
    for path in listed.lines() {
        let page = crate::harness::Page { headers: vec![], body: std::fs::read(path).unwrap() };
        let name = path.strip_prefix(bare.to_str().unwrap()).unwrap();
        web.put(&format!("/app.git{name}"), page.clone());
        web.put(&format!("/app.git{name}?service=git-upload-pack"), page);
    }
    box_.build("g", &format!("FROM busybox\nADD {} /src\n", web.url("/app.git")));
    assert_eq!(box_.in_image("g", "cat /src/file"), "dumb\n");
}

#[test]
fn what_a_repository_gave_is_in_the_provenance() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    let commit = repository.commit(&[("Dockerfile", "FROM busybox\nCOPY file /\n"), ("file", "1\n")]);
    let url = repository.url();
    let said = |image: &str| {
        let said = box_.run(&format!("image attachment {image} provenance.json")).success().json();
        said["predicate"].clone()
    };
    box_.run(&format!("build --provenance=true -t whole {url}#main")).success();
    let predicate = said("whole");
    let source = &predicate["buildDefinition"]["externalParameters"]["configSource"];
    assert_eq!(source["uri"], format!("{url}#main"));
    assert_eq!((&source["digest"]["sha1"], &source["path"]), (&commit.as_str().into(), &"Dockerfile".into()));
    let complete = &predicate["runDetails"]["metadata"]["buildkit_completeness"]["resolvedDependencies"];
    assert_eq!((complete, predicate.to_string().contains("\"locals\"")), (&true.into(), false));

    let dockerfile =
        format!("FROM scratch\nCOPY --from=more /file /\nADD --checksum={commit} {url}#main /src\n");
    box_.write("Dockerfile", dockerfile);
    box_.run(&format!("build --provenance=true --build-context more={url} -t parts .")).success();
    let predicate = said("parts");
    let listed = predicate["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    let mut listed: Vec<(&str, &str)> = listed
        .iter()
        .map(|one| (one["uri"].as_str().unwrap(), one["digest"]["sha1"].as_str().unwrap()))
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, [(url.as_str(), commit.as_str()), (format!("{url}#main").as_str(), commit.as_str())]);
}

#[test]
fn a_repository_is_a_build_context() {
    let box_ = Sandbox::new();
    let repository = Repository::new(&box_);
    repository.commit(&[
        ("Dockerfile", "FROM busybox\nCOPY file /top\n"),
        ("file", "top\n"),
        ("sub/Dockerfile", "FROM busybox\nCOPY file /sub\n"),
        ("sub/other.docker", "FROM busybox\nCOPY file /other\n"),
        ("sub/file", "sub\n"),
    ]);
    let url = repository.url();
    box_.run(&format!("build -t top {url}")).success();
    assert_eq!(box_.in_image("top", "cat /top"), "top\n");
    assert!(box_.run(&format!("build -t top {url}#main")).success().stderr.contains("CACHED"));
    box_.run(&format!("build -t sub {url}#main:sub")).success();
    assert_eq!(box_.in_image("sub", "cat /sub"), "sub\n");
    box_.run(&format!("build -t other -f other.docker {url}#main:sub")).success();
    assert_eq!(box_.in_image("other", "cat /other"), "sub\n");
    let (all, keeping) = ("COPY . /all\n", "--build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1");
    repository.commit(&[("Dockerfile", &format!("FROM busybox\n{all}"))]);
    box_.run(&format!("build -t gone {url}")).success();
    box_.run(&format!("build -t kept {keeping} {url}")).success();
    let kept = ["gone", "kept"].map(|image| box_.in_image(image, "ls -A /all | grep -c '^.git$'; true"));
    assert_eq!(kept, ["0\n", "1\n"]);
    let work = repository.directory.join("work");
    std::os::unix::fs::symlink("/etc", work.join("out")).unwrap();
    repository.commit(&[]);
    let out = format!("{url}#main:out");
    box_.refuses(1, &["build", "-t", "x", &out], &["a link leads out of the repository"]);
    let none = format!("{url}#none");
    box_.refuses(1, &["build", "-t", "x", &none], &["app.git#none", "no such branch"]);
}
