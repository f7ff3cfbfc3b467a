//! Finds the callbacks of [`super::optional`] in the running Envoy.
//!
//! The lookup happens once per process; afterwards each callback is a typed function pointer, or
//! `None` on an Envoy that lacks it.

use std::ffi::{CString, c_void};
use std::mem;
use std::sync::OnceLock;

use crate::abi::{ConfigEnvoyPtr, EnvoyBuffer, FilterEnvoyPtr, ModuleBuffer};
use crate::optional::{
    CONFIG_INCREMENT_COUNTER, CONFIG_RECORD_HISTOGRAM_VALUE, CONFIG_SET_GAUGE, GET_LOG_LEVEL,
    HTTP_GET_TIMING_INFO, HTTP_GET_TYPED_METADATA, HTTP_SET_FILTER_STATE_VALUE, Optional,
};

/// `http_get_timing_info`: fills the struct; worker thread of the stream, inside a hook.
pub(crate) type GetTimingInfo = unsafe extern "C" fn(FilterEnvoyPtr, *mut TimingInfo);

/// `get_log_level`: one of [`crate::abi::log_level`]; any thread.
pub(crate) type GetLogLevel = unsafe extern "C" fn() -> u32;

/// `http_set_filter_state_value`: name, value, one of [`crate::abi::filter_state_life_span`], one
/// of [`crate::abi::stream_sharing`]. True also where the life span conflicts with an object that is
/// there already, which stays.
pub(crate) type SetFilterStateValue =
    unsafe extern "C" fn(FilterEnvoyPtr, ModuleBuffer, ModuleBuffer, u32, u32) -> bool;

/// `http_get_typed_metadata`: one of [`crate::abi::metadata_source`], a namespace; the type's URL
/// and the message.
pub(crate) type GetTypedMetadata = unsafe extern "C" fn(
    FilterEnvoyPtr,
    u32,
    ModuleBuffer,
    *mut EnvoyBuffer,
    *mut EnvoyBuffer,
) -> bool;

/// `http_filter_config_{increment_counter,set_gauge,record_histogram_value}`: a metric's id, label
/// values, the value. Returns one of [`crate::abi::metrics_result`].
pub(crate) type ConfigMetricCallback =
    unsafe extern "C" fn(ConfigEnvoyPtr, usize, *mut ModuleBuffer, usize, u64) -> u32;

/// The callbacks that tell metrics without a stream, which came together.
#[derive(Debug)]
pub(crate) struct ConfigMetrics {
    pub(crate) increment_counter: ConfigMetricCallback,
    pub(crate) set_gauge: ConfigMetricCallback,
    pub(crate) record_histogram_value: ConfigMetricCallback,
}

impl ConfigMetrics {
    fn find() -> Option<Self> {
        let callback = |optional| {
            find(optional).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature.
                unsafe { mem::transmute::<*mut c_void, ConfigMetricCallback>(symbol) }
            })
        };
        Some(Self {
            increment_counter: callback(CONFIG_INCREMENT_COUNTER)?,
            set_gauge: callback(CONFIG_SET_GAUGE)?,
            record_histogram_value: callback(CONFIG_RECORD_HISTOGRAM_VALUE)?,
        })
    }
}

/// The optional callbacks of the running Envoy.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// Metrics without a stream.
    pub(crate) config_metrics: Option<ConfigMetrics>,
    /// Times of a stream.
    pub(crate) http_get_timing_info: Option<GetTimingInfo>,
    /// Level of the modules' logger; follows changes through the admin interface.
    pub(crate) get_log_level: Option<GetLogLevel>,
    /// Filter state with a life span.
    pub(crate) http_set_filter_state_value: Option<SetFilterStateValue>,
    /// Typed metadata.
    pub(crate) http_get_typed_metadata: Option<GetTypedMetadata>,
}

impl Callbacks {
    /// Those of this process, looked up on first use.
    pub(crate) fn get() -> &'static Self {
        static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();
        CALLBACKS.get_or_init(|| Self {
            config_metrics: ConfigMetrics::find(),
            http_get_timing_info: find(HTTP_GET_TIMING_INFO).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature: it writes
                // the 176 bytes of `timing_info_v2`, whose layout `TimingInfo` asserts below.
                unsafe { mem::transmute::<*mut c_void, GetTimingInfo>(symbol) }
            }),
            get_log_level: find(GET_LOG_LEVEL).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature.
                unsafe { mem::transmute::<*mut c_void, GetLogLevel>(symbol) }
            }),
            http_set_filter_state_value: find(HTTP_SET_FILTER_STATE_VALUE).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature.
                unsafe { mem::transmute::<*mut c_void, SetFilterStateValue>(symbol) }
            }),
            http_get_typed_metadata: find(HTTP_GET_TYPED_METADATA).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature.
                unsafe { mem::transmute::<*mut c_void, GetTypedMetadata>(symbol) }
            }),
        })
    }
}

/// The address of `callback`, never null, where the process exports it.
fn find(callback: Optional) -> Option<*mut c_void> {
    let name = CString::new(callback.name).ok()?;
    // SAFETY: `name` is NUL-terminated and outlives the call. RTLD_DEFAULT needs no handle; the
    // search starts at the executable, which is what exports callbacks.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!symbol.is_null()).then_some(symbol)
}

/// `timing_info_v2`: milestones of a stream.
///
/// `start_time_unix_ns` is absolute, the others count nanoseconds from it and may be negative (the
/// connection is older than the stream). A value is meaningful where its `has_` flag is set, and
/// -1 elsewhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(dead_code, reason = "Envoy's layout, whole")]
pub(crate) struct TimingInfo {
    pub(crate) start_time_unix_ns: i64,
    pub(crate) downstream_connection_begin_ns: i64,
    pub(crate) downstream_handshake_start_ns: i64,
    pub(crate) downstream_handshake_complete_ns: i64,
    pub(crate) last_downstream_header_rx_byte_received_ns: i64,
    pub(crate) last_downstream_rx_byte_received_ns: i64,
    pub(crate) upstream_connect_start_ns: i64,
    pub(crate) upstream_connect_complete_ns: i64,
    pub(crate) upstream_handshake_complete_ns: i64,
    pub(crate) first_upstream_tx_byte_sent_ns: i64,
    pub(crate) last_upstream_tx_byte_sent_ns: i64,
    pub(crate) first_upstream_rx_byte_received_ns: i64,
    pub(crate) first_upstream_rx_body_byte_received_ns: i64,
    pub(crate) last_upstream_rx_byte_received_ns: i64,
    pub(crate) first_downstream_tx_byte_sent_ns: i64,
    pub(crate) last_downstream_tx_byte_sent_ns: i64,
    pub(crate) last_downstream_ack_received_ns: i64,
    pub(crate) request_complete_duration_ns: i64,
    pub(crate) downstream_connection_end_ns: i64,
    pub(crate) has_start_time_unix: bool,
    pub(crate) has_downstream_connection_begin: bool,
    pub(crate) has_downstream_handshake_start: bool,
    pub(crate) has_downstream_handshake_complete: bool,
    pub(crate) has_last_downstream_header_rx_byte_received: bool,
    pub(crate) has_last_downstream_rx_byte_received: bool,
    pub(crate) has_upstream_connect_start: bool,
    pub(crate) has_upstream_connect_complete: bool,
    pub(crate) has_upstream_handshake_complete: bool,
    pub(crate) has_first_upstream_tx_byte_sent: bool,
    pub(crate) has_last_upstream_tx_byte_sent: bool,
    pub(crate) has_first_upstream_rx_byte_received: bool,
    pub(crate) has_first_upstream_rx_body_byte_received: bool,
    pub(crate) has_last_upstream_rx_byte_received: bool,
    pub(crate) has_first_downstream_tx_byte_sent: bool,
    pub(crate) has_last_downstream_tx_byte_sent: bool,
    pub(crate) has_last_downstream_ack_received: bool,
    pub(crate) has_request_complete_duration: bool,
    pub(crate) has_downstream_connection_end: bool,
}

const _: () = {
    // Envoy writes exactly this much; less room would be a buffer overflow.
    assert!(size_of::<TimingInfo>() == 176 && align_of::<TimingInfo>() == 8);
    assert!(mem::offset_of!(TimingInfo, has_start_time_unix) == 0x98);
    assert!(mem::offset_of!(TimingInfo, has_downstream_connection_end) == 0xAA);
};
