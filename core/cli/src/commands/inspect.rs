use serde_json::Value;
use wharf_engine::Engine;
use wharf_engine::container::LookupError;
use wharf_engine::image::ResolveError;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::template;

/// Print everything about containers, images and volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Look for this only
    #[arg(long = "type", value_name = "TYPE", value_parser = ["container", "image", "volume"])]
    kind: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    names: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut found = Vec::new();
        let code = super::each(&self.names, |name| {
            found.push(self.find(engine, name)?);
            Ok(())
        })?;
        print(self.format.as_deref(), found)?;
        Ok(code)
    }

    fn find(&self, engine: &Engine, name: &str) -> Result<Value, Report> {
        let wanted = |kind: &str| self.kind.as_deref().is_none_or(|only| only == kind);
        if wanted("container") {
            match engine.inspect_container(name) {
                Err(LookupError::Unknown(_)) => {}
                found => return found.map_err(Report::failed),
            }
        }
        if wanted("image") {
            match engine.inspect_image(name, None) {
                Err(ResolveError::Unknown { .. } | ResolveError::Name { .. }) => {}
                found => return found.map_err(Report::failed),
            }
        }
        match engine.volume(name) {
            Ok(volume) if wanted("volume") => Ok(super::volume::fields(&volume)),
            _ => Err(Report::message(1, format!("No such object: {name}"))),
        }
    }
}

/// What the `inspect` of one kind of thing takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Shown {
    /// Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    pub(super) names: Vec<String>,
}

impl Shown {
    /// Each by the template, or all of them as one list.
    pub(super) fn print(&self, found: Vec<Value>) -> Result<(), Report> {
        print(self.format.as_deref(), found)
    }
}

fn print(format: Option<&str>, found: Vec<Value>) -> Result<(), Report> {
    let Some(format) = format else { return Ok(output::lines([pretty(&Value::Array(found))])?) };
    let lines: Result<Vec<String>, Report> = found.iter().map(|value| template::one(format, value)).collect();
    Ok(output::lines(lines?)?)
}

/// Four blanks, as docker indents.
pub(super) fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, indent);
    match serde::Serialize::serialize(value, &mut writer) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => value.to_string(),
    }
}
