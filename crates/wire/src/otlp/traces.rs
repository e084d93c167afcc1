//! OTLP traces, read for one thing: which service calls which.
//!
//! An edge is told by a client's or producer's span and a child of it in another service (or a
//! consumer's link to it), and by what a client's span says of whom it calls: `peer.service`, or
//! the database's name or system where it calls a database, which sends no spans of its own.
//! `server.address` is not used: the service that answers there tells its own name by its own
//! span. Spans are no samples; a record's latest end of a span moves event time, so that a
//! partition of nothing but traces holds nobody back.

use foghorn_model::{Refusal, SampleSink, Timestamp};

use crate::decoder::{Scratch, Settings};
use crate::otlp::any_value::{AnyValue, KeyValue};
use crate::otlp::resource::each_attribute;
use crate::otlp::spans::{SpanKey, SpanTable};
use crate::proto::{Fields, Malformed};

/// Most links of one span that are looked at.
const MAX_LINKS: usize = 32;

/// Decodes an `ExportTraceServiceRequest`.
pub(crate) fn decode<S: SampleSink>(
    _settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    Fields::check(request).map_err(|error| error.at("request"))?;
    let mut walk = Walk {
        table: &mut scratch.spans,
        name: &mut scratch.text,
        sink,
        spans: 0,
        latest: 0,
        overfull: false,
        failed: None,
    };
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("request"))? {
        if number == 1 {
            let done = value
                .bytes()
                .and_then(|message| walk.resource_spans(message));
            walk.settle(done, "resource spans");
        }
    }
    let Walk {
        spans,
        latest,
        overfull,
        failed,
        sink,
        ..
    } = walk;
    if latest > 0 {
        sink.witness(Timestamp::from_nanos(latest));
    }
    if overfull {
        sink.refuse(Refusal::new(
            "too_many_services",
            "spans of more services than are kept apart",
        ));
    }
    match failed {
        Some(refusal) if spans == 0 => Err(refusal),
        Some(refusal) => {
            sink.refuse(refusal);
            Ok(())
        }
        None => Ok(()),
    }
}

struct Walk<'w, S> {
    table: &'w mut SpanTable,
    /// A service's name where it is not text.
    name: &'w mut String,
    sink: &'w mut S,
    spans: u64,
    /// Latest end of a span, in nanoseconds.
    latest: u64,
    overfull: bool,
    failed: Option<Refusal>,
}

impl<S: SampleSink> Walk<'_, S> {
    fn settle(&mut self, done: Result<(), Malformed>, place: &str) {
        if let Err(error) = done {
            match &self.failed {
                None => self.failed = Some(error.at(place)),
                Some(_) => self.sink.refuse(error.at(place)),
            }
        }
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut resource: &[u8] = &[];
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                resource = value.bytes()?;
            }
        }
        self.name.clear();
        each_attribute(resource, 1, |pair| {
            let pair = KeyValue::read(pair)?;
            if pair.key == "service.name" {
                self.name.clear();
                AnyValue::read(pair.value)?.write_text(self.name)?;
            }
            Ok(())
        })?;
        let service = if self.name.is_empty() {
            None
        } else {
            let number = self.table.service(self.name);
            self.overfull |= number.is_none();
            number
        };
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                self.scope_spans(value.bytes()?, service)?;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], service: Option<u32>) -> Result<(), Malformed> {
        Fields::check(message)?;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                let done = value.bytes().and_then(|span| self.span(span, service));
                self.settle(done, "span");
            }
        }
        Ok(())
    }

    fn span(&mut self, message: &[u8], service: Option<u32>) -> Result<(), Malformed> {
        let span = Span::read(message)?;
        self.spans += 1;
        self.latest = self.latest.max(span.end);
        let Some(service) = service else {
            return Ok(());
        };
        if let Some(key) = SpanKey::of(span.trace, span.id) {
            self.table.span(key, service, self.sink);
        }
        if span.kind.is_called()
            && let Some(parent) = SpanKey::of(span.trace, span.parent)
        {
            self.table.called_by(parent, service, self.sink);
        }
        if span.kind == SpanKind::Consumer {
            for key in span.links(message)? {
                self.table.called_by(key, service, self.sink);
            }
        }
        if span.kind.calls()
            && let Some(peer) = span.peer()
            && peer != *self.name
        {
            self.sink.edge(self.name, peer);
        }
        Ok(())
    }
}

/// `SpanKind`, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl SpanKind {
    const fn of(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// Whether its parent may be another service's span.
    const fn is_called(self) -> bool {
        matches!(self, Self::Server | Self::Consumer | Self::Unspecified)
    }

    const fn calls(self) -> bool {
        matches!(self, Self::Client | Self::Producer)
    }
}

/// What a span says, borrowed.
#[derive(Debug, Default)]
struct Span<'a> {
    trace: &'a [u8],
    id: &'a [u8],
    parent: &'a [u8],
    kind: SpanKind,
    /// Nanoseconds since the epoch.
    end: u64,
    peer_service: &'a str,
    db_name: &'a str,
    db_system: &'a str,
    has_links: bool,
}

impl<'a> Span<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut span = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => span.trace = value.bytes()?,
                2 => span.id = value.bytes()?,
                4 => span.parent = value.bytes()?,
                6 => span.kind = SpanKind::of(value.varint()?),
                8 => span.end = value.fixed64()?,
                9 => span.attribute(KeyValue::read(value.bytes()?)?)?,
                13 => {
                    value.bytes()?;
                    span.has_links = true;
                }
                _ => {}
            }
        }
        Ok(span)
    }

    fn attribute(&mut self, pair: KeyValue<'a>) -> Result<(), Malformed> {
        let slot = match pair.key {
            "peer.service" => &mut self.peer_service,
            "db.namespace" | "db.name" => &mut self.db_name,
            "db.system.name" | "db.system" => &mut self.db_system,
            _ => return Ok(()),
        };
        if let AnyValue::Text(text) = AnyValue::read(pair.value)? {
            *slot = text;
        }
        Ok(())
    }

    /// Whom it says that it calls.
    fn peer(&self) -> Option<&'a str> {
        [self.peer_service, self.db_name, self.db_system]
            .into_iter()
            .find(|name| !name.is_empty())
    }

    /// The spans that it is linked to.
    fn links(&self, message: &[u8]) -> Result<Vec<SpanKey>, Malformed> {
        let mut keys = Vec::new();
        if !self.has_links {
            return Ok(keys);
        }
        each_attribute(message, 13, |link| {
            let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
            let mut fields = Fields::new(link);
            while let Some((number, value)) = fields.next()? {
                match number {
                    1 => trace = value.bytes()?,
                    2 => span = value.bytes()?,
                    _ => {}
                }
            }
            if keys.len() < MAX_LINKS {
                keys.extend(SpanKey::of(trace, span));
            }
            Ok(())
        })?;
        Ok(keys)
    }
}
