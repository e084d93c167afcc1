//! Templates of labels and annotations: the part of Go's `text/template` that rules use.
//!
//! Owns compiling (so that a broken template fails `check`, not the night) and rendering as
//! Prometheus renders, byte for byte. What `query` asks is answered by whoever renders
//! ([`Queries`]); which series it may ask for is known when a template is compiled. Refuses a
//! `query` of which nothing is written out, and Go's `js` and `call`.

mod asked;
mod format;
mod functions;
mod lex;
mod numbers;
mod parse;
mod pipeline;
mod printf;
mod run;
mod texts;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use foghorn_model::{Labels, Timestamp};
use thiserror::Error;

pub use format::format_float;

pub(crate) use asked::HOLE;
use asked::Needs;
use parse::Parsed;

/// A compiled template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    body: Arc<Body>,
    /// `$externalLabels`, where the context has none.
    external_labels: Arc<[(String, String)]>,
    /// `$externalURL`, where the context has none.
    external_url: Arc<str>,
}

#[derive(Debug)]
enum Body {
    /// A text without any action.
    Plain,
    /// Pieces to run.
    Pieces { parsed: Parsed, needs: Needs },
    /// What every rendering says: the template is legal, but not one that we can run.
    Failing(String),
}

/// An expression that a template asks by `query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its text, with [`HOLE`] for each part that only rendering can tell.
    pub(crate) text: String,
    /// Byte of the template's text where it is asked.
    pub(crate) at: usize,
}

/// An element of what a query gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, the metric's name among them where it has one.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// Answers the queries of templates.
pub trait Queries {
    /// What an expression gives, at the instant that the template is rendered for.
    ///
    /// # Errors
    /// Why it gives nothing.
    fn query(&mut self, text: &str) -> Result<Vec<Sample>, String>;
}

/// Answers no query.
#[derive(Clone, Copy, Debug)]
pub struct NoQueries;

impl Queries for NoQueries {
    fn query(&mut self, _: &str) -> Result<Vec<Sample>, String> {
        Err("queries are not answered here".to_owned())
    }
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
    /// `$externalURL`.
    pub external_url: &'a str,
    /// The instant that it is rendered for.
    pub at: Timestamp,
}

impl<'a> TemplateContext<'a> {
    /// What a template sees of one element; without external labels.
    pub fn new(labels: &'a Labels, value: f64) -> Self {
        Self {
            labels,
            value,
            external_labels: &[],
            external_url: "",
            at: Timestamp(0),
        }
    }

    /// The same at an instant.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
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
    /// Whether Prometheus would load it all the same.
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
        let parsed = parse::parse(text)?;
        let needs = asked::needs(&parsed)?;
        Ok(Self::new(text, Body::Pieces { parsed, needs }))
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
            external_url: "".into(),
        }
    }

    /// The same with an address of the process of its own, for contexts that bring none.
    #[must_use]
    pub fn with_external_url(self, external_url: &Arc<str>) -> Self {
        Self {
            external_url: Arc::clone(external_url),
            ..self
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

    /// The expressions that it asks by `query`.
    pub(crate) fn asked(&self) -> &[Asked] {
        match &*self.body {
            Body::Pieces { needs, .. } => &needs.asked,
            Body::Plain | Body::Failing(_) => &[],
        }
    }

    /// Whether its text can be another for another value of the element.
    pub fn sees_value(&self) -> bool {
        matches!(&*self.body, Body::Pieces { needs, .. } if needs.value)
    }

    /// Whether its text can be another at another time: it asks queries, or the time.
    pub fn sees_time(&self) -> bool {
        matches!(&*self.body, Body::Pieces { needs, .. } if needs.now || !needs.asked.is_empty())
    }

    /// Renders it where there is nobody to answer queries. A failure at run time renders as
    /// Prometheus does: `<error expanding template: …>`.
    pub fn render(&self, context: &TemplateContext<'_>) -> String {
        self.render_asking(context, &mut NoQueries)
    }

    /// Renders it; its queries are answered by `queries`.
    pub fn render_asking(
        &self,
        context: &TemplateContext<'_>,
        queries: &mut dyn Queries,
    ) -> String {
        let failed = |why: &str| format!("<error expanding template: {why}>");
        let mut context = *context;
        if context.external_labels.is_empty() {
            context.external_labels = &self.external_labels;
        }
        if context.external_url.is_empty() {
            context.external_url = &self.external_url;
        }
        match &*self.body {
            Body::Plain => (*self.source).to_owned(),
            Body::Failing(why) => failed(why),
            Body::Pieces { parsed, .. } => {
                match run::run(parsed, &context, queries, self.source.len()) {
                    Ok(text) => text,
                    Err(why) => failed(&why),
                }
            }
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
