use roxmltree::{Document, Node};
use wharf_engine::build::Vertex;

use super::*;

fn step(stage: &str, place: Option<(usize, usize)>, statement: &str, after: &[usize]) -> GraphStep {
    let (stage, statement) = (stage.to_owned(), statement.to_owned());
    let mut step = GraphStep::new(Vertex { stage, place, line: 3, statement, after: after.to_vec() });
    step.state = StepState::Ended(if place.is_some() { Outcome::Done } else { Outcome::Config });
    step
}

/// Two stages side by side, and one that copies from both.
fn three_stages() -> BuildGraph {
    let mut steps = vec![
        step("one", Some((1, 2)), "FROM busybox AS one", &[]),
        step("one", Some((2, 2)), "RUN make", &[0]),
        step("two", Some((1, 2)), "FROM busybox AS two", &[]),
        step("two", None, "ENV A=1", &[2]),
        step("two", Some((2, 2)), "RUN --mount=from=one,target=/x make", &[1, 3]),
        step("stage-2", Some((1, 3)), "FROM one", &[1]),
        step("stage-2", Some((2, 3)), "COPY --from=two /a /a", &[4, 5]),
        step("stage-2", Some((3, 3)), "COPY --from=one /b /b", &[1, 6]),
    ];
    for (number, millis) in [(1, 1200), (4, 300), (6, 40), (7, 60_000)] {
        steps[number].took = Duration::from_millis(millis);
    }
    steps[6].state = StepState::Ended(Outcome::Cached);
    BuildGraph::of(steps, Duration::from_secs(62))
}

fn column(length: usize) -> BuildGraph {
    let one = |number: usize| match number {
        0 => step("stage-0", Some((1, length)), "FROM scratch", &[]),
        _ => step("stage-0", Some((number + 1, length)), "RUN true", &[number - 1]),
    };
    BuildGraph::of((0..length).map(one).collect(), Duration::ZERO)
}

fn number(node: Node<'_, '_>, name: &str) -> usize {
    node.attribute(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {node:?}"))
}

fn with_class<'a, 'd>(document: &'a Document<'d>, class: &'a str) -> impl Iterator<Item = Node<'a, 'd>> {
    let has = move |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|classes| classes.split(' ').any(|one| one == class))
    };
    document.descendants().filter(has)
}

fn boxes(document: &Document<'_>) -> Vec<Area> {
    with_class(document, "step")
        .map(|step| {
            let drawn = step.children().find(|child| child.attribute("class") == Some("box")).unwrap();
            let [left, top, width, height] = ["x", "y", "width", "height"].map(|name| number(drawn, name));
            Area { left, top, width, height }
        })
        .collect()
}

fn points(edge: Node<'_, '_>) -> Vec<(usize, usize)> {
    let numbers = edge.attribute("d").unwrap().split(|letter: char| !letter.is_ascii_digit());
    let numbers: Vec<usize> = numbers.filter_map(|text| text.parse().ok()).collect();
    numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn every_step_and_what_it_waits_for_is_drawn() {
    let graph = three_stages();
    let text = svg(&graph);
    let document = Document::parse(&text).unwrap();
    let steps: Vec<_> =
        with_class(&document, "step").map(|step| step.attribute("data-state").unwrap()).collect();
    assert_eq!(steps, ["done", "done", "done", "config", "done", "done", "cached", "done"]);
    let edges = || with_class(&document, "edge").filter(|edge| edge.has_tag_name("path"));
    let mut drawn: Vec<_> =
        edges().map(|edge| (number(edge, "data-from"), number(edge, "data-to"))).collect();
    drawn.sort_unstable();
    assert_eq!(drawn, [(0, 1), (1, 4), (1, 5), (1, 7), (2, 3), (3, 4), (4, 6), (5, 6), (6, 7)]);
    let critical = edges().filter(|edge| edge.attribute("class") == Some("edge critical"));
    let mut critical: Vec<_> =
        critical.map(|edge| (number(edge, "data-from"), number(edge, "data-to"))).collect();
    critical.sort_unstable();
    assert_eq!(critical, [(0, 1), (1, 4), (4, 6), (6, 7)]);
    let names = with_class(&document, "name").map(|name| name.text().unwrap().trim().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["one", "two", "stage-2"]);
    for words in [
        "8 steps, 1 cached, 6 done, 1 config only, 1m02s in all, 1m01s along the critical path",
        "done 1m00s",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(svg(&graph), text, "the same graph gives the same bytes");
}

#[test]
fn boxes_do_not_overlap_and_no_line_crosses_one() {
    for graph in [three_stages(), column(1), column(30)] {
        let text = svg(&graph);
        let document = Document::parse(&text).unwrap();
        let root = document.root_element();
        let (width, height) = (number(root, "width"), number(root, "height"));
        let boxes = boxes(&document);
        assert_eq!(boxes.len(), graph.steps.len());
        for (index, one) in boxes.iter().enumerate() {
            assert!(one.left + one.width < width && one.top + one.height < height, "{one:?} is cut off");
            for other in &boxes[index + 1..] {
                assert!(!crosses(
                    *one,
                    (other.left, other.left + other.width),
                    (other.top, other.top + other.height)
                ));
            }
        }
        for edge in with_class(&document, "edge").filter(|edge| edge.has_tag_name("path")) {
            for pair in points(edge).windows(2) {
                let sorted = |a: usize, b: usize| (a.min(b), a.max(b));
                let (across, down) = (sorted(pair[0].0, pair[1].0), sorted(pair[0].1, pair[1].1));
                assert!(across.0 == across.1 || down.0 == down.1, "{pair:?} is slanted");
                for area in &boxes {
                    assert!(!crosses(*area, across, down), "{pair:?} crosses {area:?}");
                }
            }
        }
    }
}

/// Whether something between these borders is inside.
fn crosses(area: Area, across: (usize, usize), down: (usize, usize)) -> bool {
    across.0 < area.left + area.width
        && across.1 > area.left
        && down.0 < area.top + area.height
        && down.1 > area.top
}

#[test]
fn a_failure_says_why_and_what_was_not_begun() {
    let mut graph = column(3);
    graph.steps[1].state = StepState::Failed;
    graph.steps[1].why = "process \"make\" did not complete successfully: exit code: 2".into();
    graph.steps[2].state = StepState::Waiting;
    let text = svg(&graph);
    let document = Document::parse(&text).unwrap();
    let states: Vec<_> =
        with_class(&document, "step").map(|step| step.attribute("data-state").unwrap()).collect();
    assert_eq!(states, ["done", "failed", "waiting"]);
    for words in ["failed after 0ms: …", "successfully: exit code: 2\n</text>", "not begun"] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn text_stays_text_and_fits() {
    let long = "RUN echo '<a href=\"x\">&amp;</a>' \u{1b}[31m\u{0}\u{ffff} 한국어한국어한국어한국어한국어한국어한국어한국어";
    let mut graph = column(1);
    graph.steps[0].vertex.statement = long.into();
    graph.steps[0].vertex.stage = "a-very-long-name-of-a-stage-that-nobody-would-give".into();
    let text = svg(&graph);
    let document = Document::parse(&text).unwrap();
    let shown = with_class(&document, "statement").next().unwrap().text().unwrap().trim().to_owned();
    assert!(
        shown.starts_with("RUN echo '<a href=\"x\">&amp;</a>' \\u{1b}[31m") && shown.ends_with('…'),
        "{shown}"
    );
    let whole = document.descendants().filter(|node| node.has_tag_name("title"));
    assert!(whole.filter_map(|title| title.text()).any(|title| title.contains("한국어한국어\nstage a-very")));
    assert_eq!(cut("한국어", 5), "한국…");
    assert_eq!(cut("한국어", 6), "한국어");
}

#[test]
fn times_are_short() {
    for (millis, shown) in [(0, "0ms"), (999, "999ms"), (1000, "1.0s"), (59_990, "59.9s"), (125_000, "2m05s")]
    {
        assert_eq!(time(Duration::from_millis(millis)), shown);
    }
}
