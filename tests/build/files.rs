//! ADD and COPY: which files, where, with what owner and mode.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Page, Sandbox, Web, host};

/// A tar with one file, packed by a program of the host.
fn archive(box_: &Sandbox, name: &str, option: &str) {
    box_.write("packed/inner/file.txt", "unpacked\n");
    let (dir, name) = (box_.dir(), box_.dir().join(name));
    let dir = dir.join("packed");
    host(&["tar", "-C", dir.to_str().unwrap(), option, "-cf", name.to_str().unwrap(), "inner"]);
}

#[test]
fn add_puts_a_file_into_a_directory_that_is_there() {
    let box_ = Sandbox::new();
    let file = box_.write("database.ini", "[db]\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    host(&["chown", "1000:1000", file.to_str().unwrap()]);
    box_.build("a", "FROM busybox\nADD ./database.ini /root\n");
    assert_eq!(
        box_.in_image("a", "stat -c '%n %u:%g %a' /root/database.ini"),
        "/root/database.ini 0:0 640\n"
    );
}

#[test]
fn add_puts_the_contents_of_a_directory_there() {
    let box_ = Sandbox::new();
    box_.write("src/main.c", "int main;\n");
    box_.write("src/deep/er.h", "\n");
    box_.build("a", "FROM busybox\nADD ./src /root\nCOPY src /made/on/the/way\n");
    assert_eq!(
        box_.in_image("a", "cd /root; find . -type f | sort; ls /made/on/the/way"),
        "./deep/er.h\n./main.c\ndeep\nmain.c\n"
    );
}

#[test]
fn add_of_a_url_without_a_file_name_makes_index_html() {
    let box_ = Sandbox::new();
    let page = || Page { headers: vec![], body: b"<html>".to_vec() };
    let web = Web::serve([("/", page()), ("/file.txt", page())]);
    let built = box_.build(
        "a",
        &format!(
            "FROM busybox\nADD {} /root\nADD {file} /root/\nADD {file} /root/renamed\n",
            web.url("").trim_end_matches('/'),
            file = web.url("/file.txt")
        ),
    );
    built.says("index.html");
    let listed = box_.in_image("a", "cd /root; stat -c '%n %a %u' *; cat index.html");
    assert_eq!(listed, "file.txt 600 0\nindex.html 600 0\nrenamed 600 0\n<html>");
}

#[test]
fn add_of_a_url_is_cached_until_the_page_changes() {
    let box_ = Sandbox::new();
    let page = |body: &str| Page { headers: vec![], body: body.as_bytes().to_vec() };
    let web = Web::serve([("/page", page("first"))]);
    let dockerfile = format!("FROM busybox\nADD {} /page\n", web.url("/page"));
    box_.build("a", &dockerfile);
    box_.build("a", &dockerfile).says("CACHED");
    web.put("/page", page("second"));
    box_.build("a", &dockerfile);
    assert_eq!(box_.in_image("a", "cat /page"), "second");
}

/// The server is asked each time, and sends a page again only when it is another one.
#[test]
fn add_of_a_url_downloads_again_what_has_changed_only() {
    let box_ = Sandbox::new();
    let at = |time, body: &str| Page { headers: vec![("Last-Modified", time)], body: body.into() };
    let tagged = |tag, body: &str| Page { headers: vec![("ETag", tag)], body: body.into() };
    let (noon, later) = ("Sun, 06 Nov 1994 12:00:00 GMT", "Sun, 06 Nov 1994 12:00:01 GMT");
    let web = Web::serve([("/timed", at(noon, "1")), ("/tagged", tagged("\"a\"", "1"))]);
    let dockerfile =
        format!("FROM busybox\nADD {} /timed\nADD {} /tagged\n", web.url("/timed"), web.url("/tagged"));
    let layers = || box_.inspect("a", "{{join .RootFS.Layers \" \"}}");
    box_.build("a", &dockerfile).without("CACHED");
    assert_eq!(web.answers(), ["200 /timed", "200 /tagged"]);
    assert_eq!(box_.in_image("a", "stat -c '%Y %a' /timed; cat /timed /tagged"), "784123200 600\n11");
    let first = layers();

    let again = box_.build("a", &dockerfile);
    assert_eq!(again.stderr.matches("CACHED").count(), 2, "{again}");
    assert_eq!(web.answers(), ["304 /timed", "304 /tagged"]);
    assert_eq!(layers(), first);

    // Without the layers, what was downloaded is still here.
    box_.run("build --no-cache -t a .").success();
    assert_eq!((web.answers(), layers()), (vec!["304 /timed".into(), "304 /tagged".into()], first.clone()));

    web.put("/tagged", tagged("\"b\"", "2"));
    let changed = box_.build("a", &dockerfile);
    assert_eq!(changed.stderr.matches("CACHED").count(), 1, "{changed}");
    assert_eq!(web.answers(), ["304 /timed", "200 /tagged"]);
    assert_eq!(box_.in_image("a", "cat /timed /tagged"), "12");

    // The same bytes under another time are another file.
    web.put("/timed", at(later, "1"));
    box_.build("a", &dockerfile).without("CACHED");
    assert_eq!(web.answers(), ["200 /timed", "304 /tagged"]);
    assert_eq!(box_.in_image("a", "stat -c %Y /timed"), "784123201\n");

    // Another tag for the same bytes is the same file.
    web.put("/tagged", tagged("\"c\"", "2"));
    let same = box_.build("a", &dockerfile);
    assert_eq!(same.stderr.matches("CACHED").count(), 2, "{same}");
    assert_eq!(web.answers(), ["304 /timed", "200 /tagged"]);

    // What is known by its digest is asked about once.
    let digest = host(&["sh", "-c", "printf 2 | sha256sum"])[..64].to_owned();
    let pinned = format!("FROM busybox\nADD --checksum=sha256:{digest} {} /tagged\n", web.url("/tagged"));
    box_.build("a", &pinned);
    assert_eq!(web.answers(), [] as [&str; 0]);
    web.put("/tagged", tagged("\"d\"", "3"));
    box_.build("a", &pinned).says("CACHED");
    assert_eq!(web.answers(), [] as [&str; 0]);
}

#[test]
fn add_of_a_url_that_does_not_answer_says_which_and_why() {
    let box_ = Sandbox::new();
    let web = Web::serve([]);
    let missing = web.url("/missing");
    for (url, cause) in [
        ("http://no-such-host.invalid/x", ""),
        ("http://127.0.0.1:9/x", "refused"),
        (missing.as_str(), "404"),
    ] {
        box_.write("Dockerfile", format!("FROM busybox\nADD {url} /root\n"));
        box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", url, cause]);
    }
}

#[test]
fn add_unpacks_archives_by_what_is_in_them() {
    let box_ = Sandbox::new();
    for (name, option) in [
        ("code.tar", "--no-auto-compress"),
        ("code.gz", "--gzip"),
        ("code.bz2", "--bzip2"),
        ("code.xz", "--xz"),
        ("code.zst", "--zstd"),
    ] {
        archive(&box_, name, option);
        box_.build("a", &format!("FROM busybox\nADD {name} /root\n"));
        let found = box_.in_image("a", "cd /root; find . -type f; cat inner/file.txt");
        assert_eq!(found, "./inner/file.txt\nunpacked\n", "for {name}");
    }
}

#[test]
fn add_copies_what_is_only_called_an_archive() {
    let box_ = Sandbox::new();
    box_.write("fake.tar.gz", "no archive\n");
    box_.build("a", "FROM busybox\nADD fake.tar.gz /root/\n");
    assert_eq!(box_.in_image("a", "cat /root/fake.tar.gz"), "no archive\n");
}

#[test]
fn copy_never_unpacks_and_never_downloads() {
    let box_ = Sandbox::new();
    archive(&box_, "code.tar", "--no-auto-compress");
    box_.build("c", "FROM busybox\nCOPY code.tar /root/\n");
    assert_eq!(box_.in_image("c", "ls /root"), "code.tar\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY http://www.baidu.com /root\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "ADD"]);
}

#[test]
fn copy_follows_the_rules_for_destinations() {
    let box_ = Sandbox::new();
    box_.write("a.txt", "a");
    box_.write("b.txt", "b");
    std::os::unix::fs::symlink("a.txt", box_.dir().join("link")).unwrap();
    box_.build(
        "c",
        "FROM busybox\nCOPY a.txt /as/this\nCOPY a.txt /in/this/\nCOPY *.txt /both/\nCOPY [\"a.txt\", \"/with blank/\"]\n\
         COPY --chown=sailor:crew --chmod=600 a.txt /owned\nCOPY link /followed\nCOPY /../../a.txt /up\nCOPY no*match /x/\n",
    );
    let script = "ls /as /in/this /both '/with blank'; stat -c '%U:%G %a' /owned; cat /followed /up; test -L /followed; echo $?";
    let found = box_.in_image("c", script);
    assert_eq!(
        found,
        "/as:\nthis\n\n/both:\na.txt\nb.txt\n\n/in/this:\na.txt\n\n/with blank:\na.txt\nsailor:crew 600\naa1\n"
    );
}

/// A directory stands for what is in it, however its name is written.
#[test]
fn copy_of_directories_copies_what_is_in_them() {
    let box_ = Sandbox::new();
    box_.write("conf/a/one", "");
    box_.write("conf/b/two", "");
    box_.write("conf/three", "");
    box_.build("c", "FROM busybox\nCOPY conf/a /x/\nCOPY conf/a/ /y\nCOPY conf/* /z/\nCOPY conf /w/conf\n");
    assert_eq!(
        box_.in_image("c", "ls /x /y /z; cd /w; find . -type f | sort"),
        "/x:\none\n\n/y:\none\n\n/z:\none\nthree\ntwo\n./conf/a/one\n./conf/b/two\n./conf/three\n"
    );
}

#[test]
fn copy_refuses_what_does_not_fit_where_it_goes() {
    let box_ = Sandbox::new();
    box_.write("a", "");
    box_.write("b", "");
    box_.write("dir/file", "");
    box_.write("clash/file/inner", "");
    for (lines, words) in [
        ("COPY a b /dest", "destination must be a directory"),
        ("COPY * /dest", "not a directory"),
        ("COPY a /file\nCOPY dir /file", "/file"),
        ("COPY dir /d\nCOPY clash /d", "/d/file"),
        ("COPY clash /d\nCOPY dir /d", "/d/file"),
        ("COPY --chown=nobody-here a /x", "nobody-here"),
        ("COPY --chown=root:no-group a /x", "no-group"),
        ("COPY --chmod=9 a /x", "9"),
    ] {
        box_.write("Dockerfile", format!("FROM busybox\n{lines}\n"));
        box_.run("build -t x .")
            .fails(1)
            .says(&format!("Dockerfile:{}", lines.lines().count() + 1))
            .says(words);
    }
}

#[test]
fn copy_goes_through_links_of_the_image_and_makes_parents_for_root() {
    let box_ = Sandbox::new();
    let file = box_.write("file", "1");
    host(&["chown", "7:8", file.to_str().unwrap()]);
    box_.build(
        "c",
        "FROM busybox\nRUN mkdir -p /real/sub && ln -s real /link && ln -s nowhere /file-link\n\
         COPY file /link/\nCOPY file /link/sub/name\nCOPY file /file-link\nCOPY file /new/made/\n\
         COPY --chown=1 file /one\nCOPY --chown=1:2 file /more/two\nCOPY --chmod=u+x,go= file /mode\n",
    );
    let script = "ls /real /real/sub; test -L /link; stat -c '%n %u:%g %a' /real/file /new /new/made /one /more /more/two /mode";
    assert_eq!(
        box_.in_image("c", script),
        "/real:\nfile\nsub\n\n/real/sub:\nname\n/real/file 0:0 644\n/new 0:0 755\n/new/made 0:0 755\n\
         /one 1:1 644\n/more 1:2 755\n/more/two 1:2 644\n/mode 0:0 700\n"
    );
}

#[test]
fn add_of_an_archive_keeps_owners_and_its_destination_is_a_directory() {
    let box_ = Sandbox::new();
    let file = box_.write("packed/tool", "x");
    host(&["chown", "12:34", file.to_str().unwrap()]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4750)).unwrap();
    let dir = box_.dir();
    let tar = dir.join("tool.txt");
    host(&["tar", "-C", dir.join("packed").to_str().unwrap(), "-czf", tar.to_str().unwrap(), "tool"]);
    box_.write("empty.tar.gz", "");
    box_.build(
        "a",
        "FROM busybox\nADD tool.txt /dest\nADD --chown=5:6 tool.txt /mine\nADD empty.tar.gz /e/\n",
    );
    assert_eq!(
        box_.in_image("a", "stat -c '%n %u:%g %a' /dest/tool /mine/tool; ls /e"),
        "/dest/tool 12:34 4750\n/mine/tool 5:6 4750\nempty.tar.gz\n"
    );
}

#[test]
fn copy_names_the_file_that_is_not_in_the_context() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\n\nCOPY missing /x\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:3", "missing", "not found"]);
}

#[test]
fn copy_can_not_be_led_out_of_the_context() {
    let box_ = Sandbox::new();
    std::os::unix::fs::symlink("/etc", box_.dir().join("out")).unwrap();
    box_.write("Dockerfile", "FROM busybox\nCOPY out/hostname /x\n");
    box_.run("build -t x .").fails(1).says("Dockerfile:2");
    box_.write("Dockerfile", "FROM busybox\nRUN ln -s /etc /leads\nCOPY Dockerfile /leads/here\n");
    box_.run("build -t x .").success();
    assert!(!std::path::Path::new("/etc/here").exists());
    assert!(box_.in_image("x", "cat /etc/here").starts_with("FROM"));
}

#[test]
fn a_heredoc_is_a_script_or_a_file() {
    let box_ = Sandbox::new();
    let built = box_
        .build("h", "FROM busybox\nRUN <<EOF\necho one\necho two\nEOF\nCOPY <<END /root/file\nhello\nEND\n");
    built.says("one").says("two");
    assert_eq!(box_.in_image("h", "stat -c %a /root/file; cat /root/file"), "644\nhello\n");
}

#[test]
fn a_heredoc_with_a_first_line_of_its_own_is_a_program() {
    let box_ = Sandbox::new();
    box_.build(
        "h",
        "FROM busybox\nENV V=env\nRUN <<EOF\n#!/bin/sed s/.*sed.*/by-sed/\n# not for the shell: $V `false\nEOF\n\
         RUN <<\"E\"\n#!/bin/sh\necho \"$0 $V\" > /ran\nE\nRUN cat <<A <<-B | sort > /two\na $V\nA\n\tb\nB\n",
    )
    .says(" by-sed");
    let ran = box_.in_image("h", "cat /ran /two");
    assert!(ran.contains(" env\n") && ran.ends_with("\nb\n"), "{ran}");
}

/// The runtime makes files to mount its own on in a stage that has none.
#[test]
fn mount_points_leave_no_trace_in_a_layer() {
    let box_ = Sandbox::new();
    let layers = "{{len .RootFS.Layers}}";
    let text =
        "FROM base\nRUN --mount=type=cache,target=/etc/new/cache --mount=type=tmpfs,target=/root/t true\n";
    let changed = "FROM base\nRUN --network=none mkdir /etc/mine && chmod 700 /tmp\n";
    for storage in ["overlay", "copy"] {
        box_.config(&format!("[engine]\nstorage = \"{storage}\"\n"));
        if storage == "copy" {
            box_.run("builder prune -f --all").success();
            box_.run("save -o saved.tar busybox").success();
            box_.run("rmi same changed base busybox").success();
            box_.run("load -i saved.tar").success();
        }
        // With /proc, /sys and /dev, which stay, as BuildKit has it.
        box_.build("base", "FROM busybox\nRUN --network=none true\n");
        assert_eq!(box_.inspect("base", layers), "2");
        box_.build("same", text);
        assert_eq!(box_.inspect("same", layers), "2", "with {storage}");
        box_.build("changed", changed);
        assert_eq!(box_.inspect("changed", layers), "3", "with {storage}");
        assert_eq!(
            box_.in_image("changed", "ls /etc; stat -c %a /tmp"),
            "group\nhostname\nhosts\nmine\npasswd\nresolv.conf\n700\n"
        );
    }
}
