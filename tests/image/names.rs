//! Images and their names.

use crate::harness::Sandbox;

#[test]
fn images_is_docker_s_table() {
    let box_ = Sandbox::new();
    let table = box_.run("images").success();
    let head: Vec<&str> =
        table.stdout.lines().next().unwrap().split("  ").map(str::trim).filter(|it| !it.is_empty()).collect();
    assert_eq!(head, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let row: Vec<&str> = table.line_with("busybox").split_whitespace().collect();
    assert_eq!(&row[..2], ["busybox", "latest"]);
    assert_eq!(row[2].len(), 12);
    assert!(row.last().unwrap().ends_with("MB"), "{table}");
    box_.run("images -q").success().prints(&format!("{}\n", row[2]));
    box_.run("images nothing").success().without("busybox");
}

#[test]
fn tag_gives_a_further_name_and_moves_one() {
    let box_ = Sandbox::new();
    box_.build("other", "FROM busybox\nENV A=1\n");
    box_.run("tag busybox localhost:5000/team/tools:v1").success();
    assert_eq!(box_.inspect("busybox", "{{.Id}}"), box_.inspect("localhost:5000/team/tools:v1", "{{.Id}}"));
    box_.run("tag other localhost:5000/team/tools:v1").success();
    assert_eq!(box_.inspect("other", "{{.Id}}"), box_.inspect("localhost:5000/team/tools:v1", "{{.Id}}"));
    box_.run("tag nothing x").fails(1).says("nothing");
    box_.run("tag busybox UPPER").fails(1).says("UPPER");
}

#[test]
fn rmi_takes_a_name_away_and_with_the_last_one_the_image() {
    let box_ = Sandbox::new();
    let before = box_.traces();
    box_.write("Dockerfile", "FROM busybox\nENV A=1\n");
    box_.run("build -t one -t two .").success();
    box_.run("rmi one").success().prints("Untagged: one:latest\n");
    box_.run("rmi two").success().shows("Untagged: two:latest\n").shows("Deleted: sha256:");
    box_.left_nothing_since(&before);
    box_.run("rmi one").fails(1).says("No such image: one");
    box_.run("rmi -f one").success();
}

#[test]
fn untag_takes_names_away_and_leaves_the_image() {
    let box_ = Sandbox::new();
    let id = box_.inspect("busybox", "{{.Id}}");
    box_.run("tag busybox a:1").success();
    box_.run("tag busybox a:2").success();
    box_.run("untag busybox a:1").success().prints("");
    assert_eq!(box_.inspect(&id, "{{.RepoTags}}"), "[a:2 busybox:latest]");
    box_.refuses(1, &["untag", "busybox", "a:2", "a:1"], &["is not called a:1"]);
    assert_eq!(box_.inspect(&id, "{{.RepoTags}}"), "[a:2 busybox:latest]", "all of them or none");
    box_.refuses(1, &["untag", "nobody"], &["No such image: nobody"]);
    box_.run("image untag a:2").success();
    assert_eq!(box_.inspect(&id, "{{.RepoTags}}"), "[]");
    box_.run("images").success().line_with("<none>       <none>");
    box_.run(&format!("rmi --no-prune {id}")).success().shows(&format!("Deleted: {id}"));
}

#[test]
fn rmi_takes_names_ids_short_ids_and_several() {
    let box_ = Sandbox::new();
    for name in ["a", "b", "c"] {
        box_.build(name, &format!("FROM busybox\nENV NAME={name}\n"));
    }
    let (b, c) = (box_.inspect("b", "{{.Id}}"), box_.inspect("c", "{{.Id}}"));
    let short = &c.trim_start_matches("sha256:")[..6];
    let gone = box_.run(&format!("rmi a {b} {short}")).success();
    assert_eq!(gone.stdout.matches("Deleted: sha256:").count(), 3, "{gone}");
    assert_eq!(box_.run("images -q").stdout.lines().count(), 1);
}

#[test]
fn rmi_is_refused_while_a_container_needs_the_image() {
    let box_ = Sandbox::new();
    box_.build("used", "FROM busybox\nENV A=1\n");
    box_.run("run -d --network none --name c used sleep 60").success();
    let id = box_.inspect("used", "{{.Id}}");
    box_.run("rmi used").fails(1).says("conflict").says("must force");
    box_.run(&format!("rmi -f {id}")).fails(1).says("cannot be forced").says("running container");
    box_.run("stop -t 0 c").success();
    box_.run(&format!("rmi {id}")).fails(1).says("must be forced").says("stopped container");
    box_.run("rm c").success();
    box_.run("rmi used").success();
}

#[test]
fn a_container_keeps_the_image_that_lost_its_name() {
    let box_ = Sandbox::new();
    box_.build("moving", "FROM busybox\nRUN echo old > /version\n");
    let old = box_.inspect("moving", "{{.Id}}");
    box_.run("run -d --network none --name c moving sleep 60").success();
    box_.build("moving", "FROM busybox\nRUN echo new > /version\n");
    box_.run("exec c cat /version").success().prints("old\n");
    let short = &old.trim_start_matches("sha256:")[..12];
    assert!(box_.run("images").line_with(short).starts_with("<none>"));
    assert!(box_.run("ps").line_with("sleep").contains(short));
    box_.run("restart -t 0 c").success();
    box_.run("exec c cat /version").success().prints("old\n");
}

#[test]
fn history_tells_the_steps_newest_first() {
    let box_ = Sandbox::new();
    box_.build("h", "FROM busybox\nRUN echo x > /x\nENV A=1\nCMD [\"true\"]\n");
    let table = box_.run("history --no-trunc h").success();
    let steps: Vec<&str> = table.stdout.lines().skip(1).collect();
    assert!(table.stdout.starts_with("IMAGE"), "{table}");
    assert!(
        steps[0].contains("CMD") && steps[1].contains("ENV A=1") && steps[2].contains("echo x > /x"),
        "{table}"
    );
    box_.run("history nothing").fails(1).says("nothing");

    // For programs: a template, an object a line, bytes and dates.
    let sizes = box_.wharf(["history", "-q", "--format", "{{.Size}}", "h"]).success();
    sizes.line_with("0B");
    box_.run("images -q --format {{.Tag}}").success().line_with("latest");
    let ids = box_.wharf(["history", "--format", "{{.CreatedBy}}|{{.Size}}", "h"]).success();
    assert!(ids.stdout.lines().nth(1).unwrap().contains("ENV A=1|0B"), "{ids}");
    let rows = box_.run("history --format json --no-trunc h").success();
    let run: serde_json::Value = serde_json::from_str(rows.stdout.lines().nth(2).unwrap()).unwrap();
    assert_eq!((&run["Size"], &run["ID"]), (&"2B".into(), &"<missing>".into()), "{run}");
    let exact = box_.run("history --human=false h").success();
    assert!(exact.stdout.lines().next().unwrap().contains("CREATED AT"), "{exact}");
    let step = exact.line_with("echo x");
    assert!(step.trim_end().ends_with('2') && step.contains("T") && step.contains('Z'), "{exact}");
    let rounded = box_.run("history -H h").success();
    assert!(rounded.line_with("echo x").trim_end().ends_with("2B"), "{rounded}");
    let table = box_.wharf(["history", "--format", "table {{.Size}}\t{{.ID}}", "h"]).success();
    assert!(table.stdout.starts_with("SIZE") && table.stdout.contains("IMAGE"), "{table}");
}

#[test]
fn inspect_shows_docker_s_keys() {
    let box_ = Sandbox::new();
    box_.build("i", "FROM busybox\nLABEL a=1\nCMD [\"true\"]\n");
    let all = box_.run("inspect i busybox").success().json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let image = &all[0];
    assert_eq!(image["RepoTags"][0], "i:latest");
    assert_eq!((&image["Os"], &image["Config"]["Cmd"][0]), (&"linux".into(), &"true".into()));
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    box_.run("inspect --type container i").fails(1).says("No such object: i");
}

#[test]
fn version_and_info_tell_what_is_here() {
    let box_ = Sandbox::new();
    box_.run("version").success().shows("wharf version").shows("linux/");
    let info = box_.run("info").success().shows("Driver: overlay").shows("Images: 1");
    assert!(info.stdout.contains(box_.root().to_str().unwrap()), "{info}");
    box_.run("info -f {{.Driver}}").success().prints("overlay\n");
}
