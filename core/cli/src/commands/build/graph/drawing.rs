//! A build's graph as SVG.

use std::time::Duration;

use svg::node::Node;
use svg::node::element::{Circle, Group, Line, Path, Rectangle, SVG, Style, Text, Title};
use unicode_width::UnicodeWidthChar;
use wharf_engine::build::{BuildGraph, GraphStep, Outcome, StepState};

use super::layout::{Area, BOX_WIDTH, Edge, Layout, NAME};

/// Letters of the widths below are as wide as that in every monospaced font that browsers have.
const STATEMENT_LETTERS: usize = 50;
const STATE_LETTERS: usize = 56;
const STAGE_LETTERS: usize = 30;
const INSET: usize = 10;

const STYLE: &str = "\
text { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328 }
.head { font-size: 16px; font-weight: bold }
.sum, .key { font-size: 12px; fill: #59636e }
.stage rect { fill: #f6f8fa; stroke: #d1d9e0 }
.stage text { font-size: 12px; font-weight: bold; fill: #59636e }
.statement { font-size: 12px }
.state { font-size: 10.5px; fill: #59636e }
.box { fill: #ffffff; stroke: #818b98; stroke-width: 1 }
.cached rect.box { fill: #dafbe1; stroke: #1a7f37 }
.done rect.box { fill: #ddf4ff; stroke: #0969da }
.config rect.box { fill: #ffffff; stroke: #818b98 }
.failed rect.box { fill: #ffebe9; stroke: #cf222e }
.failed .state { fill: #cf222e; font-weight: bold }
.canceled rect.box { fill: #fff8c5; stroke: #9a6700 }
.waiting rect.box { fill: #ffffff; stroke: #818b98; stroke-dasharray: 4 3 }
.critical rect.box { stroke-width: 3 }
.bar { fill: #0969da; opacity: 0.55 }
.edge { fill: none; stroke: #818b98; stroke-width: 1.2 }
.edge.critical { stroke: #1f2328; stroke-width: 3 }
";

/// The picture, which is a whole file.
pub(super) fn svg(graph: &BuildGraph) -> String {
    let layout = Layout::of(graph);
    let critical = graph.critical_path();
    let (width, height) = (layout.width.max(900), layout.height);
    let mut picture = SVG::new()
        .set("width", width)
        .set("height", height)
        .set("viewBox", (0, 0, width, height))
        .add(Style::new(STYLE))
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "#ffffff"))
        .add(head(graph, &critical))
        .add(keys());
    for (name, area) in &layout.stages {
        picture.append(stage(name, *area));
    }
    let is_critical = |edge: &&Edge| critical.windows(2).any(|pair| pair == [edge.from, edge.to]);
    let (above, below): (Vec<&Edge>, Vec<&Edge>) = layout.edges.iter().partition(is_critical);
    below.into_iter().for_each(|edge| picture.append(line(edge, "edge")));
    above.into_iter().for_each(|edge| picture.append(line(edge, "edge critical")));
    let longest = graph.steps.iter().map(|step| step.took).max().unwrap_or_default();
    for (number, (step, area)) in graph.steps.iter().zip(&layout.boxes).enumerate() {
        picture.append(draw(number, step, *area, longest, critical.contains(&number)));
    }
    format!("{picture}\n")
}

/// What there is to say about the build as a whole.
fn head(graph: &BuildGraph, critical: &[usize]) -> Group {
    let target = graph.steps.last().map_or("", |step| step.vertex.stage.as_str());
    let on_path: Duration = critical.iter().map(|step| graph.steps[*step].took).sum();
    let count = graph.steps.len();
    let mut sums = vec![format!("{count} {}", if count == 1 { "step" } else { "steps" })];
    for state in KEYS {
        match graph.steps.iter().filter(|step| step.state == state).count() {
            0 => {}
            count => sums.push(format!("{count} {}", word(state))),
        }
    }
    sums.push(format!("{} in all", time(graph.took)));
    if !critical.is_empty() {
        sums.push(format!("{} along the critical path", time(on_path)));
    }
    Group::new().add(text(28, 34, "head", &format!("build of {target}"))).add(text(
        28,
        56,
        "sum",
        &sums.join(", "),
    ))
}

const KEYS: [StepState; 6] = [
    StepState::Ended(Outcome::Cached),
    StepState::Ended(Outcome::Done),
    StepState::Ended(Outcome::Config),
    StepState::Failed,
    StepState::Canceled,
    StepState::Waiting,
];

/// What the colours mean. Each box says it in words, too.
fn keys() -> Group {
    let mut keys = Group::new().set("class", "keys");
    let mut left = 28;
    for state in KEYS {
        let swatch = rectangle(Area { left, top: 70, width: 14, height: 12 }, 2).set("class", "box");
        keys.append(Group::new().set("class", class(state)).add(swatch));
        keys.append(text(left + 20, 80, "key", word(state)));
        left += 20 + 8 * word(state).len() + 18;
    }
    keys.append(
        Line::new()
            .set("class", "edge critical")
            .set("x1", left)
            .set("x2", left + 22)
            .set("y1", 76)
            .set("y2", 76),
    );
    keys.append(text(left + 28, 80, "key", "critical path"));
    keys
}

fn stage(name: &str, area: Area) -> Group {
    Group::new()
        .set("class", "stage")
        .add(rectangle(area, 8))
        .add(text(area.left + INSET, area.top + NAME - 9, "name", &cut(name, STAGE_LETTERS)))
        .add(title(name))
}

fn draw(number: usize, step: &GraphStep, area: Area, longest: Duration, critical: bool) -> Group {
    let critical = if critical { " critical" } else { "" };
    let mut drawn = Group::new()
        .set("class", format!("step {}{critical}", class(step.state)))
        .set("id", format!("step-{number}"))
        .set("data-state", class(step.state))
        .set("data-milliseconds", step.took.as_millis().to_string())
        .add(title(&everything(step)))
        .add(rectangle(area, 4).set("class", "box"));
    let left = area.left + INSET;
    drawn.append(text(
        left,
        area.top + 18,
        "statement",
        &cut(&one_line(&step.vertex.statement), STATEMENT_LETTERS),
    ));
    if step.vertex.place.is_some() {
        drawn.append(text(left, area.top + 36, "state", &cut(&state(step), STATE_LETTERS)));
        drawn.append(bar(area, step.took, longest));
    }
    drawn
}

/// As long as the step took, next to the one that took longest.
fn bar(area: Area, took: Duration, longest: Duration) -> Rectangle {
    let room = (BOX_WIDTH - 2 * INSET) as u128;
    let width = (room * took.as_micros()).checked_div(longest.as_micros()).unwrap_or(0);
    let width = usize::try_from(width).unwrap_or(0);
    let bar = Area { left: area.left + INSET, top: area.top + area.height - 6, width, height: 3 };
    rectangle(bar, 1).set("class", "bar")
}

fn line(edge: &Edge, class: &str) -> Group {
    let points = edge.points.iter().map(|(x, y)| format!("{x} {y}")).collect::<Vec<_>>();
    let path = Path::new()
        .set("class", class)
        .set("d", format!("M{}", points.join(" L")))
        .set("data-from", edge.from)
        .set("data-to", edge.to);
    let mut drawn = Group::new().add(path);
    if let Some((x, y)) = edge.points.last() {
        drawn.append(Circle::new().set("cx", *x).set("cy", *y).set("r", 3).set("fill", "#1f2328"));
    }
    drawn
}

fn rectangle(area: Area, round: usize) -> Rectangle {
    Rectangle::new()
        .set("x", area.left)
        .set("y", area.top)
        .set("width", area.width)
        .set("height", area.height)
        .set("rx", round)
}

fn text(x: usize, y: usize, class: &str, words: &str) -> Text {
    Text::new(visible(words)).set("x", x).set("y", y).set("class", class)
}

fn title(words: &str) -> Title {
    Title::new(visible(words))
}

/// What XML can not hold is shown as an escape.
fn visible(words: &str) -> String {
    let escape = |letter: char| match letter {
        '\n' | '\t' => letter.to_string(),
        '\u{fffe}' | '\u{ffff}' => letter.escape_unicode().to_string(),
        control if control.is_control() => control.escape_default().to_string(),
        plain => plain.to_string(),
    };
    words.chars().map(escape).collect()
}

fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most so many columns of a terminal, which are what letters of this font are wide.
fn cut(words: &str, columns: usize) -> String {
    let words = visible(words);
    let width = |letter: char| letter.width().unwrap_or(0);
    if words.chars().map(width).sum::<usize>() <= columns {
        return words;
    }
    let mut used = 1;
    let fits = |letter: &char| {
        used += width(*letter);
        used <= columns
    };
    let kept: String = words.chars().take_while(fits).collect();
    format!("{kept}…")
}

/// The end of an error says most.
fn end(words: &str, letters: usize) -> String {
    match words.chars().count().checked_sub(letters) {
        None | Some(0) => words.to_owned(),
        Some(over) => format!("…{}", words.chars().skip(over + 1).collect::<String>()),
    }
}

fn state(step: &GraphStep) -> String {
    let word = word(step.state);
    let took = time(step.took);
    let why = one_line(&step.why);
    match step.state {
        StepState::Waiting => word.to_owned(),
        StepState::Ended(Outcome::Cached) => format!("{word} {took}"),
        StepState::Ended(Outcome::Config) => why,
        StepState::Canceled => format!("{word} after {took}"),
        StepState::Failed => {
            let said = format!("{word} after {took}: ");
            let room = STATE_LETTERS.saturating_sub(said.chars().count());
            said + &end(&why, room)
        }
        StepState::Ended(Outcome::Done) => format!("{word} {took}, {}", why),
    }
}

/// For whoever points at a box.
fn everything(step: &GraphStep) -> String {
    let place = format!("stage {}, line {}", step.vertex.stage, step.vertex.line);
    let mut lines =
        vec![step.vertex.statement.clone(), place, format!("{}, {}", word(step.state), time(step.took))];
    lines.extend((!step.why.is_empty()).then(|| step.why.clone()));
    lines.join("\n")
}

fn class(state: StepState) -> &'static str {
    match state {
        StepState::Ended(Outcome::Cached) => "cached",
        StepState::Ended(Outcome::Done) => "done",
        StepState::Ended(Outcome::Config) => "config",
        StepState::Failed => "failed",
        StepState::Canceled => "canceled",
        StepState::Waiting => "waiting",
    }
}

fn word(state: StepState) -> &'static str {
    match state {
        StepState::Ended(Outcome::Config) => "config only",
        StepState::Waiting => "not begun",
        other => class(other),
    }
}

/// `12ms`, `3.4s`, `2m05s`.
fn time(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{}ms", took.as_millis()),
        seconds @ 1..60 => format!("{seconds}.{}s", took.subsec_millis() / 100),
        seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests;
