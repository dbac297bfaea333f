//! Stands in for `wasm-bindgen` where there is no JavaScript: a value of it is nothing. See `js-sys` beside.

/// Nothing.
#[derive(Debug)]
pub struct JsValue;

impl From<&str> for JsValue {
    fn from(_: &str) -> Self {
        Self
    }
}

impl TryFrom<JsValue> for String {
    type Error = JsValue;

    fn try_from(value: JsValue) -> Result<Self, JsValue> {
        Err(value)
    }
}
