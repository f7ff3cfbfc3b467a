//! The proxy's side of a stream, in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmplugin_host::proxy_wasm::{
    Attributes, Bodies, Callouts, Direction, Fields, FilterState, Headers, Map, Metadata, Number,
    Span, Text,
};

/// A stream. What only a real connection has, such as addresses, is not there; and there is no
/// cluster that could be called.
#[derive(Default)]
pub(super) struct Host {
    request: Fields,
    request_trailers: Fields,
    response: Fields,
    response_trailers: Fields,
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When it began, in nanoseconds since 1970.
    begun: Option<i64>,
}

impl Host {
    /// A stream that begins now.
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Self {
            begun: since.and_then(|since| i64::try_from(since.as_nanos()).ok()),
            ..Self::default()
        }
    }

    const fn map(&self, map: Map) -> &Fields {
        match map {
            Map::RequestHeaders => &self.request,
            Map::RequestTrailers => &self.request_trailers,
            Map::ResponseHeaders => &self.response,
            Map::ResponseTrailers => &self.response_trailers,
        }
    }

    const fn map_mut(&mut self, map: Map) -> &mut Fields {
        match map {
            Map::RequestHeaders => &mut self.request,
            Map::RequestTrailers => &mut self.request_trailers,
            Map::ResponseHeaders => &mut self.response,
            Map::ResponseTrailers => &mut self.response_trailers,
        }
    }

    const fn body(&self, direction: Direction) -> &Vec<u8> {
        match direction {
            Direction::Request => &self.request_body,
            Direction::Response => &self.response_body,
        }
    }

    fn request(&self, name: &str) -> Option<&[u8]> {
        self.header(Map::RequestHeaders, name.as_bytes())
    }

    /// The path's parts before and behind the first question mark.
    fn path(&self) -> Option<(&[u8], &[u8])> {
        let path = self.request(":path")?;
        let end = path.iter().position(|byte| *byte == b'?');
        let (path, query) = path.split_at_checked(end.unwrap_or(path.len()))?;
        Some((path, query.get(1..).unwrap_or_default()))
    }
}

impl Headers for Host {
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        let mut of = self.map(map).iter();
        let found = of.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    fn header_count(&self, map: Map) -> usize {
        self.map(map).len()
    }

    fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.map(map) {
            visit(name, value);
        }
    }

    fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        let entry = (name.to_ascii_lowercase(), value.to_vec());
        self.map_mut(map).push(entry);
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.remove_header(map, name);
        self.add_header(map, name, value);
    }

    fn remove_header(&mut self, map: Map, name: &[u8]) {
        let of = self.map_mut(map);
        of.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

impl Bodies for Host {
    fn body_len(&self, direction: Direction) -> usize {
        self.body(direction).len()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        let end = start.saturating_add(out.len());
        if let Some(bytes) = self.body(direction).get(start..end) {
            out.copy_from_slice(bytes);
        }
    }

    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]) {
        let body = match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        };
        let start = start.min(body.len());
        let end = start.saturating_add(remove).min(body.len());
        drop(body.splice(start..end, insert.iter().copied()));
    }
}

impl Attributes for Host {
    fn text(&self, attribute: Text) -> Option<&[u8]> {
        match attribute {
            Text::RequestPath => self.request(":path"),
            Text::RequestUrlPath => self.path().map(|(path, _)| path),
            Text::RequestQuery => self.path().map(|(_, query)| query),
            Text::RequestHost => self.request(":authority"),
            Text::RequestScheme => self.request(":scheme"),
            Text::RequestMethod => self.request(":method"),
            Text::RequestReferer => self.request("referer"),
            Text::RequestUserAgent => self.request("user-agent"),
            Text::RequestId => self.request("x-request-id"),
            Text::RequestProtocol => Some(b"HTTP/1.1"),
            _ => None,
        }
    }

    fn number(&self, attribute: Number) -> Option<u64> {
        let status = || self.header(Map::ResponseHeaders, b":status");
        match attribute {
            Number::ResponseCode => std::str::from_utf8(status()?).ok()?.parse().ok(),
            _ => None,
        }
    }

    fn mtls(&self) -> Option<bool> {
        None
    }

    fn start_time(&self) -> Option<i64> {
        self.begun
    }

    fn duration(&self) -> Option<i64> {
        None
    }

    fn clear_route_cache(&mut self) {}
}

impl Metadata for Host {}

impl FilterState for Host {
    fn filter_state(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.filter_state.get(name);
        found.map(|value| Cow::Borrowed(value.as_slice()))
    }

    fn set_filter_state(&mut self, name: &[u8], value: &[u8], _: Span) -> bool {
        self.filter_state.insert(name.to_vec(), value.to_vec());
        true
    }
}

impl Callouts for Host {}
