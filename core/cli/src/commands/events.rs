use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use wharf_engine::event::{Entry, EventsError, EventsOptions, Filter, Kind, Plugins};

use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::template;
use crate::units;

/// Print what happens, as it happens
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Only what fits, such as `type=container`, `event=die`, `container=NAME`, `label=KEY=VALUE`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Go template, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Not before: a time, or a duration such as 10m
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    since: Option<Timestamp>,
    /// Not after, instead of going on for ever: a time, or a duration such as 10m
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    until: Option<Timestamp>,
    /// Print what plugins asked the engine to do, and what hooks answered, instead
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    plugin: Option<String>,
}

impl Events {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let options = EventsOptions {
            since: self.since,
            until: self.until,
            filter: self.filter()?,
            plugin: self.plugin.as_ref().map(|name| match name.as_str() {
                "" => Plugins::All,
                name => Plugins::Named(name.to_owned()),
            }),
        };
        let mut wrong = None;
        let shown = engine.events(&options, &mut |entry| match self.line(entry) {
            Ok(line) => output::lines([line]),
            Err(report) => {
                wrong = Some(report);
                Err(io::ErrorKind::InvalidInput.into())
            }
        });
        match (shown, wrong) {
            (_, Some(report)) => Err(report),
            (Err(EventsError::Reader(error)), None) => Err(error.into()),
            (shown, None) => shown.map(|()| 0).map_err(Report::failed),
        }
    }

    fn filter(&self) -> Result<Filter, Report> {
        let mut filter = Filter::default();
        for text in &self.filter {
            filter.add(text).map_err(Report::failed)?;
        }
        Ok(filter)
    }

    fn line(&self, entry: &Entry) -> Result<String, Report> {
        match &self.format {
            Some(format) => template::one(format, &fields(entry)),
            None => Ok(output::printable(&plain(entry)).replace('\n', "\\n")),
        }
    }
}

/// `TIME TYPE ACTION ID (key=value, ...)`.
fn plain(entry: &Entry) -> String {
    let mut attributes = entry.attributes.clone();
    if let Some(plugin) = &entry.plugin {
        attributes.insert("plugin".to_owned(), plugin.name.clone());
        attributes.extend(plugin.digest.map(|digest| ("digest".to_owned(), digest.to_string())));
    }
    let pairs: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let more = if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(", ")) };
    format!("{} {} {} {}{more}", time(entry.time), entry.kind.as_str(), entry.action, entry.id)
}

/// In the caller's time zone, with nine digits.
fn time(nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let zoned = time.to_zoned_datetime(TimeZone::system());
    let format = if zoned.offset().is_zero() { "%Y-%m-%dT%H:%M:%S.%9fZ" } else { "%Y-%m-%dT%H:%M:%S.%9f%:z" };
    zoned.strftime(format).to_string()
}

/// Docker's keys, and `Plugin`.
fn fields(entry: &Entry) -> Value {
    let mut fields = Map::new();
    if matches!(entry.kind, Kind::Container | Kind::Image) {
        fields.insert("status".to_owned(), json!(entry.action));
        fields.insert("id".to_owned(), json!(entry.id));
    }
    if let (Kind::Container, Some(image)) = (entry.kind, entry.attributes.get("image")) {
        fields.insert("from".to_owned(), json!(image));
    }
    fields.insert("Type".to_owned(), json!(entry.kind.as_str()));
    fields.insert("Action".to_owned(), json!(entry.action));
    fields.insert("Actor".to_owned(), json!({ "ID": entry.id, "Attributes": entry.attributes }));
    if let Some(plugin) = &entry.plugin {
        let digest = plugin.digest.map(|digest| digest.to_string());
        fields.insert("Plugin".to_owned(), json!({ "Name": plugin.name, "Digest": digest }));
    }
    fields.insert("scope".to_owned(), json!("local"));
    fields.insert("time".to_owned(), json!(entry.time / 1_000_000_000));
    fields.insert("timeNano".to_owned(), json!(entry.time));
    Value::Object(fields)
}
