//! Text that is not for people's eyes.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

/// A password, a token, or a URL that holds one. `Debug` hides it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps what is secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads a file that holds nothing else; white space at its end does not count.
    ///
    /// # Errors
    /// In words, with the path.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
        match text.trim_end() {
            "" => Err(format!("the secret in {} is empty", path.display())),
            secret => Ok(Self(secret.to_owned())),
        }
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}
