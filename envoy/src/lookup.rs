//! Finds the callbacks of [`super::optional`] in the running Envoy.
//!
//! The lookup happens once per process; afterwards each callback is a typed function pointer, or
//! `None` on an Envoy that lacks it.

use std::ffi::{CString, c_void};
use std::mem;
use std::sync::OnceLock;

use crate::abi::FilterEnvoyPtr;
use crate::optional::{GET_LOG_LEVEL, HTTP_GET_TIMING_INFO, Optional};

/// `http_get_timing_info`: fills the struct; worker thread of the stream, inside a hook.
pub(crate) type GetTimingInfo = unsafe extern "C" fn(FilterEnvoyPtr, *mut TimingInfo);

/// `get_log_level`: one of [`crate::abi::log_level`]; any thread.
pub(crate) type GetLogLevel = unsafe extern "C" fn() -> u32;

/// The optional callbacks of the running Envoy.
#[derive(Debug)]
#[allow(dead_code, reason = "looked up together, used as the host grows")]
pub(crate) struct Callbacks {
    /// Times of a stream.
    pub(crate) http_get_timing_info: Option<GetTimingInfo>,
    /// Level of the modules' logger; follows changes through the admin interface.
    pub(crate) get_log_level: Option<GetLogLevel>,
}

impl Callbacks {
    /// Those of this process, looked up on first use.
    pub(crate) fn get() -> &'static Self {
        static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();
        CALLBACKS.get_or_init(|| Self {
            http_get_timing_info: find(HTTP_GET_TIMING_INFO).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature: it writes
                // the 176 bytes of `timing_info_v2`, whose layout `TimingInfo` asserts below.
                unsafe { mem::transmute::<*mut c_void, GetTimingInfo>(symbol) }
            }),
            get_log_level: find(GET_LOG_LEVEL).map(|symbol| {
                // SAFETY: every Envoy that exports this symbol gives it this signature.
                unsafe { mem::transmute::<*mut c_void, GetLogLevel>(symbol) }
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
