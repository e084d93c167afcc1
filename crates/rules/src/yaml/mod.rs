//! YAML as a tree in which every value knows its bytes.
//!
//! Owns structure: anchors, merge keys, duplicate keys, and the way from a place inside of a value
//! back to the file (indentation, folds and escapes taken out). Refuses to type anything: a scalar
//! stays the text that was written. Rule files are read from this tree and not straight into
//! structs, so that one bad rule costs that rule and not its file.

mod locate;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self as granit, Event, ScalarStyle};

/// A file may hold so many values, each alias counted with all that it stands for.
const MAX_NODES: usize = 400_000;

/// Values may be nested so deep.
const MAX_DEPTH: usize = 48;

/// A value.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its bytes in the file (of a mapping or sequence: from its start to its end).
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Values in it, itself included.
    size: usize,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A text.
    Scalar {
        /// The text after YAML's own escapes.
        value: String,
        /// How it is written.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Arc<Node>>),
    /// Keys and values.
    Mapping(Mapping),
}

/// Keys and values in file order.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// Each key once.
    pub(crate) entries: Vec<(Key, Arc<Node>)>,
    /// Keys that stood there before.
    pub(crate) repeated: Vec<Key>,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its text.
    pub(crate) text: String,
    /// Its bytes in the file.
    pub(crate) span: Range<usize>,
}

/// Why a text is not YAML (that we read), and where.
#[derive(Debug)]
pub(crate) struct YamlError {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

/// A file's first document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its value; `None` where the file is empty.
    pub(crate) root: Option<Arc<Node>>,
    /// Where a second document starts, if there is one.
    pub(crate) second: Option<Range<usize>>,
}

/// Reads the first document of a text.
pub(crate) fn parse(text: &str) -> Result<Document, YamlError> {
    let mut options = granit::Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    let mut documents = 0;
    for next in granit::Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| syntax(text, &error))?;
        let span = bytes(&span);
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents == 2 {
                return Ok(Document {
                    root: builder.root,
                    second: Some(span),
                });
            }
        }
        builder.take(event, span)?;
    }
    Ok(Document {
        root: builder.root,
        second: None,
    })
}

fn bytes(span: &granit::Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn syntax(text: &str, error: &granit::ScanError) -> YamlError {
    let at = text.floor_char_boundary(
        error
            .marker()
            .byte_offset()
            .unwrap_or(text.len())
            .min(text.len()),
    );
    let message = error.info();
    // The scanner may stand a line before the tab that it complains about.
    let tab = message
        .contains("tab")
        .then(|| text[at..].find('\t'))
        .flatten()
        .map(|tab| at + tab);
    let start = tab.unwrap_or(at);
    YamlError {
        span: start..start + 1,
        message: format!("this is not YAML: {message}"),
        hint: tab.map(|_| "YAML is indented by spaces, never by tabs"),
    }
}

// === Builder ===

/// Makes the tree from the parser's events.
#[derive(Default)]
struct Builder {
    root: Option<Arc<Node>>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Arc<Node>>,
    nodes: usize,
}

/// A collection that is not finished.
struct Open {
    start: usize,
    anchor: usize,
    size: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Arc<Node>>),
    Mapping {
        mapping: Mapping,
        key: Option<Key>,
        merged: Vec<Arc<Node>>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), YamlError> {
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let node = Node {
                    span,
                    kind: Kind::Scalar {
                        value: value.into_owned(),
                        style,
                    },
                    size: 1,
                };
                self.finish(Arc::new(node), anchor)
            }
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id).map(Arc::clone) else {
                    return Err(refusal(span, "an alias inside of what it stands for"));
                };
                // The alias is where it is used; a problem in it is shown where it was written.
                self.finish(target, 0)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(span, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                let mapping = Mapping::default();
                self.open(
                    span,
                    anchor,
                    Content::Mapping {
                        mapping,
                        key: None,
                        merged: Vec::new(),
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        span: Range<usize>,
        anchor: usize,
        content: Content,
    ) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(refusal(span, "values are nested too deep"));
        }
        self.open.push(Open {
            start: span.start,
            anchor,
            size: 1,
            content,
        });
        Ok(())
    }

    fn close(&mut self, span: &Range<usize>) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.content {
            Content::Sequence(items) => Kind::Sequence(items),
            Content::Mapping {
                mut mapping,
                merged,
                ..
            } => {
                merge(&mut mapping, &merged)?;
                Kind::Mapping(mapping)
            }
        };
        let node = Node {
            span: open.start..span.end.max(open.start),
            kind,
            size: open.size,
        };
        self.finish(Arc::new(node), open.anchor)
    }

    fn finish(&mut self, node: Arc<Node>, anchor: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(node.size);
        if self.nodes > MAX_NODES {
            let message =
                "the file holds too many values (aliases counted with what they stand for)";
            return Err(refusal(node.span.clone(), message));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        open.size += node.size;
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping {
                mapping,
                key,
                merged,
            } => match key.take() {
                None => *key = Some(as_key(&node)?),
                Some(name) if name.text == "<<" => merged.push(node),
                Some(name) if mapping.get(&name.text).is_some() => mapping.repeated.push(name),
                Some(name) => mapping.entries.push((name, node)),
            },
        }
        Ok(())
    }
}

fn refusal(span: Range<usize>, message: &str) -> YamlError {
    YamlError {
        span,
        message: message.to_owned(),
        hint: None,
    }
}

fn as_key(node: &Node) -> Result<Key, YamlError> {
    match &node.kind {
        Kind::Scalar { value, .. } => Ok(Key {
            text: value.clone(),
            span: node.span.clone(),
        }),
        _ => Err(refusal(node.span.clone(), "a key must be a text")),
    }
}

/// `<<: *anchor`: keys of the mappings named, where the mapping itself has none such.
fn merge(mapping: &mut Mapping, merged: &[Arc<Node>]) -> Result<(), YamlError> {
    for source in merged {
        let sources = match &source.kind {
            Kind::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(source),
        };
        for source in sources {
            let Kind::Mapping(from) = &source.kind else {
                return Err(refusal(source.span.clone(), "`<<` merges mappings only"));
            };
            for (key, value) in &from.entries {
                if mapping.get(&key.text).is_none() {
                    mapping.entries.push((key.clone(), Arc::clone(value)));
                }
            }
        }
    }
    Ok(())
}

// === impl Mapping ===

impl Mapping {
    /// Value of a key.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(_, node)| &**node)
    }
}

// === impl Node ===

impl Node {
    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(value),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// Whether it is nothing (`key:`, `~` or `null`, unquoted).
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar {
                value,
                style: ScalarStyle::Plain,
            } => {
                matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a text",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_and_merge_keys() {
        let yaml = "a: &a {p: 1, q: 2}\nb:\n  <<: *a\n  q: 3\nc: *a\n";
        let root = parse(yaml).unwrap().root.unwrap();
        let Kind::Mapping(mapping) = &root.kind else {
            panic!("not a mapping")
        };
        let Kind::Mapping(b) = &mapping.get("b").unwrap().kind else {
            panic!("not a mapping")
        };
        assert_eq!(b.get("p").unwrap().text(), Some("1"));
        assert_eq!(b.get("q").unwrap().text(), Some("3"));
        assert_eq!(mapping.get("c").unwrap().noun(), "a mapping");
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let last = format!("*a{}, ", i - 1).repeat(10);
            yaml = format!("{yaml}a{i}: &a{i} [{last}]\n");
        }
        assert!(
            parse(&yaml)
                .unwrap_err()
                .message
                .contains("too many values")
        );
        assert!(
            parse(&format!("{}{}", "[".repeat(60), "]".repeat(60)))
                .unwrap_err()
                .message
                .contains("nested too deep")
        );
    }

    #[test]
    fn keys_twice_and_documents_twice() {
        let document = parse("a: 1\na: 2\n---\nb: 1\n").unwrap();
        assert_eq!(document.second, Some(10..13));
        let root = document.root.unwrap();
        let Kind::Mapping(mapping) = &root.kind else {
            panic!("not a mapping")
        };
        assert_eq!(mapping.repeated[0].span, 5..6);
    }
}
