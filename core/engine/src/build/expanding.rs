//! Statements that stand for lines, and how they are kept from going round in circles.

use wharf_model::statement::Invocation;
use wharf_plugin::Trace;

use super::request::BuildError;

/// How often lines may expand to lines.
const DEPTH: usize = 16;

/// The statements whose lines are being planned, from the outermost to the innermost.
#[derive(Default)]
pub(super) struct Expanding(Vec<Expansion>);

struct Expansion {
    call: Invocation,
    trace: Trace,
}

impl Expansion {
    /// It was asked the same and saw the same, so it is going to give the same lines.
    fn repeats(&self, other: &Self) -> bool {
        let call = Invocation { span: other.call.span.clone(), ..self.call.clone() };
        call == other.call && self.trace == other.trace
    }

    fn place(&self) -> String {
        format!("{}:{}", self.call.span.file, self.call.span.line)
    }
}

impl Expanding {
    /// # Errors
    /// When it would never end, with the way that leads there.
    pub(super) fn enter(&mut self, call: Invocation, trace: Trace) -> Result<(), BuildError> {
        let next = Expansion { call, trace };
        let cycle = self.0.iter().any(|outer| outer.repeats(&next));
        let too_deep = self.0.len() >= DEPTH;
        let keyword = next.call.keyword.to_string();
        self.0.push(next);
        if !cycle && !too_deep {
            return Ok(());
        }
        let places = self.0.iter().map(Expansion::place).collect();
        Err(if cycle {
            BuildError::ExpandsToItself { keyword, places }
        } else {
            BuildError::ExpandsTooDeep { keyword, limit: DEPTH, places }
        })
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }
}
