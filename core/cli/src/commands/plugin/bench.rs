use std::path::PathBuf;

use wharf_engine::author::Bench as Measured;

use super::test::{untested, unusable};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Measure what a plugin costs: compiling, loading, the first call and those after it
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// A component, or a plugin of the configuration by its name
    #[arg(value_name = "FILE|NAME")]
    plugin: String,
    /// Measure the statements of this test case of an instruction
    #[arg(long, value_name = "DIR")]
    case: Option<PathBuf>,
    /// How many calls to measure after the first
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    calls: usize,
    /// The component may be a shared library, which runs with all your rights
    #[arg(long)]
    native: bool,
    /// How to show it: table, json
    #[arg(long, value_name = "HOW", default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

impl Bench {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let workshop = globals.workshop();
        let candidate = workshop.named(&self.plugin, self.native).map_err(unusable)?;
        let measured = workshop.bench(&candidate, self.case.as_deref(), self.calls).map_err(untested)?;
        if self.format == "json" {
            let text = serde_json::to_string_pretty(&measured).unwrap_or_default();
            output::text(&format!("{text}\n"))?;
            return Ok(0);
        }
        let mut out = Vec::new();
        render::table(&mut out, &["WHAT", "COST", ""], &rows(&measured))?;
        output::text(&output::printable(&String::from_utf8_lossy(&out)))?;
        Ok(0)
    }
}

fn rows(measured: &Measured) -> Vec<Vec<String>> {
    let row = |what: &str, cost: String, more: String| vec![what.to_owned(), cost, more];
    let call: String = measured.call.chars().take(60).collect();
    let of = |used: u64, limit: u64| format!("{:.1} % of its limit", percent(used, limit));
    vec![
        row("compile", measured.compile_us.map_or_else(|| "-".into(), time), "once for this machine".into()),
        row("load", time(measured.load_us), "once a process".into()),
        row("first call", time(measured.first_us), "with mapping its code".into()),
        row("call, median", time(measured.median_us), format!("of {}: {call}", measured.calls)),
        row("call, p99", time(measured.p99_us), String::new()),
        row("instantiate", time(measured.instantiate_us), "part of each call".into()),
        row("fuel", measured.fuel.to_string(), of(measured.fuel, measured.fuel_limit)),
        row("memory", render::size(measured.memory), of(measured.memory, measured.memory_limit)),
        row(
            "component",
            render::size(measured.size),
            format!("{} plugin {}", measured.kind, measured.plugin),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn percent(used: u64, limit: u64) -> f64 {
    used as f64 * 100.0 / limit.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn time(micros: u128) -> String {
    if micros < 1000 { format!("{micros} us") } else { format!("{:.1} ms", micros as f64 / 1e3) }
}
