//! A clock that is set, for `jiff`.
//!
//! The standard library has no clock on `wasm32-unknown-unknown`, and `jiff`, which sigstore's crates reckon
//! with, asks the browser there, through `js-sys`. A component has no browser, but its host tells it when an
//! image was asked for. So this stands in for `js-sys`, as far as `jiff` calls it: the time is the one that
//! was set, and stands still; a time zone is not known.

use std::sync::atomic::{AtomicU64, Ordering};

use wasm_bindgen::JsValue;

/// Seconds since 1970.
static NOW: AtomicU64 = AtomicU64::new(0);

/// Sets the clock, in seconds since 1970.
pub fn set(seconds: u64) {
    NOW.store(seconds, Ordering::Relaxed);
}

/// The time.
#[derive(Debug)]
pub struct Date(u64);

impl Date {
    /// Now.
    #[must_use]
    pub fn new_0() -> Self {
        Self(NOW.load(Ordering::Relaxed))
    }

    /// In milliseconds since 1970.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a number of JavaScript's, exact for 200000 years")]
    pub fn get_time(&self) -> f64 {
        (self.0 * 1000) as f64
    }
}

/// An array, which nobody looks into.
#[derive(Debug, Default)]
pub struct Array;

impl Array {
    /// Without an entry.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// An object, which nobody looks into.
#[derive(Debug, Default)]
pub struct Object;

impl Object {
    /// Without a key.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Looks into objects.
#[derive(Debug)]
pub struct Reflect;

impl Reflect {
    /// What is kept under a key: nothing.
    ///
    /// # Errors
    /// Always.
    pub fn get(_: &Object, _: &JsValue) -> Result<JsValue, JsValue> {
        Err(JsValue)
    }
}

/// Languages and time zones.
#[allow(non_snake_case, reason = "it is called so")]
pub mod Intl {
    use super::{Array, Object};

    /// How times are written.
    #[derive(Debug)]
    pub struct DateTimeFormat;

    impl DateTimeFormat {
        /// As it is usual.
        #[must_use]
        pub fn new(_: &Array, _: &Object) -> Self {
            Self
        }

        /// Says nothing of a time zone.
        #[must_use]
        pub fn resolved_options(&self) -> Object {
            Object
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_says_what_was_set() {
        set(1_700_000_000);
        assert!((Date::new_0().get_time() - 1.7e12).abs() < f64::EPSILON);
        let options = Intl::DateTimeFormat::new(&Array::new(), &Object::new()).resolved_options();
        assert!(Reflect::get(&options, &JsValue::from("timeZone")).is_err());
    }
}
