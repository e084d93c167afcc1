//! What can go wrong between us and a cluster, without rdkafka's types.

use rdkafka::error::KafkaError as RdError;

/// A failure of a client call or of the cluster behind it. No variant carries a property's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// A property is refused, unknown, or has a value that librdkafka does not take.
    #[error("kafka property `{name}`: {reason}")]
    Property {
        /// The property's name, as in librdkafka's CONFIGURATION.md.
        name: String,
        /// Why it is refused.
        reason: String,
    },
    /// The client or a broker refused a call.
    #[error("failed to {doing}: {text}")]
    Client {
        /// What was being done, as in "failed to …".
        doing: &'static str,
        /// librdkafka's name of the error, for metrics (`UnknownTopicOrPartition`); may be empty.
        code: String,
        /// librdkafka's explanation.
        text: String,
    },
    /// This client instance is of no use any more (fenced, say): close it and make another.
    #[error("the kafka client failed for good: {text} ({code})")]
    Fatal {
        /// librdkafka's name of the error.
        code: String,
        /// librdkafka's explanation.
        text: String,
    },
    /// No answer in time. Whether the cluster did it is unknown.
    #[error("failed to {doing} in time")]
    TimedOut {
        /// What was being done, as in "failed to …".
        doing: &'static str,
    },
    /// The topic does not exist, or not for this principal.
    #[error("topic `{topic}` does not exist")]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
    },
    /// A topic exists, but not as it has to be.
    #[error("topic `{topic}` is not as required: {}", differences.join("; "))]
    TopicMismatch {
        /// The topic.
        topic: String,
        /// One sentence for each difference.
        differences: Vec<String>,
    },
    /// The group's coordinator does not know this member, or no longer.
    #[error("no longer a member of group `{group}` ({code})")]
    NotMember {
        /// The group.
        group: String,
        /// librdkafka's name of the error.
        code: String,
    },
    /// The caller is not (or no longer) the owner of these partitions.
    #[error("failed to {doing}: `{topic}`/{partition} is not assigned to this consumer")]
    NotAssigned {
        /// What was being done, as in "failed to …".
        doing: &'static str,
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
}

/// Why a record was not taken for sending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The producer's queue is full: serve [`crate::Producer::poll_acks`], then try again.
    #[error("the producer's queue is full")]
    Full,
    /// This record will never be taken (too large, unknown partition), or the producer is dead.
    #[error(transparent)]
    Refused(#[from] KafkaError),
}

impl KafkaError {
    /// Whether the client must be closed and made anew.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }

    /// Translates rdkafka's error. The value of a refused property is left out: it may be secret.
    pub(crate) fn from_rd(doing: &'static str, error: &RdError) -> Self {
        if let RdError::ClientConfig(_, reason, name, _) = error {
            return Self::Property {
                name: name.clone(),
                reason: reason.clone(),
            };
        }
        let code = error
            .rdkafka_error_code()
            .map(|c| format!("{c:?}"))
            .unwrap_or_default();
        let text = error.to_string();
        if matches!(error, RdError::MessageConsumptionFatal(_)) || code == "Fatal" {
            return Self::Fatal { code, text };
        }
        if matches!(
            code.as_str(),
            "OperationTimedOut" | "RequestTimedOut" | "MessageTimedOut"
        ) {
            return Self::TimedOut { doing };
        }
        Self::Client { doing, code, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode;
    use rdkafka::types::RDKafkaConfRes;

    #[test]
    fn a_refused_property_never_shows_its_value() {
        let refused = RdError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "invalid value".into(),
            "sasl.password".into(),
            "hunter2".into(),
        );
        let shown = format!("{0} {0:?}", KafkaError::from_rd("open", &refused));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("sasl.password"), "{shown}");
    }

    #[test]
    fn fatal_and_timeout_are_kinds_of_their_own() {
        let fenced = RdError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId);
        assert!(KafkaError::from_rd("poll", &fenced).is_fatal());
        let late = RdError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(
            KafkaError::from_rd("ask", &late),
            KafkaError::TimedOut { doing: "ask" }
        );
    }
}
