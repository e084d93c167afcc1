//! Templates of labels and annotations: the part of Go's `text/template` that rules use.
//!
//! Owns compiling (so that a broken template fails `check`, not the night) and rendering as
//! Prometheus renders, byte for byte. Refuses what needs a query while rendering: `query` and what
//! goes with it, `range`, `define`.

mod format;
mod functions;
mod lex;
mod parse;
mod pipeline;
mod printf;
mod run;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use foghorn_model::Labels;
use thiserror::Error;

pub use format::format_float;

use parse::Piece;

/// A compiled template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    body: Arc<Body>,
    /// `$externalLabels`, where the context has none.
    external_labels: Arc<[(String, String)]>,
}

#[derive(Debug)]
enum Body {
    /// A text without any action.
    Plain,
    /// Pieces to run.
    Pieces(Vec<Piece>),
    /// What every rendering says: the template is legal, but not one that we can run.
    Failing(String),
}

/// What a template sees.
#[derive(Clone, Copy, Debug)]
pub struct TemplateContext<'a> {
    /// `$labels`.
    pub labels: &'a Labels,
    /// `$value`.
    pub value: f64,
    /// `$externalLabels`.
    pub external_labels: &'a [(String, String)],
}

impl<'a> TemplateContext<'a> {
    /// What a template sees of one element; without external labels.
    pub fn new(labels: &'a Labels, value: f64) -> Self {
        Self {
            labels,
            value,
            external_labels: &[],
        }
    }

    /// The same with the process' external labels.
    #[must_use]
    pub fn with_external_labels(self, external_labels: &'a [(String, String)]) -> Self {
        Self {
            external_labels,
            ..self
        }
    }
}

/// Why a template does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {at}: {message}")]
pub(crate) struct TemplateError {
    /// Byte of the text.
    pub(crate) at: usize,
    /// For people.
    pub(crate) message: String,
    /// Whether Prometheus would run it.
    pub(crate) unsupported: bool,
}

impl Template {
    /// A text without any action.
    pub fn plain(text: &str) -> Self {
        Self::new(text, Body::Plain)
    }

    /// Compiles a text; the error says what is wrong and at which byte of the text.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        Self::compile(text).map_err(|error| (error.at, error.message))
    }

    pub(crate) fn compile(text: &str) -> Result<Self, TemplateError> {
        if !text.contains("{{") {
            return Ok(Self::plain(text));
        }
        parse::parse(text).map(|pieces| Self::new(text, Body::Pieces(pieces)))
    }

    /// A template that is legal but that we cannot run: it renders as one that failed.
    pub(crate) fn failing(text: &str, why: &str) -> Self {
        Self::new(text, Body::Failing(why.to_owned()))
    }

    fn new(text: &str, body: Body) -> Self {
        Self {
            source: text.into(),
            body: Arc::new(body),
            external_labels: Arc::new([]),
        }
    }

    /// The same with external labels of its own, for contexts that bring none.
    #[must_use]
    pub fn with_external_labels(self, external_labels: &Arc<[(String, String)]>) -> Self {
        Self {
            external_labels: Arc::clone(external_labels),
            ..self
        }
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it renders the same whatever it sees.
    pub fn is_plain(&self) -> bool {
        matches!(*self.body, Body::Plain)
    }

    /// Renders it. A failure at run time renders as Prometheus does:
    /// `<error expanding template: …>`.
    pub fn render(&self, context: &TemplateContext<'_>) -> String {
        let failed = |why: &str| format!("<error expanding template: {why}>");
        let own = TemplateContext {
            external_labels: &self.external_labels,
            ..*context
        };
        let context = if context.external_labels.is_empty() {
            &own
        } else {
            context
        };
        match &*self.body {
            Body::Plain => (*self.source).to_owned(),
            Body::Failing(why) => failed(why),
            Body::Pieces(pieces) => match run::run(pieces, context, self.source.len()) {
                Ok(text) => text,
                Err(why) => failed(&why),
            },
        }
    }
}

impl PartialEq for Template {
    /// Templates of one text are one.
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}
