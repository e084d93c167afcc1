//! OTLP's messages as data: which JSON key is which protobuf field. Only what the walks read.

/// How a JSON value becomes a field.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// Bytes in hexadecimal (trace and span ids, by OTLP's rule).
    Hex,
    /// Bytes in base64 (by protobuf's rule).
    Base64,
    /// A number, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Double,
    /// 64 bits, fixed: a number or its text.
    Fixed64,
    /// 64 signed bits, fixed.
    SFixed64,
    /// 64 signed bits, varint.
    Int64,
    /// A number, or one of these words (by their endings) by position.
    Enum(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// An object.
    Message(&'static Message),
    /// An array of objects.
    Messages(&'static Message),
    /// An array of numbers, packed.
    PackedDouble,
    /// An array of 64-bit numbers, packed.
    PackedFixed64,
}

/// One field.
pub(crate) struct Field {
    pub json: &'static str,
    pub number: u32,
    pub kind: Kind,
}

/// One message.
pub(crate) struct Message {
    pub fields: &'static [Field],
}

const fn field(json: &'static str, number: u32, kind: Kind) -> Field {
    Field { json, number, kind }
}

/// `ExportMetricsServiceRequest`.
pub(crate) static METRICS_REQUEST: Message = Message {
    fields: &[field(
        "resourceMetrics",
        1,
        Kind::Messages(&RESOURCE_METRICS),
    )],
};

/// `ExportLogsServiceRequest`.
pub(crate) static LOGS_REQUEST: Message = Message {
    fields: &[field("resourceLogs", 1, Kind::Messages(&RESOURCE_LOGS))],
};

/// `ExportTraceServiceRequest`.
pub(crate) static TRACES_REQUEST: Message = Message {
    fields: &[field("resourceSpans", 1, Kind::Messages(&RESOURCE_SPANS))],
};

static RESOURCE_SPANS: Message = Message {
    fields: &[
        field("resource", 1, Kind::Message(&RESOURCE)),
        field("scopeSpans", 2, Kind::Messages(&SCOPE_SPANS)),
    ],
};

static SCOPE_SPANS: Message = Message {
    fields: &[field("spans", 2, Kind::Messages(&SPAN))],
};

static SPAN: Message = Message {
    fields: &[
        field("traceId", 1, Kind::Hex),
        field("spanId", 2, Kind::Hex),
        field("parentSpanId", 4, Kind::Hex),
        field(
            "kind",
            6,
            Kind::Enum(&[
                "UNSPECIFIED",
                "INTERNAL",
                "SERVER",
                "CLIENT",
                "PRODUCER",
                "CONSUMER",
            ]),
        ),
        field("endTimeUnixNano", 8, Kind::Fixed64),
        field("attributes", 9, Kind::Messages(&KEY_VALUE)),
        field("links", 13, Kind::Messages(&LINK)),
    ],
};

static LINK: Message = Message {
    fields: &[
        field("traceId", 1, Kind::Hex),
        field("spanId", 2, Kind::Hex),
    ],
};

static RESOURCE_METRICS: Message = Message {
    fields: &[
        field("resource", 1, Kind::Message(&RESOURCE)),
        field("scopeMetrics", 2, Kind::Messages(&SCOPE_METRICS)),
    ],
};

static RESOURCE_LOGS: Message = Message {
    fields: &[
        field("resource", 1, Kind::Message(&RESOURCE)),
        field("scopeLogs", 2, Kind::Messages(&SCOPE_LOGS)),
    ],
};

static RESOURCE: Message = Message {
    fields: &[field("attributes", 1, Kind::Messages(&KEY_VALUE))],
};

static SCOPE_METRICS: Message = Message {
    fields: &[field("metrics", 2, Kind::Messages(&METRIC))],
};

static SCOPE_LOGS: Message = Message {
    fields: &[field("logRecords", 2, Kind::Messages(&LOG_RECORD))],
};

static KEY_VALUE: Message = Message {
    fields: &[
        field("key", 1, Kind::Text),
        field("value", 2, Kind::Message(&ANY_VALUE)),
    ],
};

static ANY_VALUE: Message = Message {
    fields: &[
        field("stringValue", 1, Kind::Text),
        field("boolValue", 2, Kind::Bool),
        field("intValue", 3, Kind::Int64),
        field("doubleValue", 4, Kind::Double),
        field("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
        field("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
        field("bytesValue", 7, Kind::Base64),
    ],
};

static ARRAY_VALUE: Message = Message {
    fields: &[field("values", 1, Kind::Messages(&ANY_VALUE))],
};

static KEY_VALUE_LIST: Message = Message {
    fields: &[field("values", 1, Kind::Messages(&KEY_VALUE))],
};

static METRIC: Message = Message {
    fields: &[
        field("name", 1, Kind::Text),
        field("unit", 3, Kind::Text),
        field("gauge", 5, Kind::Message(&NUMBERS)),
        field("sum", 7, Kind::Message(&NUMBERS)),
        field("histogram", 9, Kind::Message(&HISTOGRAM)),
        field(
            "exponentialHistogram",
            10,
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        field("summary", 11, Kind::Message(&SUMMARY)),
    ],
};

const TEMPORALITY: Kind = Kind::Enum(&["UNSPECIFIED", "DELTA", "CUMULATIVE"]);

static NUMBERS: Message = Message {
    fields: &[
        field("dataPoints", 1, Kind::Messages(&NUMBER_POINT)),
        field("aggregationTemporality", 2, TEMPORALITY),
        field("isMonotonic", 3, Kind::Bool),
    ],
};

static HISTOGRAM: Message = Message {
    fields: &[
        field("dataPoints", 1, Kind::Messages(&HISTOGRAM_POINT)),
        field("aggregationTemporality", 2, TEMPORALITY),
    ],
};

/// Refused by the walk; that it is there is all that must be kept.
static EXPONENTIAL_HISTOGRAM: Message = Message { fields: &[] };

static SUMMARY: Message = Message {
    fields: &[field("dataPoints", 1, Kind::Messages(&SUMMARY_POINT))],
};

static NUMBER_POINT: Message = Message {
    fields: &[
        field("attributes", 7, Kind::Messages(&KEY_VALUE)),
        field("timeUnixNano", 3, Kind::Fixed64),
        field("asDouble", 4, Kind::Double),
        field("asInt", 6, Kind::SFixed64),
        field("flags", 8, Kind::Int64),
    ],
};

static HISTOGRAM_POINT: Message = Message {
    fields: &[
        field("attributes", 9, Kind::Messages(&KEY_VALUE)),
        field("timeUnixNano", 3, Kind::Fixed64),
        field("count", 4, Kind::Fixed64),
        field("sum", 5, Kind::Double),
        field("bucketCounts", 6, Kind::PackedFixed64),
        field("explicitBounds", 7, Kind::PackedDouble),
        field("flags", 10, Kind::Int64),
    ],
};

static SUMMARY_POINT: Message = Message {
    fields: &[
        field("attributes", 7, Kind::Messages(&KEY_VALUE)),
        field("timeUnixNano", 3, Kind::Fixed64),
        field("count", 4, Kind::Fixed64),
        field("sum", 5, Kind::Double),
        field("quantileValues", 6, Kind::Messages(&QUANTILE)),
        field("flags", 8, Kind::Int64),
    ],
};

static QUANTILE: Message = Message {
    fields: &[
        field("quantile", 1, Kind::Double),
        field("value", 2, Kind::Double),
    ],
};

static LOG_RECORD: Message = Message {
    fields: &[
        field("timeUnixNano", 1, Kind::Fixed64),
        field("observedTimeUnixNano", 11, Kind::Fixed64),
        field("severityNumber", 2, Kind::Enum(&SEVERITIES)),
        field("severityText", 3, Kind::Text),
        field("body", 5, Kind::Message(&ANY_VALUE)),
        field("attributes", 6, Kind::Messages(&KEY_VALUE)),
        field("traceId", 9, Kind::Hex),
        field("spanId", 10, Kind::Hex),
        field("eventName", 12, Kind::Text),
    ],
};

static SEVERITIES: [&str; 25] = [
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];
