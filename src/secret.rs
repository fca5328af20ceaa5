//! Values that must never leave the process as text.

use std::fmt;

/// A secret: a token, a key, a password. It prints as `(hidden)` everywhere; only [`Secret::expose`] gives the value,
/// and only code that sends it calls that.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value, for sending it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// First 12 hex digits of its SHA-256: to compare two secrets without showing them.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.0.as_bytes());
        digest.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect()
    }

    /// Last four characters, when the value is long enough that they give nothing away.
    pub fn tail(&self) -> Option<&str> {
        let cut = self.0.char_indices().rev().nth(3)?.0;
        (cut >= 12).then(|| &self.0[cut..])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
