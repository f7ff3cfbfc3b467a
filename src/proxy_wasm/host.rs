//! What the proxy does for one stream, split by capability.
//!
//! The Envoy binding implements these over Envoy's callbacks; tests implement them over vectors.
//! Everything is called on the stream's worker, within one event of that stream. What a method
//! returns by reference lives in the proxy and is gone with the next change of the same thing,
//! which is what the borrow says.
//!
//! Nothing here can end, resume or answer a stream: those calls may run other hooks of the same
//! stream inside, so the chain asks for them when no guest and no borrow is in the way.

use super::kinds::ValueKind;
use std::any::Any;
use std::borrow::Cow;

use super::abi::Map;
use super::call::Callouts;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// Headers and trailers. Names are compared without regard to case.
pub trait Headers {
    /// The first value of `name`.
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]>;

    /// How many entries a map has; 0 where it does not exist.
    fn header_count(&self, map: Map) -> usize;

    /// Calls `visit` with each entry, in order.
    fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// Appends an entry.
    fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]);

    /// Replaces all values of `name` by one.
    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]);

    /// Removes all values of `name`.
    fn remove_header(&mut self, map: Map, name: &[u8]);
}

/// Bodies: of each direction, what was held back so far followed by what just arrived.
pub trait Bodies {
    /// Bytes there are.
    fn body_len(&self, direction: Direction) -> usize;

    /// Copies the bytes from `start` on into all of `out`.
    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]);

    /// Replaces the `remove` bytes at `start` by `insert`.
    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]);

    /// The most bytes of a body that the proxy keeps for the stream.
    fn buffer_limit(&self) -> usize {
        usize::MAX
    }
}

/// Facts about the stream.
pub trait Attributes {
    /// An attribute that is text or bytes.
    fn text(&self, attribute: Text) -> Option<&[u8]>;

    /// An attribute that is a number.
    fn number(&self, attribute: Number) -> Option<u64>;

    /// Whether the client showed a certificate; none without TLS.
    fn mtls(&self) -> Option<bool>;

    /// When the request began, in nanoseconds since 1970.
    fn start_time(&self) -> Option<i64>;

    /// How long the request took, in nanoseconds; none until it is complete.
    fn duration(&self) -> Option<i64>;

    /// Picks the route anew, after a change of request headers.
    fn clear_route_cache(&mut self);

    /// From the first byte sent upstream to the last one received, in nanoseconds.
    fn backend_latency(&self) -> Option<i64> {
        None
    }

    /// Hosts of the route's cluster, healthy or not.
    fn cluster_hosts(&self) -> Option<u64> {
        None
    }
}

/// Metadata: values by namespace and key. Without any, unless implemented.
pub trait Metadata {
    /// The value under `key`, if there is such a key.
    fn metadata(&self, source: Source, namespace: &[u8], key: &[u8]) -> Option<Datum<'_>> {
        let _ = (source, namespace, key);
        None
    }

    /// The value under `key` if it is of this kind. A wrong guess may leave a line in the proxy's log.
    fn metadata_of_kind(
        &self,
        source: Source,
        namespace: &[u8],
        key: &[u8],
        kind: ValueKind,
    ) -> Option<Datum<'_>> {
        let _ = (source, namespace, key, kind);
        None
    }

    /// Calls `visit` with each namespace, in no particular order.
    fn visit_namespaces(&self, source: Source, visit: &mut dyn FnMut(&[u8])) {
        let _ = (source, visit);
    }

    /// Calls `visit` with each key of a namespace, in no particular order.
    fn visit_keys(&self, source: Source, namespace: &[u8], visit: &mut dyn FnMut(&[u8])) {
        let _ = (source, namespace, visit);
    }

    /// The bytes of a typed message that stands for a whole namespace.
    fn typed_metadata(&self, source: Source, namespace: &[u8]) -> Option<&[u8]> {
        let _ = (source, namespace);
        None
    }
}

/// Objects that filters leave for each other, by name. Without any, unless implemented.
pub trait FilterState {
    /// The object's bytes, or what it serializes to.
    fn filter_state(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let _ = name;
        None
    }

    /// Stores bytes. False if they cannot be kept.
    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: Span) -> bool {
        let _ = (name, value, span);
        false
    }

    /// Has the proxy make its own kind of object from `value`. False if there is no such kind of
    /// object, or if it does not take the value.
    fn set_filter_state_object(&mut self, name: &[u8], value: &[u8]) -> bool {
        let _ = (name, value);
        false
    }
}

/// All that a stream can be asked. Whoever made one can find it again, since it is [`Any`].
pub trait Host:
    Any + Headers + Bodies + Attributes + Metadata + FilterState + Callouts + Send
{
}

impl<T: Any + Headers + Bodies + Attributes + Metadata + FilterState + Callouts + Send> Host for T {}

/// Attributes that are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the attribute of Envoy of that name")]
pub enum Text {
    RequestPath,
    RequestUrlPath,
    RequestHost,
    RequestScheme,
    RequestMethod,
    RequestReferer,
    RequestUserAgent,
    RequestId,
    RequestProtocol,
    RequestQuery,
    ResponseCodeDetails,
    SourceAddress,
    DestinationAddress,
    ConnectionRequestedServerName,
    ConnectionTlsVersion,
    ConnectionSubjectLocalCertificate,
    ConnectionSubjectPeerCertificate,
    ConnectionDnsSanLocalCertificate,
    ConnectionDnsSanPeerCertificate,
    ConnectionUriSanLocalCertificate,
    ConnectionUriSanPeerCertificate,
    ConnectionSha256PeerCertificateDigest,
    ConnectionTransportFailureReason,
    ConnectionTerminationDetails,
    UpstreamAddress,
    UpstreamLocalAddress,
    UpstreamTlsVersion,
    UpstreamSubjectLocalCertificate,
    UpstreamSubjectPeerCertificate,
    UpstreamDnsSanLocalCertificate,
    UpstreamDnsSanPeerCertificate,
    UpstreamUriSanLocalCertificate,
    UpstreamUriSanPeerCertificate,
    UpstreamSha256PeerCertificateDigest,
    UpstreamTransportFailureReason,
    ClusterName,
    RouteName,
    VirtualHostName,
    FilterChainName,
}

/// Attributes that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the attribute of Envoy of that name")]
pub enum Number {
    RequestSize,
    RequestTotalSize,
    ResponseCode,
    ResponseFlags,
    ResponseGrpcStatus,
    ResponseSize,
    ResponseTotalSize,
    SourcePort,
    DestinationPort,
    ConnectionId,
    UpstreamPort,
    UpstreamRequestAttemptCount,
    ListenerDirection,
}

/// Whose metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Of the stream itself, left there by filters.
    Dynamic,
    /// Of the route.
    Route,
    /// Of the route's cluster.
    Cluster,
    /// Of the upstream host, once one is chosen.
    UpstreamHost,
    /// Of the upstream host's locality.
    UpstreamLocality,
}

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    /// Text.
    Text(&'a [u8]),
    /// A number.
    Number(f64),
    /// A boolean.
    Flag(bool),
    /// A list.
    List(Vec<Datum<'a>>),
    /// Null, or something with values inside, which the proxy does not show.
    Unreadable,
}

/// How long an object of the filter state lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// As long as this pass through the filters: an internal redirect ends it.
    #[default]
    FilterChain,
    /// As long as the client's request.
    Request,
    /// As long as the client's connection.
    Connection,
}
