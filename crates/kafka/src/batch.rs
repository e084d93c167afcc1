//! The audited `unsafe`: consuming in batches from a queue of our own.
//!
//! librdkafka's batch call costs less than half of its one-record poll, but the wrapper crate does
//! not offer it, and on the consumer's own queue it would swallow rebalances (they are events there,
//! and the batch call knows only callbacks). So rebalances and errors stay on the consumer's queue,
//! and each assigned partition's fetch queue is forwarded to one queue that only holds records,
//! ends of partitions and errors of partitions.
//!
//! Owns that queue and the messages taken from it. Nothing native leaves this file except borrowed
//! for the time of a callback. What keeps it sound: the queue dies before its client
//! ([`BatchConsumer`]'s `Drop`), and messages die while the client is still borrowed ([`Messages`]).
#![expect(
    unsafe_code,
    reason = "the wrapper crate has no batch consume; see the module's text"
)]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

/// A context that lends its cell to the batch consumer built with it.
pub(crate) trait Forwarding: ConsumerContext {
    /// The cell through which this context forwards partitions on assignment.
    fn cell(&self) -> &ForwardCell;
}

/// Holds the queue of the [`BatchConsumer`] that owns the surrounding context, while that lives.
#[derive(Default)]
pub(crate) struct ForwardCell(Mutex<Option<Queue>>);

/// A consumer whose records are taken in batches.
pub(crate) struct BatchConsumer<C: Forwarding> {
    client: BaseConsumer<C>,
}

/// A message of a batch, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct NativeMessage<'a>(&'a native::rd_kafka_message_t);

/// What a message is, if it is not a record.
pub(crate) enum Notice {
    EndOfPartition,
    Error {
        code: RDKafkaErrorCode,
        text: String,
    },
}

/// The headers of a message, borrowed; librdkafka parses them when first asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativeHeaders<'a> {
    message: NonNull<native::rd_kafka_message_t>,
    borrowed: PhantomData<&'a native::rd_kafka_message_t>,
}

/// A queue created by us.
struct Queue(NonNull<native::rd_kafka_queue_t>);

/// Messages that are ours to destroy.
struct Messages(Vec<*mut native::rd_kafka_message_t>);

// === impl ForwardCell ===

impl ForwardCell {
    /// Lets the partition's records flow to our queue, from now on and over later assignments.
    /// `client` must be the one whose context this cell is part of. False if nothing was forwarded.
    pub(crate) fn forward<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        topic: &str,
        partition: i32,
    ) -> bool {
        let guard = self.lock();
        let (Some(own), Ok(topic)) = (guard.as_ref(), CString::new(topic)) else {
            return false;
        };
        let rk = client.client().native_ptr();
        // SAFETY: `rk` is alive because `client` is borrowed; `topic` is NUL-terminated and copied
        // by the call. The result is null or a reference of ours to the partition's queue.
        let source = unsafe { native::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition) };
        if source.is_null() {
            return false;
        }
        // SAFETY: both queues are alive and of the same client; forwarding takes its own reference
        // to the destination, and `source` is given back exactly once.
        unsafe {
            native::rd_kafka_queue_forward(source, own.0.as_ptr());
            native::rd_kafka_queue_destroy(source);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl BatchConsumer ===

impl<C: Forwarding> BatchConsumer<C> {
    /// Opens the client and the queue.
    pub(crate) fn create(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let client: BaseConsumer<C> = config.create_with_context(context)?;
        // SAFETY: the client is alive; the call returns a new queue of ours, or null.
        let queue = unsafe { native::rd_kafka_queue_new(client.client().native_ptr()) };
        *client.context().cell().lock() = NonNull::new(queue).map(Queue);
        Ok(Self { client })
    }

    /// The client, for everything but records.
    pub(crate) fn client(&self) -> &BaseConsumer<C> {
        &self.client
    }

    /// Shows up to `max` messages, waiting up to `wait` for the first only. Returns their number.
    pub(crate) fn take(
        &mut self,
        max: usize,
        wait: Duration,
        mut each: impl FnMut(NativeMessage<'_>),
    ) -> usize {
        let messages = self.fetch(max, wait);
        for message in &messages.0 {
            // SAFETY: librdkafka gave us the message, it is not null, and `messages` destroys it
            // only after this loop (also on a panic in `each`); nobody else writes to it.
            each(NativeMessage(unsafe { &**message }));
        }
        messages.0.len()
    }

    fn fetch(&mut self, max: usize, wait: Duration) -> Messages {
        let mut messages = Messages(Vec::with_capacity(max));
        let guard = self.client.context().cell().lock();
        let Some(queue) = guard.as_ref().map(|q| q.0.as_ptr()) else {
            return messages;
        };
        if !wait.is_zero() {
            let ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
            // The batch call would wait for a full batch; one message says that there are some.
            // SAFETY: the queue is alive (the cell is locked, the client is ours).
            let first = unsafe { native::rd_kafka_consume_queue(queue, ms) };
            if first.is_null() {
                return messages;
            }
            messages.0.push(first);
        }
        let spare = messages.0.spare_capacity_mut();
        let room = spare.len().min(max);
        // SAFETY: as above; `spare` has room for `room` pointers, of which the call writes the
        // first `taken`, each a message that is now ours.
        let taken = unsafe {
            native::rd_kafka_consume_batch_queue(queue, 0, spare.as_mut_ptr().cast(), room)
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        // SAFETY: `taken` <= spare capacity, and so many elements were just written.
        unsafe { messages.0.set_len(messages.0.len() + taken) };
        messages
    }
}

impl<C: Forwarding> Drop for BatchConsumer<C> {
    fn drop(&mut self) {
        // librdkafka wants queues gone before their client, which is dropped next, as a field. What
        // is still forwarded to the queue afterwards is discarded by librdkafka.
        drop(self.client.context().cell().lock().take());
    }
}

// === impl NativeMessage ===

impl<'a> NativeMessage<'a> {
    /// Equal for equal topics within one batch.
    pub(crate) fn topic_identity(self) -> usize {
        self.0.rkt as usize
    }

    /// Topic's name; "" if the message is not of a topic.
    pub(crate) fn topic(self) -> &'a str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: a message holds a reference to its topic, whose name is a C string that lives as
        // long as it does. Topic names are ASCII by Kafka's rules.
        unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)) }
            .to_str()
            .unwrap_or("")
    }

    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(self) -> i64 {
        self.0.offset
    }

    /// None for a record.
    pub(crate) fn notice(self) -> Option<Notice> {
        match self.0.err {
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Some(Notice::EndOfPartition)
            }
            code => {
                // SAFETY: the message is alive; for one with an error the call returns a C string
                // that lives as long as the message, or a static one.
                let text = unsafe { CStr::from_ptr(native::rd_kafka_message_errstr(self.0)) };
                Some(Notice::Error {
                    code: code.into(),
                    text: text.to_string_lossy().into_owned(),
                })
            }
        }
    }

    /// Timestamp in ms, if there is one, and whether the broker set it.
    pub(crate) fn timestamp(self) -> (Option<i64>, bool) {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` is ours to be written to.
        let at = unsafe { native::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        match kind {
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, false),
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => (Some(at), false),
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                (Some(at), true)
            }
        }
    }

    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: key and its length are librdkafka's, alive and unchanged as long as the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: payload and its length are librdkafka's, alive and unchanged like the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(crate) fn headers(self) -> NativeHeaders<'a> {
        NativeHeaders {
            message: NonNull::from(self.0),
            borrowed: PhantomData,
        }
    }
}

// === impl NativeHeaders ===

impl<'a> NativeHeaders<'a> {
    /// The header at this index.
    pub(crate) fn get(self, index: usize) -> Option<(&'a str, &'a [u8])> {
        let mut headers = std::ptr::null_mut();
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0_usize);
        // SAFETY: the message outlives `'a`. The first call lends the message's header list (it
        // stays the message's; it is parsed at most once, on the thread that holds the message).
        // The second writes name and value, which live as long as the list, if `index` is in range.
        let found = unsafe {
            native::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) == OK
                && native::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                ) == OK
        };
        if !found || name.is_null() {
            return None;
        }
        // SAFETY: as said above; names are NUL-terminated by librdkafka.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("");
        // SAFETY: as said above.
        let value = unsafe { bytes(value, size) };
        Some((name, value.unwrap_or_default()))
    }
}

const OK: native::rd_kafka_resp_err_t = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// # Safety
/// `at` is null, or `len` bytes there are readable and unchanged for `'a`.
unsafe fn bytes<'a>(at: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; null is tested.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

// === impl Queue ===

// SAFETY: librdkafka's queues may be used and destroyed from any thread (they carry their own lock).
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, alive, destroyed once.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

// === impl Messages ===

impl Drop for Messages {
    fn drop(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: ours, not null, destroyed once; borrows of it have ended.
            unsafe { native::rd_kafka_message_destroy(message) }
        }
    }
}
