//! Results as `JUnit` XML, for build servers.

use std::fmt::Write;

use super::Case;

/// One file's results.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// The file, as it was given.
    pub file: String,
    /// When it was run: `2026-01-02T03:04:05`.
    pub timestamp: String,
    /// Why nothing was run.
    pub aborted: Option<String>,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// The results of all files.
pub fn junit(suites: &[Suite]) -> String {
    let mut out = "<testsuites>".to_owned();
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let aborted = usize::from(suite.aborted.is_some());
        let _infallible = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{aborted}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&suite.file),
            suite.cases.len() + aborted,
            escaped(&suite.timestamp),
        );
        if let Some(why) = &suite.aborted {
            let _infallible = write!(
                out,
                "<testcase name=\"unknown\"><error>{}</error></testcase>",
                escaped(why)
            );
        }
        for case in &suite.cases {
            let _infallible = write!(out, "<testcase name=\"{}\">", escaped(&case.name));
            for failure in &case.failures {
                let _infallible = write!(out, "<failure>{}</failure>", escaped(failure));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>");
    out
}

/// Text for XML; what XML cannot hold is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            c if (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}
