//! The only `unsafe` of the crate: what librdkafka can do and its safe wrapper cannot, or not fast enough.
//!
//! * Reading in batches: `rd_kafka_consume_batch_queue` takes half of the CPU per record that
//!   `BaseConsumer::poll` takes.
//! * `rd_kafka_commit_transaction` alone: the wrapper flushes first, in slices of 100 ms.
//! * Being told of what arrives in a queue: the wrapper spins for the last millisecond of every wait.
//! * Topic ids, the operations that a principal is allowed, and incremental changes of topic settings, which
//!   the wrapper lacks.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    thread::Thread,
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    client::{Client, ClientContext},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    producer::{Producer, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use rdkafka_sys as sys;

use crate::log::{Header, Offset, PartitionId, TopicDescription};

/// Records taken from librdkafka by one call.
const BATCH: usize = 1_024;
/// Bytes that librdkafka may write of an error's text.
const TEXT_BYTES: usize = 512;

/// An error of a native call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeError {
    pub code: Code,
    pub text: String,
    /// The client can do nothing any more.
    pub is_fatal: bool,
}

impl NativeError {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), is_fatal: false }
    }

    /// Takes an error over from librdkafka; null is success.
    fn check(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a non-null error of librdkafka is valid and ours until it is destroyed, which happens here,
        // once.
        unsafe {
            let failure = Self {
                code: sys::rd_kafka_error_code(error).into(),
                text: text(sys::rd_kafka_error_string(error)),
                is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(failure)
        }
    }
}

/// One fetched record, or an error of its partition. Holds librdkafka's memory until it is dropped.
pub struct Message {
    raw: NonNull<sys::rd_kafka_message_t>,
}

// SAFETY: a message is a heap object of librdkafka with atomic reference counts to what it came from; nothing
// in it is bound to a thread.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer came from librdkafka and is destroyed only in `drop`.
        unsafe { self.raw.as_ref() }
    }

    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.raw().partition.try_into().unwrap_or(PartitionId::MAX)
    }

    #[must_use]
    pub fn offset(&self) -> Offset {
        self.raw().offset
    }

    /// What is wrong with the partition, if this is no record.
    #[must_use]
    pub fn error(&self) -> Option<NativeError> {
        let code: Code = self.raw().err.into();
        if code == Code::NoError {
            return None;
        }
        // SAFETY: the message is valid; its error string lives as long as it, and is copied at once.
        let said = unsafe { text(sys::rd_kafka_message_errstr(self.raw.as_ptr())) };
        Some(NativeError::new(code, said))
    }

    /// Milliseconds since 1970; 0 where the log has none.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        // SAFETY: the message is valid, and the type of the time may be left out.
        let time_ms = unsafe { sys::rd_kafka_message_timestamp(self.raw.as_ptr(), ptr::null_mut()) };
        time_ms.max(0)
    }

    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka states the length of what the pointer leads to, which lives as long as the
        // message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// The headers; names that are no UTF-8 have their bad bytes replaced.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: the message is valid, and owns the headers that it hands out. Name and value point into
        // them and are copied before the message can go.
        unsafe {
            if sys::rd_kafka_message_headers(self.raw.as_ptr(), &mut headers)
                != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return found;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            while sys::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size)
                == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                let value = bytes(value, size).map(Bytes::copy_from_slice);
                found.push(Header { name: text(name), value });
            }
        }
        found
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours, and this is the one place where it is destroyed.
        unsafe { sys::rd_kafka_message_destroy(self.raw.as_ptr()) }
    }
}

/// The queue of what a consumer has fetched, of a consumer that subscribes to nothing: with a subscription,
/// the batch call would answer rebalances by itself.
pub struct FetchQueue<C: ConsumerContext> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Outlives the queue's handle and every wait on it.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues are guarded by their own locks and may be used from any thread.
unsafe impl<C: ConsumerContext> Send for FetchQueue<C> {}
// SAFETY: as above.
unsafe impl<C: ConsumerContext> Sync for FetchQueue<C> {}

impl<C: ConsumerContext> FetchQueue<C> {
    /// `None` for a consumer without a group, which has no such queue.
    #[must_use]
    pub fn new(consumer: Arc<BaseConsumer<C>>) -> Option<Self> {
        // SAFETY: the client is alive, and the handle that is returned is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Some(Self { queue: NonNull::new(queue)?, consumer })
    }

    #[must_use]
    pub fn consumer(&self) -> &Arc<BaseConsumer<C>> {
        &self.consumer
    }

    /// Ends the wait of [`FetchQueue::take`] that is under way, or the next one.
    pub fn wake(&self) {
        // SAFETY: the handle is valid until `self` is dropped.
        unsafe { sys::rd_kafka_queue_yield(self.queue.as_ptr()) }
    }

    /// Waits at most `wait` for a first record, then takes what else is there, up to one batch.
    pub fn take(&self, wait: Duration, into: &mut VecDeque<Message>) {
        let mut batch = [ptr::null_mut(); BATCH];
        // The call waits its whole time until the array is full: hence one slot to wait with, and none to
        // drain with.
        let waited = if wait.is_zero() { 0 } else { self.consume(wait, &mut batch[..1], into) };
        if wait.is_zero() || waited > 0 {
            self.consume(Duration::ZERO, &mut batch[waited..], into);
        }
    }

    fn consume(
        &self,
        wait: Duration,
        slots: &mut [*mut sys::rd_kafka_message_t],
        into: &mut VecDeque<Message>,
    ) -> usize {
        // SAFETY: the handle is valid, and librdkafka writes at most as many pointers as it is told there are
        // slots.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                milliseconds(wait),
                slots.as_mut_ptr(),
                slots.len(),
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        into.extend(slots[..taken].iter().filter_map(|raw| NonNull::new(*raw)).map(|raw| Message { raw }));
        taken
    }
}

impl<C: ConsumerContext> Drop for FetchQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and destroyed only here, before the consumer that it belongs to.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Unparks a thread whenever something arrives in the queue of a client's events and that was empty.
pub struct Arrivals {
    queue: *mut sys::rd_kafka_queue_t,
    /// What the callback is given; ours to free.
    thread: *mut Thread,
}

impl Arrivals {
    /// To be dropped before the client is.
    #[must_use]
    pub fn new<C: ClientContext>(client: &Client<C>, thread: Thread) -> Self {
        // SAFETY: the client is alive, and the handle that is returned is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
        let thread = Box::into_raw(Box::new(thread));
        // SAFETY: the queue is valid, and so is what the callback is given until `drop` has ended callbacks.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(unpark), thread.cast()) };
        Self { queue, thread }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is valid until `drop`.
        unsafe { sys::rd_kafka_queue_length(self.queue) == 0 }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // SAFETY: handle and thread are ours and freed only here. Callbacks are made and ended under the
        // queue's lock, so that none is under way once the first call has returned.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
            drop(Box::from_raw(self.thread));
        }
    }
}

unsafe extern "C" fn unpark(_: *mut sys::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: the `Thread` that `Arrivals` handed over and keeps, which is only read.
    unsafe { &*thread.cast::<Thread>() }.unpark();
}

/// The member id of a consumer in its group, empty before it has joined.
#[must_use]
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is alive; the string that it returns is ours, is copied, and is freed by its own
    // allocator.
    unsafe {
        let id = sys::rd_kafka_memberid(client);
        let copy = text(id);
        if !id.is_null() {
            sys::rd_kafka_mem_free(client, id.cast());
        }
        copy
    }
}

/// Commits the transaction under way. Another thread has to serve the delivery reports meanwhile.
pub fn commit_transaction<C: ProducerContext>(
    producer: &impl Producer<C>,
    limit: Duration,
) -> Result<(), NativeError> {
    // SAFETY: the client is alive as long as the producer is; the call may block and takes any thread.
    let error =
        unsafe { sys::rd_kafka_commit_transaction(producer.client().native_ptr(), milliseconds(limit)) };
    NativeError::check(error)
}

/// Topic id and partition count; `None` when there is no such topic.
pub fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<TopicDescription>, NativeError> {
    let name = c_string(topic)?;
    let mut names = [name.as_ptr()];
    let ask = AdminCall::new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, limit)?;
    // SAFETY: every pointer is valid for the call: the names live in this frame, options and queue in `ask`,
    // and the collection, which copies the names, until it is destroyed here.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), collection, ask.options, ask.queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
    }
    let event = ask.answer(limit)?;
    let mut count = 0;
    // SAFETY: the event is a successful answer to this call and outlives all that is read from it, all of
    // which is copied; the id and the error are checked for null.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0 || topics.is_null() {
            return Ok(None);
        }
        match lent_error(sys::rd_kafka_TopicDescription_error(*topics)) {
            Err(error) if error.code == Code::UnknownTopicOrPartition => return Ok(None),
            told => told?,
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(*topics, &mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        let topic_id = if id.is_null() { String::new() } else { text(sys::rd_kafka_Uuid_base64str(id)) };
        let partitions = partitions.try_into().unwrap_or(u32::MAX);
        Ok(Some(TopicDescription { topic_id, partitions }))
    }
}

/// The operations that this principal is allowed on a topic, by their numbers in the protocol; `None` from a
/// broker that does not say.
pub fn allowed_on_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<Vec<i32>>, NativeError> {
    let name = c_string(topic)?;
    let mut names = [name.as_ptr()];
    let ask = AdminCall::new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, limit)?;
    ask.for_operations()?;
    // SAFETY: as in `describe_topic`.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), collection, ask.options, ask.queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
    }
    let event = ask.answer(limit)?;
    let mut count = 0;
    // SAFETY: the event is a successful answer to this call and outlives all that is read from it, all of
    // which is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0 || topics.is_null() {
            return Ok(None);
        }
        lent_error(sys::rd_kafka_TopicDescription_error(*topics))?;
        let allowed = sys::rd_kafka_TopicDescription_authorized_operations(*topics, &mut count);
        Ok(operations(allowed, count))
    }
}

/// The operations that this principal is allowed on a consumer group, likewise.
pub fn allowed_on_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<Option<Vec<i32>>, NativeError> {
    let name = c_string(group)?;
    let mut names = [name.as_ptr()];
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let ask = AdminCall::new(client, op, limit)?;
    ask.for_operations()?;
    // SAFETY: every pointer is valid for the call, which copies the name.
    unsafe {
        let (names, count) = (names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeConsumerGroups(client.native_ptr(), names, count, ask.options, ask.queue);
    }
    let event = ask.answer(limit)?;
    let mut count = 0;
    // SAFETY: the event is a successful answer to this call and outlives all that is read from it, all of
    // which is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 || groups.is_null() {
            return Ok(None);
        }
        lent_error(sys::rd_kafka_ConsumerGroupDescription_error(*groups))?;
        let allowed = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*groups, &mut count);
        Ok(operations(allowed, count))
    }
}

/// Sets these settings of a topic and leaves its others alone.
pub fn set_topic_settings<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    settings: &[(String, String)],
    limit: Duration,
) -> Result<(), NativeError> {
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let ask = AdminCall::new(client, op, limit)?;
    let name = c_string(topic)?;
    let pairs: Vec<(CString, CString)> = settings
        .iter()
        .map(|(key, value)| Ok((c_string(key)?, c_string(value)?)))
        .collect::<Result<_, NativeError>>()?;
    // SAFETY: names and values are valid C strings that librdkafka copies; the resource is ours, is only lent
    // to the call, which copies it, and is destroyed here once, on both ways out.
    unsafe {
        let mut resource = sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            name.as_ptr(),
        );
        let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
        let added = pairs.iter().try_for_each(|(key, value)| {
            NativeError::check(sys::rd_kafka_ConfigResource_add_incremental_config(
                resource,
                key.as_ptr(),
                set,
                value.as_ptr(),
            ))
        });
        if added.is_ok() {
            let resources = &raw mut resource;
            sys::rd_kafka_IncrementalAlterConfigs(client.native_ptr(), resources, 1, ask.options, ask.queue);
        }
        sys::rd_kafka_ConfigResource_destroy(resource);
        added?;
    }
    let event = ask.answer(limit)?;
    let mut count = 0;
    // SAFETY: the event is a successful answer to this call and outlives the resources read from it.
    unsafe {
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.0);
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        if count == 0 || resources.is_null() {
            return Ok(());
        }
        match Code::from(sys::rd_kafka_ConfigResource_error(*resources)) {
            Code::NoError => Ok(()),
            code => Err(NativeError::new(code, text(sys::rd_kafka_ConfigResource_error_string(*resources)))),
        }
    }
}

/// One administrative question: its options, and the queue its answer arrives in.
struct AdminCall {
    options: *mut sys::rd_kafka_AdminOptions_t,
    queue: *mut sys::rd_kafka_queue_t,
}

impl AdminCall {
    fn new<C: ClientContext>(
        client: &Client<C>,
        op: sys::rd_kafka_admin_op_t,
        limit: Duration,
    ) -> Result<Self, NativeError> {
        let mut said = [0 as c_char; TEXT_BYTES];
        // SAFETY: the client is alive; both objects are ours and destroyed in `drop`; the text has the stated
        // size.
        unsafe {
            let call = Self {
                options: sys::rd_kafka_AdminOptions_new(client.native_ptr(), op),
                queue: sys::rd_kafka_queue_new(client.native_ptr()),
            };
            let code = sys::rd_kafka_AdminOptions_set_request_timeout(
                call.options,
                milliseconds(limit),
                said.as_mut_ptr(),
                said.len(),
            );
            match Code::from(code) {
                Code::NoError => Ok(call),
                code => Err(NativeError::new(code, text(said.as_ptr()))),
            }
        }
    }

    /// Has the answer say what the principal is allowed.
    fn for_operations(&self) -> Result<(), NativeError> {
        // SAFETY: the options are valid until `drop`; the error that is returned is ours.
        unsafe {
            let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(self.options, 1);
            NativeError::check(refused)
        }
    }

    fn answer(&self, limit: Duration) -> Result<Event, NativeError> {
        // The request times out by itself; the margin only covers a client that hangs.
        let wait = milliseconds(limit + Duration::from_secs(1));
        // SAFETY: the queue is valid; the event is ours and destroyed by `Event`; its text is copied.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue, wait);
            if event.is_null() {
                return Err(NativeError::new(Code::OperationTimedOut, "no answer in time"));
            }
            let event = Event(event);
            match Code::from(sys::rd_kafka_event_error(event.0)) {
                Code::NoError => Ok(event),
                code => Err(NativeError::new(code, text(sys::rd_kafka_event_error_string(event.0)))),
            }
        }
    }
}

impl Drop for AdminCall {
    fn drop(&mut self) {
        // SAFETY: both are ours, valid, and destroyed only here.
        unsafe {
            sys::rd_kafka_AdminOptions_destroy(self.options);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

struct Event(*mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours, not null, and destroyed only here.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

fn c_string(part: &str) -> Result<CString, NativeError> {
    CString::new(part).map_err(|_| NativeError::new(Code::InvalidArgument, "a zero byte in a name"))
}

/// Rounded up: who waits for the rest of a millisecond would ask again and again until it is over.
fn milliseconds(wait: Duration) -> c_int {
    wait.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(c_int::MAX)
}
/// The error of a part of an answer, which it stays with.
///
/// # Safety
/// `error` is null or an error of librdkafka that is valid during the call.
unsafe fn lent_error(error: *const sys::rd_kafka_error_t) -> Result<(), NativeError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and valid by contract; its text is copied.
    unsafe {
        match Code::from(sys::rd_kafka_error_code(error)) {
            Code::NoError => Ok(()),
            code => {
                let mut said = text(sys::rd_kafka_error_string(error));
                // Some brokers send a code without words, and librdkafka only says what was asked.
                if said.is_empty() || said.ends_with(": ") {
                    said += &code.to_string();
                }
                Err(NativeError::new(code, said))
            }
        }
    }
}

/// Reads them as numbers: a newer broker may know operations that the enumeration lacks.
///
/// # Safety
/// `start` is null or leads to `count` operations that stay valid during the call.
unsafe fn operations(start: *const sys::rd_kafka_AclOperation_t, count: usize) -> Option<Vec<i32>> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and valid for `count` of them by contract; a C enumeration is as large as an int.
    Some(unsafe { slice::from_raw_parts(start.cast::<c_int>(), count) }.to_vec())
}

/// # Safety
/// `string` is null or a C string that stays valid during the call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by contract.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// # Safety
/// `start` is null or leads to `size` bytes that stay valid and unchanged for `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and valid for `size` bytes by contract.
    Some(unsafe { slice::from_raw_parts(start.cast(), size) })
}
