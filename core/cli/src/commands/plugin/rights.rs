//! How rights are shown.

use serde_json::{Value, json};
use wharf_engine::plugin::{RightState, Standing};

/// One cell of a table: `3 of 4 granted`.
pub(super) fn summary(rights: &[RightState]) -> String {
    let requested = rights.iter().filter(|state| state.standing != Standing::NotRequested).count();
    let granted = rights.iter().filter(|state| state.standing == Standing::Granted).count();
    let useless = rights.len() - requested;
    let mut text = match (granted, requested) {
        (_, 0) => "none".to_owned(),
        (granted, requested) if granted == requested => "all".to_owned(),
        (granted, requested) => format!("{granted} of {requested}"),
    };
    if useless > 0 {
        text += &format!(" (+{useless} not requested)");
    }
    text
}

/// Rows of right, standing and reason.
pub(super) fn rows(rights: &[RightState]) -> Vec<Vec<String>> {
    let row = |state: &RightState| {
        vec![state.right.clone(), state.standing.as_str().to_owned(), crate::output::printable(&state.reason)]
    };
    rights.iter().map(row).collect()
}

/// For `--format json`.
pub(super) fn json(rights: &[RightState]) -> Value {
    let object = |state: &RightState| json!({"Right": state.right, "Reason": state.reason, "Standing": state.standing.as_str()});
    rights.iter().map(object).collect()
}

/// What is requested and not granted.
pub(super) fn missing(rights: &[RightState]) -> Vec<&str> {
    let missing = |state: &&RightState| matches!(state.standing, Standing::NotGranted | Standing::Partly);
    rights.iter().filter(missing).map(|state| state.right.as_str()).collect()
}
