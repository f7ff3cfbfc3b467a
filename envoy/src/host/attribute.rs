//! What Envoy knows of a stream.

use std::ptr;
use std::time::UNIX_EPOCH;

use wasmplugin_host::proxy_wasm::{Attributes, Number, Text};

use super::{EnvoyStream, bytes};
use crate::abi::*;
use crate::lookup::{Callbacks, TimingInfo};

impl EnvoyStream {
    fn timing(&self) -> Option<TimingInfo> {
        let get = Callbacks::get().http_get_timing_info?;
        let mut timing = TimingInfo::default();
        // SAFETY: see `EnvoyStream::new`; Envoy fills the struct, whose layout is asserted.
        unsafe { get(self.filter, &raw mut timing) };
        Some(timing)
    }
}

impl Attributes for EnvoyStream {
    fn text(&self, attribute: Text) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see `EnvoyStream::new`; an attribute that Envoy does not know is false.
        let found = unsafe {
            match text_id(attribute) {
                Some(id) => envoy_dynamic_module_callback_http_filter_get_attribute_string(
                    self.filter,
                    id,
                    &raw mut value,
                ),
                None => {
                    envoy_dynamic_module_callback_http_get_cluster_name(self.filter, &raw mut value)
                }
            }
        };
        // SAFETY: the value lives until the stream is changed, which takes `&mut self`.
        found.then(|| unsafe { bytes(value.ptr, value.length) })
    }

    fn number(&self, attribute: Number) -> Option<u64> {
        let mut value = 0;
        // SAFETY: see `EnvoyStream::new`.
        let found = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_int(
                self.filter,
                number_id(attribute),
                &raw mut value,
            )
        };
        found.then_some(value)
    }

    fn mtls(&self) -> Option<bool> {
        let mut value = false;
        // SAFETY: see `EnvoyStream::new`.
        let found = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_bool(
                self.filter,
                attribute_id::CONNECTION_MTLS,
                &raw mut value,
            )
        };
        found.then_some(value)
    }

    fn start_time(&self) -> Option<i64> {
        if let Some(timing) = self.timing() {
            return timing
                .has_start_time_unix
                .then_some(timing.start_time_unix_ns);
        }
        let since = self.seen?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_nanos()).ok()
    }

    fn duration(&self) -> Option<i64> {
        let timing = self.timing()?;
        let duration = timing.request_complete_duration_ns;
        timing.has_request_complete_duration.then_some(duration)
    }

    fn clear_route_cache(&mut self) {
        // SAFETY: see `EnvoyStream::new`.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.filter) };
    }

    fn backend_latency(&self) -> Option<i64> {
        let timing = self.timing()?;
        let is_known =
            timing.has_first_upstream_tx_byte_sent && timing.has_last_upstream_rx_byte_received;
        let latency =
            timing.last_upstream_rx_byte_received_ns - timing.first_upstream_tx_byte_sent_ns;
        is_known.then_some(latency)
    }

    fn cluster_hosts(&self) -> Option<u64> {
        /// Envoy's own limit.
        const PRIORITIES: u32 = 129;
        let of_priority = |priority| {
            let mut total = 0;
            // SAFETY: see `EnvoyStream::new`; counts that are not wanted are null.
            let found = unsafe {
                envoy_dynamic_module_callback_http_get_cluster_host_count(
                    self.filter,
                    priority,
                    &raw mut total,
                    ptr::null_mut(),
                    ptr::null_mut(),
                )
            };
            found.then_some(total as u64)
        };
        let first = of_priority(0)?;
        Some(first + (1..PRIORITIES).map_while(of_priority).sum::<u64>())
    }
}

/// None for the cluster's name, which older Envoys tell by a callback of its own.
const fn text_id(attribute: Text) -> Option<u32> {
    use attribute_id as id;
    Some(match attribute {
        Text::RequestPath => id::REQUEST_PATH,
        Text::RequestUrlPath => id::REQUEST_URL_PATH,
        Text::RequestHost => id::REQUEST_HOST,
        Text::RequestScheme => id::REQUEST_SCHEME,
        Text::RequestMethod => id::REQUEST_METHOD,
        Text::RequestReferer => id::REQUEST_REFERER,
        Text::RequestUserAgent => id::REQUEST_USER_AGENT,
        Text::RequestId => id::REQUEST_ID,
        Text::RequestProtocol => id::REQUEST_PROTOCOL,
        Text::RequestQuery => id::REQUEST_QUERY,
        Text::ResponseCodeDetails => id::RESPONSE_CODE_DETAILS,
        Text::SourceAddress => id::SOURCE_ADDRESS,
        Text::DestinationAddress => id::DESTINATION_ADDRESS,
        Text::ConnectionRequestedServerName => id::CONNECTION_REQUESTED_SERVER_NAME,
        Text::ConnectionTlsVersion => id::CONNECTION_TLS_VERSION,
        Text::ConnectionSubjectLocalCertificate => id::CONNECTION_SUBJECT_LOCAL_CERTIFICATE,
        Text::ConnectionSubjectPeerCertificate => id::CONNECTION_SUBJECT_PEER_CERTIFICATE,
        Text::ConnectionDnsSanLocalCertificate => id::CONNECTION_DNS_SAN_LOCAL_CERTIFICATE,
        Text::ConnectionDnsSanPeerCertificate => id::CONNECTION_DNS_SAN_PEER_CERTIFICATE,
        Text::ConnectionUriSanLocalCertificate => id::CONNECTION_URI_SAN_LOCAL_CERTIFICATE,
        Text::ConnectionUriSanPeerCertificate => id::CONNECTION_URI_SAN_PEER_CERTIFICATE,
        Text::ConnectionSha256PeerCertificateDigest => {
            id::CONNECTION_SHA256_PEER_CERTIFICATE_DIGEST
        }
        Text::ConnectionTransportFailureReason => id::CONNECTION_TRANSPORT_FAILURE_REASON,
        Text::ConnectionTerminationDetails => id::CONNECTION_TERMINATION_DETAILS,
        Text::UpstreamAddress => id::UPSTREAM_ADDRESS,
        Text::UpstreamLocalAddress => id::UPSTREAM_LOCAL_ADDRESS,
        Text::UpstreamTlsVersion => id::UPSTREAM_TLS_VERSION,
        Text::UpstreamSubjectLocalCertificate => id::UPSTREAM_SUBJECT_LOCAL_CERTIFICATE,
        Text::UpstreamSubjectPeerCertificate => id::UPSTREAM_SUBJECT_PEER_CERTIFICATE,
        Text::UpstreamDnsSanLocalCertificate => id::UPSTREAM_DNS_SAN_LOCAL_CERTIFICATE,
        Text::UpstreamDnsSanPeerCertificate => id::UPSTREAM_DNS_SAN_PEER_CERTIFICATE,
        Text::UpstreamUriSanLocalCertificate => id::UPSTREAM_URI_SAN_LOCAL_CERTIFICATE,
        Text::UpstreamUriSanPeerCertificate => id::UPSTREAM_URI_SAN_PEER_CERTIFICATE,
        Text::UpstreamSha256PeerCertificateDigest => id::UPSTREAM_SHA256_PEER_CERTIFICATE_DIGEST,
        Text::UpstreamTransportFailureReason => id::UPSTREAM_TRANSPORT_FAILURE_REASON,
        Text::ClusterName => return None,
        Text::RouteName => id::XDS_ROUTE_NAME,
        Text::VirtualHostName => id::XDS_VIRTUAL_HOST_NAME,
        Text::FilterChainName => id::XDS_FILTER_CHAIN_NAME,
    })
}

const fn number_id(attribute: Number) -> u32 {
    use attribute_id as id;
    match attribute {
        Number::RequestSize => id::REQUEST_SIZE,
        Number::RequestTotalSize => id::REQUEST_TOTAL_SIZE,
        Number::ResponseCode => id::RESPONSE_CODE,
        Number::ResponseFlags => id::RESPONSE_FLAGS,
        Number::ResponseGrpcStatus => id::RESPONSE_GRPC_STATUS,
        Number::ResponseSize => id::RESPONSE_SIZE,
        Number::ResponseTotalSize => id::RESPONSE_TOTAL_SIZE,
        Number::SourcePort => id::SOURCE_PORT,
        Number::DestinationPort => id::DESTINATION_PORT,
        Number::ConnectionId => id::CONNECTION_ID,
        Number::UpstreamPort => id::UPSTREAM_PORT,
        Number::UpstreamRequestAttemptCount => id::UPSTREAM_REQUEST_ATTEMPT_COUNT,
        Number::ListenerDirection => id::XDS_LISTENER_DIRECTION,
    }
}
