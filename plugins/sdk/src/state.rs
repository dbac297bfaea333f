//! What a driver remembers between calls. Changes are part of the plan it returns.

/// The driver's own keys, as they were committed last.
pub trait View {
    /// The value of a key.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// The keys that begin with `prefix`, sorted, at most `limit`.
    fn keys(&self, prefix: &str, limit: u32) -> Vec<String>;
}

#[cfg(target_arch = "wasm32")]
impl View for crate::bindings::storage::wharf::plugin::state::View {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        Self::get(self, key)
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        Self::keys(self, prefix, limit)
    }
}
