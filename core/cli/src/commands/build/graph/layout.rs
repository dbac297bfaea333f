//! Where the boxes and lines of a build's graph are. Nothing here knows SVG.
//!
//! ```text
//!      column 0        column 1
//!   .- builder -.   .- stage-1 -.
//!   |   FROM    |   |   FROM    |   row 0
//!   |    |      |   |    |      |
//!   |   RUN     |   |    |      |   row 1
//!   '----|------'   |    |      |
//!        '----------|----+-.    |
//!                   |   COPY    |   row 2
//!                   '-----------'
//! ```
//!
//! Each stage has a column of its own, and each step a row below those of all that it waits for. What another
//! stage waits for is the last step of its column, so a line to it goes down where no box is, and across
//! between two rows: no line ever crosses a box.

use std::collections::BTreeMap;

use wharf_engine::build::{BuildGraph, GraphStep};

/// Sizes are in pixels of the picture.
pub(super) const BOX_WIDTH: usize = 380;
const TALL: usize = 48;
const FLAT: usize = 28;
const COLUMN_GAP: usize = 36;
const MARGIN: usize = 28;
/// For what is said about the build as a whole.
const HEAD: usize = 92;
/// Around the boxes of a stage.
pub(super) const PADDING: usize = 10;
/// For the name of a stage.
pub(super) const NAME: usize = 26;
/// Between two rows, without the lines that go across.
const ROW_GAP: usize = 22;
/// Between two lines that go across.
const TRACK: usize = 8;

/// A place and a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A line from one step to one that waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) points: Vec<(usize, usize)>,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// By the numbers of the steps.
    pub(super) boxes: Vec<Area>,
    /// The stages with their names, from the left.
    pub(super) stages: Vec<(String, Area)>,
    pub(super) edges: Vec<Edge>,
}

/// Column and row of each step.
struct Grid {
    cells: Vec<(usize, usize)>,
    stages: Vec<String>,
    rows: usize,
}

impl Layout {
    pub(super) fn of(graph: &BuildGraph) -> Self {
        let grid = Grid::of(graph);
        let tracks = Tracks::of(graph, &grid);
        let tops = row_tops(graph, &grid, &tracks);
        let boxes: Vec<Area> = graph
            .steps
            .iter()
            .zip(&grid.cells)
            .map(|(step, (column, row))| Area {
                left: left(*column),
                top: tops[*row],
                width: BOX_WIDTH,
                height: height(step),
            })
            .collect();
        let stages = frames(&grid, &boxes);
        let edges = edges(graph, &grid, &tracks, &tops, &boxes);
        let bottom = stages.iter().map(|(_, area)| area.top + area.height).max().unwrap_or(HEAD);
        Self {
            width: left(grid.stages.len()) - COLUMN_GAP + PADDING + MARGIN,
            height: bottom + MARGIN,
            boxes,
            stages,
            edges,
        }
    }
}

impl Grid {
    fn of(graph: &BuildGraph) -> Self {
        let mut stages: Vec<String> = Vec::new();
        let mut cells: Vec<(usize, usize)> = Vec::new();
        for step in &graph.steps {
            let row = step.vertex.after.iter().map(|before| cells[*before].1 + 1).max().unwrap_or(0);
            // Two stages may have one name.
            if stages.is_empty() || matches!(step.vertex.place, Some((1, _))) {
                stages.push(step.vertex.stage.clone());
            }
            cells.push((stages.len() - 1, row));
        }
        let rows = cells.iter().map(|(_, row)| row + 1).max().unwrap_or(0);
        Self { cells, stages, rows }
    }

    /// Whether a stage begins in that row.
    fn begins(&self, row: usize) -> bool {
        let first = |column| self.cells.iter().find(|(other, _)| *other == column);
        (0..self.stages.len()).any(|column| first(column).is_some_and(|(_, begun)| *begun == row))
    }
}

/// The lines that go across above each row: each step that one comes from has a track of its own.
struct Tracks(Vec<BTreeMap<usize, usize>>);

impl Tracks {
    fn of(graph: &BuildGraph, grid: &Grid) -> Self {
        let mut rows = vec![BTreeMap::new(); grid.rows];
        for (to, step) in graph.steps.iter().enumerate() {
            let (column, row) = grid.cells[to];
            for from in step.vertex.after.iter().filter(|from| grid.cells[**from].0 != column) {
                let next = rows[row].len();
                rows[row].entry(*from).or_insert(next);
            }
        }
        Self(rows)
    }

    fn height(&self, row: usize) -> usize {
        self.0[row].len() * TRACK
    }
}

fn row_tops(graph: &BuildGraph, grid: &Grid, tracks: &Tracks) -> Vec<usize> {
    let mut tops = Vec::new();
    let mut next = HEAD;
    for row in 0..grid.rows {
        let name = if grid.begins(row) { NAME + PADDING } else { 0 };
        let top = next + ROW_GAP + tracks.height(row) + name;
        let steps = graph.steps.iter().zip(&grid.cells).filter(|(_, cell)| cell.1 == row);
        next = top + steps.map(|(step, _)| height(step)).max().unwrap_or(FLAT);
        tops.push(top);
    }
    tops
}

/// What changes no files has nothing to say but itself.
fn height(step: &GraphStep) -> usize {
    if step.vertex.place.is_some() { TALL } else { FLAT }
}

fn left(column: usize) -> usize {
    MARGIN + PADDING + column * (BOX_WIDTH + 2 * PADDING + COLUMN_GAP)
}

/// Around the boxes of each stage, with room for its name.
fn frames(grid: &Grid, boxes: &[Area]) -> Vec<(String, Area)> {
    let frame = |(column, name): (usize, &String)| {
        let mut own =
            boxes.iter().zip(&grid.cells).filter(|(_, cell)| cell.0 == column).map(|(area, _)| area);
        let first = own.next()?;
        let last = own.next_back().unwrap_or(first);
        let top = first.top - NAME;
        let height = last.top + last.height + PADDING - top;
        let area = Area { left: first.left - PADDING, top, width: BOX_WIDTH + 2 * PADDING, height };
        Some((name.clone(), area))
    };
    grid.stages.iter().enumerate().filter_map(frame).collect()
}

fn edges(graph: &BuildGraph, grid: &Grid, tracks: &Tracks, tops: &[usize], boxes: &[Area]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (to, step) in graph.steps.iter().enumerate() {
        for from in step.vertex.after.iter().copied() {
            let (source, target) = (boxes[from], boxes[to]);
            let below = source.top + source.height;
            let middle = source.left + BOX_WIDTH / 2;
            let (column, row) = grid.cells[to];
            let points = if grid.cells[from].0 == column {
                vec![(middle, below), (middle, target.top)]
            } else {
                let name = if grid.begins(row) { NAME + PADDING } else { 0 };
                let track = tracks.0[row].get(&from).copied().unwrap_or(0);
                let across = tops[row] - name - ROW_GAP / 2 - track * TRACK;
                let enters = target.left + BOX_WIDTH * 3 / 4;
                vec![(middle, below), (middle, across), (enters, across), (enters, target.top)]
            };
            edges.push(Edge { from, to, points });
        }
    }
    edges
}
