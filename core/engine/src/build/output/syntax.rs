//! `--output` as it is typed: `DIR`, `-`, or `type=TYPE[,KEY=VALUE...]`, a line of CSV.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use wharf_store::archive::Form;

use super::{Destination, Output};

/// Why a text is no output.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputSyntaxError {
    /// A part is not KEY=VALUE.
    #[error("invalid value `{0}` in an output: expected KEY=VALUE")]
    Pair(String),
    /// No such type.
    #[error("unknown output type `{0}`: expected local, tar, oci, docker, image, registry or cacheonly")]
    Type(String),
    /// Nothing says what is wanted.
    #[error("an output needs a type: write type=local,dest=DIR")]
    NoType,
    /// There is no place to write to.
    #[error("an output of type {0} needs dest=PATH")]
    NoDestination(String),
    /// It has no meaning for that type.
    #[error("an output of type {kind} has no `{key}`")]
    Key {
        /// The type.
        kind: String,
        /// What was given.
        key: String,
    },
    /// A choice that is none.
    #[error("invalid value `{value}` for `{key}`: expected true or false")]
    Choice {
        /// Of what.
        key: String,
        /// As given.
        value: String,
    },
}

impl Output {
    /// Reads what was typed; `stream` is standard output.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str, stream: &Arc<File>) -> Result<Self, OutputSyntaxError> {
        if text == "-" {
            return Ok(Self::Tar(Destination::Stream(Arc::clone(stream))));
        }
        let fields = fields(text);
        if let [only] = fields.as_slice()
            && !only.contains('=')
        {
            return Ok(Self::Local(only.into()));
        }
        let mut keys = pairs(&fields)?;
        let kind = keys.remove("type").ok_or(OutputSyntaxError::NoType)?;
        let output = Asked { kind: &kind, keys: &mut keys, stream }.output()?;
        match keys.into_keys().next() {
            Some(key) => Err(OutputSyntaxError::Key { kind, key }),
            None => Ok(output),
        }
    }

    /// Whether standard output gets it.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Tar(Destination::Stream(_)) | Self::Archive { to: Destination::Stream(_), .. })
    }
}

/// A line of CSV: a field in quotes may hold commas.
pub(in crate::build) fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => fields.last_mut().into_iter().for_each(|field| field.push(letter)),
        }
    }
    fields
}

/// The same with `KEY=VALUE` in each.
pub(in crate::build) fn pairs(fields: &[String]) -> Result<BTreeMap<String, String>, OutputSyntaxError> {
    let pair = |field: &String| {
        let (key, value) = field.split_once('=').ok_or_else(|| OutputSyntaxError::Pair(field.clone()))?;
        Ok((key.trim().to_ascii_lowercase(), value.to_owned()))
    };
    fields.iter().map(pair).collect()
}

/// What was typed; what is understood is taken out of `keys`.
struct Asked<'a> {
    kind: &'a str,
    keys: &'a mut BTreeMap<String, String>,
    stream: &'a Arc<File>,
}

impl Asked<'_> {
    fn output(&mut self) -> Result<Output, OutputSyntaxError> {
        match self.kind {
            "local" => Ok(Output::Local(self.directory()?)),
            "tar" => Ok(Output::Tar(self.destination().ok_or_else(|| self.no_destination())?)),
            "cacheonly" => Ok(Output::CacheOnly),
            "registry" => self.image(true),
            "image" => self.image(false),
            "docker" => self.docker(),
            "oci" => self.oci(),
            other => Err(OutputSyntaxError::Type(other.to_owned())),
        }
    }

    fn image(&mut self, pushed: bool) -> Result<Output, OutputSyntaxError> {
        self.known_ones()?;
        let pushed = self.choice("push", pushed)?;
        self.choice("store", true)?;
        self.choice("unpack", true)?;
        Ok(if pushed { Output::Registry(self.names()) } else { Output::Image(self.names()) })
    }

    fn docker(&mut self) -> Result<Output, OutputSyntaxError> {
        self.known_ones()?;
        let names = self.names();
        Ok(match self.destination() {
            Some(to) => Output::Archive { form: Form::Docker, to, names },
            None => Output::Image(names),
        })
    }

    fn oci(&mut self) -> Result<Output, OutputSyntaxError> {
        self.known_ones()?;
        let names = self.names();
        if !self.choice("tar", true)? {
            return Ok(Output::Layout { to: self.directory()?, names });
        }
        let to = self.destination().unwrap_or_else(|| Destination::Stream(Arc::clone(self.stream)));
        Ok(Output::Archive { form: Form::Oci, to, names })
    }

    /// What is so anyway: times of what was built are never after the epoch, and media types are OCI's.
    fn known_ones(&mut self) -> Result<(), OutputSyntaxError> {
        self.choice("rewrite-timestamp", true)?;
        self.choice("oci-mediatypes", true).map(drop)
    }

    fn choice(&mut self, key: &str, usual: bool) -> Result<bool, OutputSyntaxError> {
        match self.keys.remove(key).as_deref() {
            None => Ok(usual),
            Some("true" | "1" | "") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(value) => Err(OutputSyntaxError::Choice { key: key.to_owned(), value: value.to_owned() }),
        }
    }

    fn names(&mut self) -> Vec<String> {
        let names = self.keys.remove("name").unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn dest(&mut self) -> Option<String> {
        self.keys.remove("dest").filter(|dest| !dest.is_empty())
    }

    fn destination(&mut self) -> Option<Destination> {
        self.dest().map(|dest| match dest.as_str() {
            "-" => Destination::Stream(Arc::clone(self.stream)),
            path => Destination::File(path.into()),
        })
    }

    fn directory(&mut self) -> Result<PathBuf, OutputSyntaxError> {
        self.dest().map(PathBuf::from).ok_or_else(|| self.no_destination())
    }

    fn no_destination(&self) -> OutputSyntaxError {
        OutputSyntaxError::NoDestination(self.kind.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, OutputSyntaxError> {
        let stream = Arc::new(File::open("/dev/null").unwrap());
        Ok(match Output::parse(text, &stream)? {
            Output::Image(names) => format!("image {}", names.join(" ")),
            Output::Registry(names) => format!("registry {}", names.join(" ")),
            Output::Archive { form, to: Destination::File(path), names } => {
                format!("{form:?} {} {}", path.display(), names.join(" "))
            }
            Output::Archive { form, .. } => format!("{form:?} -"),
            Output::Layout { to, .. } => format!("layout {}", to.display()),
            Output::Local(to) => format!("local {}", to.display()),
            Output::Tar(Destination::File(path)) => format!("tar {}", path.display()),
            Output::Tar(Destination::Stream(_)) => "tar -".to_owned(),
            Output::CacheOnly => "cache".to_owned(),
        })
    }

    #[test]
    fn outputs_are_written_as_buildx_has_them() {
        for (text, expected) in [
            ("out", "local out"),
            ("-", "tar -"),
            ("type=local,dest=a b", "local a b"),
            ("type=tar,dest=-", "tar -"),
            ("type=tar,dest=x.tar", "tar x.tar"),
            ("type=oci", "Oci -"),
            ("type=oci,dest=x,rewrite-timestamp=true", "Oci x "),
            ("type=oci,tar=false,dest=x", "layout x"),
            ("type=docker", "image "),
            ("type=docker,dest=x,name=a:1", "Docker x a:1"),
            (r#"type=image,"name=a:1,b:2""#, "image a:1 b:2"),
            ("type=registry,name=a:1", "registry a:1"),
            ("type=image,push=true", "registry "),
            ("type=cacheonly", "cache"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "for {text}");
        }
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        let key = |kind: &str, key: &str| OutputSyntaxError::Key { kind: kind.into(), key: key.into() };
        for (text, expected) in [
            ("type=local", OutputSyntaxError::NoDestination("local".into())),
            ("type=oci,tar=false", OutputSyntaxError::NoDestination("oci".into())),
            ("dest=x", OutputSyntaxError::NoType),
            ("type=zip,dest=x", OutputSyntaxError::Type("zip".into())),
            ("type=tar,x", OutputSyntaxError::Pair("x".into())),
            ("type=local,dest=x,tar=false", key("local", "tar")),
            ("type=oci,tar=no", OutputSyntaxError::Choice { key: "tar".into(), value: "no".into() }),
        ] {
            assert_eq!(parse(text), Err(expected), "for {text}");
        }
    }
}
