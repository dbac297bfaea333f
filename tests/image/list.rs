//! What `images` shows, and what it is asked for by.

use crate::harness::Sandbox;

#[test]
fn images_are_filtered_and_formatted_as_docker_does() {
    let box_ = Sandbox::new();
    box_.build("team/app:v1", "FROM busybox\nLABEL colour=red\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    box_.build("team/app:v2", "FROM busybox\nLABEL colour=blue size=big\n");
    box_.run("tag team/app:v2 other").success();
    let names = |line: &str| {
        let listed = box_.run(&format!("images --format {{{{.Repository}}}}:{{{{.Tag}}}} {line}")).success();
        let mut names: Vec<String> = listed.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names("--filter label=colour"), "other:latest team/app:v1 team/app:v2");
    assert_eq!(names("--filter label=colour=red"), "team/app:v1");
    assert_eq!(names("-f label=colour -f label=size=big"), "other:latest team/app:v2");
    assert_eq!(names("-f reference=team/*:v1"), "team/app:v1");
    assert_eq!(names("-f reference=busy* -f reference=other"), "busybox:latest other:latest");
    assert_eq!(names("team/app"), "team/app:v1 team/app:v2");
    assert_eq!(names("team/app:v2"), "team/app:v2");
    assert_eq!(names("*"), "busybox:latest other:latest");
    assert_eq!(names("-f since=team/app:v1"), "other:latest team/app:v2");
    assert!(names("-f before=team/app:v2").contains("team/app:v1"));
    assert!(!names("-f before=team/app:v2").contains("v2"));
    // The image they build on may be older: all sandboxes of a test run share one.
    assert!(!names("-f until=10m").contains("team/app"));
    assert!(names("-f until=1ms").contains("team/app:v1"));
    assert_eq!(names("-f dangling=true"), "");
    // The name moves on, and the image that had it hangs loose.
    let loose = box_.inspect("team/app:v1", "{{.Id}}");
    box_.run("tag busybox team/app:v1").success();
    let dangling = box_.run("images --no-trunc -q -f dangling=true").success();
    assert_eq!(dangling.line(), loose);
    box_.run("images -f dangling=1").success().line_with("<none>       <none>");
    assert!(!names("-f dangling=false").contains("<none>"));
    for wrong in ["dangling=perhaps", "colour=red", "label", "before=nothing"] {
        box_.refuses(1, &["images", "-f", wrong], &[]);
    }

    let table = box_.run("images --format table busybox").success();
    assert!(table.stdout.starts_with("REPOSITORY   TAG "), "{table}");
    let own = box_.wharf(["images", "--format", "table {{.ID}}\t{{.Size}}", "busybox"]).success();
    assert!(own.stdout.starts_with("IMAGE ID       SIZE\n"), "{own}");
    let json = box_.run("images --format json busybox").success().json();
    for key in [
        "Containers",
        "CreatedAt",
        "CreatedSince",
        "Digest",
        "ID",
        "Repository",
        "SharedSize",
        "Size",
        "Tag",
        "UniqueSize",
        "VirtualSize",
    ] {
        assert!(json[key].is_string(), "{key}: {json}");
    }
    box_.run("image ls --digests busybox").success().shows("REPOSITORY   TAG      DIGEST   IMAGE ID");
    box_.refuses(125, &["images", "--tree", "-q"], &["cannot be used"]);
    let id = box_.run("create --network none busybox true").success();
    let tree = box_.run("images --tree").success();
    assert!(tree.line_with("busybox:latest").trim_end().ends_with('U'), "{tree}");
    assert!(tree.line_with("└─ linux/").trim_end().len() > 10, "{tree}");
    box_.run(&format!("rm {}", id.line())).success();
}

#[test]
fn a_verb_that_is_missing_is_answered_with_help() {
    let box_ = Sandbox::empty();
    let nothing = box_.wharf::<&str>([]).fails(125);
    nothing.clone().says("Usage: wharf").says("A container engine").says("images").without("container-ended");
    nothing.without("interrupted");
    box_.run("image").fails(125).says("Usage: wharf image").says("prune");
    box_.run("interruptet").fails(125).says("unrecognized subcommand").without("interrupted").without("tip");
    box_.run("imagse").fails(125).says("similar").says("images");
}

#[test]
fn an_image_that_no_registry_has_needs_no_storage_driver() {
    let box_ = Sandbox::empty();
    box_.set("WHARF_PULL", "missing");
    // Compiled anew, a driver would be named.
    box_.run("run --rm 127.0.0.1:1/nothing").fails(125).says("cannot pull").without("compiling plugin");
    box_.run("pull 127.0.0.1:1/nothing").fails(1).says("refused").without("compiling plugin");
}
