//! build --graph: how a build went, as a picture.

use roxmltree::{Document, Node};

use crate::harness::Sandbox;

const STAGES: &str = "FROM busybox AS one\nRUN echo one > /one\n\
                      FROM busybox AS two\nENV A=1\nRUN --mount=from=one,target=/x sleep 0.2 && cp /x/one /two\n\
                      FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n";

/// For each step, in the order of the Dockerfile: how it ended, its statement, and whether it is on the critical
/// path.
fn steps(text: &str) -> Vec<(String, String, bool)> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("no XML: {error}\n{text}"));
    let steps = document.descendants().filter(|node| node.attribute("data-state").is_some());
    let statement = |step: Node<'_, '_>| {
        let found = step.descendants().find(|node| node.attribute("class") == Some("statement"));
        found.and_then(|node| node.text()).unwrap_or_default().trim().to_owned()
    };
    let read = |step: Node<'_, '_>| {
        let critical = step.attribute("class").is_some_and(|class| class.ends_with(" critical"));
        (step.attribute("data-state").unwrap().to_owned(), statement(step), critical)
    };
    steps.map(read).collect()
}

fn edges(text: &str) -> Vec<(String, String)> {
    let document = Document::parse(text).unwrap();
    let of = |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap().to_owned();
    let edges = document.descendants().filter(|node| node.attribute("data-from").is_some());
    let mut edges: Vec<_> = edges.map(|edge| (of(edge, "data-from"), of(edge, "data-to"))).collect();
    edges.sort_unstable();
    edges
}

#[test]
fn a_build_is_drawn_with_what_was_cached_and_what_it_waited_for() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", STAGES);
    box_.run("build --graph one.svg -t g .").success();
    let first = box_.read("one.svg");
    let seen = steps(&first);
    let states: Vec<&str> = seen.iter().map(|(state, ..)| state.as_str()).collect();
    assert_eq!(states, ["config", "done", "config", "config", "done", "config", "done", "done"], "{first}");
    assert_eq!(seen[4].1, "RUN --mount=from=one,target=/x sleep 0.2 && cp /x…");
    assert!(seen[4].2 && seen[7].2 && !seen[5].2, "the slowest chain is marked: {seen:?}");
    let pairs = ["0 1", "1 4", "1 6", "2 3", "3 4", "4 7", "5 6", "6 7"];
    let expected: Vec<_> = pairs.iter().filter_map(|pair| pair.split_once(' ')).collect();
    let found = edges(&first);
    assert_eq!(found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), expected);
    assert!(first.contains("built for the first time") && first.contains("stands on image sha256:"));

    box_.run("build --graph two.svg -t g .").success();
    let again = steps(&box_.read("two.svg"));
    let states: Vec<&str> = again.iter().map(|(state, ..)| state.as_str()).collect();
    assert_eq!(states, ["config", "cached", "config", "config", "cached", "config", "cached", "cached"]);
}

#[test]
fn a_build_that_fails_is_drawn_too() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN true\nRUN echo '<&>' && exit 3\nRUN true\n");
    box_.run("build --graph g.svg .").fails(1).says("Dockerfile:3");
    let text = box_.read("g.svg");
    let seen = steps(&text);
    let states: Vec<&str> = seen.iter().map(|(state, ..)| state.as_str()).collect();
    assert_eq!(states, ["config", "done", "failed", "waiting"]);
    assert_eq!(seen[2].1, "RUN echo '<&>' && exit 3");
    assert!(text.contains("exit code: 3"), "{text}");
    // What had no plan has no picture, and why a build failed counts for more than the picture.
    box_.write("Dockerfile", "FROM busybox\nRAN true\n");
    box_.run("build --graph none.svg .").fails(1).says("did you mean RUN?");
    assert!(!box_.dir().join("none.svg").exists());
    box_.write("Dockerfile", "FROM busybox\nRUN exit 4\n");
    box_.run("build --graph no/such/place.svg .")
        .fails(1)
        .says("cannot write no/such/place.svg")
        .says("exit code: 4");
    box_.write("Dockerfile", "FROM busybox\n");
    box_.run("build --graph no/such/place.svg .").fails(1).says("cannot write no/such/place.svg");
}
