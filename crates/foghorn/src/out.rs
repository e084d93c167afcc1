//! Results to stdout, diagnostics to stderr, and what an ending means.

use std::io::{self, IsTerminal, Write};

/// Why a verb did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It found problems and has said so.
    Told,
    /// It was called wrongly: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Prints a line of the result. A reader that has gone away ends the process quietly, as of any
/// well-behaved filter.
pub(crate) fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    if writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        #[expect(clippy::exit, reason = "nobody reads the result any more")]
        std::process::exit(0);
    }
}

/// An error and what caused it, each said once: some errors say their cause themselves.
pub(crate) fn reasons(error: &anyhow::Error) -> String {
    error
        .chain()
        .fold(String::new(), |said, cause| match cause.to_string() {
            cause if said.is_empty() => cause,
            cause if said.contains(&cause) => said,
            cause => format!("{said}: {cause}"),
        })
}

/// Prints a diagnostic.
pub(crate) fn complain(text: &str) {
    // Where stderr is gone there is nobody to tell.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Whether stdout is a terminal that wants colours.
#[expect(
    clippy::disallowed_methods,
    reason = "NO_COLOR is a convention of terminals, read at the door"
)]
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let check = |error: anyhow::Error, expect: &str| assert_eq!(reasons(&error), expect);
        check(
            anyhow!("no such file").context("x.yaml cannot be read"),
            "x.yaml cannot be read: no such file",
        );
        check(
            anyhow!("no such file").context("x: no such file"),
            "x: no such file",
        );
    }
}
