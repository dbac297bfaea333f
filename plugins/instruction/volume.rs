//! `VOLUME path ...` or `VOLUME ["path", ...]`: directories whose content outlives a container's
//! own file system.

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Volume;

wharf_sdk::export_instruction!(Volume);

impl Instruction for Volume {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("VOLUME", "directories that get a volume of their own", BodyKind::JsonOrWords)
                .expanding(),
        ]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "adds volumes")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let paths = call.words();
        if paths.is_empty() {
            return Err(refuse("VOLUME requires at least one argument"));
        }
        if paths.iter().any(|path| path.trim().is_empty()) {
            return Err(refuse("VOLUME specified can not be an empty string"));
        }
        let mut once: Vec<&str> = Vec::new();
        for path in paths.iter().map(|path| path.trim()) {
            if !once.contains(&path) {
                once.push(path);
            }
        }
        Ok(Plan::config(once.into_iter().map(|path| ConfigChange::Volume(path.into()))).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::Body;
    use wharf_sdk::testing::{Stage, call};

    #[test]
    fn the_same_path_twice_is_one_volume() {
        let json =
            |paths: &[&str]| call("VOLUME", Body::Json(paths.iter().map(|path| (*path).into()).collect()));
        let plan = Volume::plan(&json(&["/data", "/data"]), &Stage::default());
        assert_eq!(plan, Ok(Plan::config([ConfigChange::Volume("/data".into())]).into()));
        assert!(Volume::plan(&json(&[]), &Stage::default()).is_err());
        assert!(Volume::plan(&json(&["/a", " "]), &Stage::default()).is_err());
    }
}
