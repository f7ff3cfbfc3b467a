//! What a guest may see and ask of one stream.
//!
//! One [`Exchange`] accompanies a stream through all plugins of the chain. It is lent to the
//! instance for each call: moved into the store as a box before, and out after. That is two
//! pointers moved, and it spares unsafe code that would tie the stream's life to the store's.
//!
//! The chain sets [`Exchange::view`] before each call (which maps exist for this plugin now, which
//! part of the body is its own) and reads [`Exchange::actions`] after it: what a guest asks of the
//! stream itself happens once no guest is running.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use smallvec::SmallVec;

use super::abi::Map;
use super::call::Call;
use super::grpc::of_http;
use super::host::{Direction, Host};
use super::limits::{HEADER, MAX_HEADERS};
use super::property::States;

/// A stream, as its plugins know it.
#[derive(Debug)]
pub struct Exchange<H: ?Sized = dyn Host> {
    /// What the running callback may see.
    pub view: View,
    /// What guests asked for.
    pub actions: Actions,
    /// A local reply on its way back through the plugins; its headers and body are the response.
    pub reply: Option<Reply>,
    /// Names this stream among all of the process.
    pub key: u64,
    /// Which plugin of the chain is running.
    pub plugin: usize,
    /// Who carries the calls of the running callback.
    pub carrier: Carrier,
    /// Calls that the stream carries.
    pub calls: SmallVec<[OpenCall; 1]>,
    /// Calls that the stream carried and that are given up.
    pub cancelled: Vec<u64>,
    /// Calls that wait for the end of the running event: plugin, token, call.
    pub waiting_calls: Vec<(usize, u32, Call)>,
    /// Properties that plugins set, as far as the host does not know everything of them.
    pub(super) states: States,
    /// Request headers changed since the route was picked.
    stale_route: bool,
    /// Bytes that guests wrote to each map since it was measured, and what it had then.
    written: [usize; 4],
    /// Bytes of the properties that guests set.
    pub(super) properties: usize,
    // Last, so that an exchange of any host becomes one of `dyn Host`.
    host: H,
}

/// Who carries a call. See [`super::call`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// The stream, at once.
    Stream,
    /// The stream, if the plugin pauses for it; else the main thread.
    #[default]
    StreamIfPaused,
    /// The main thread.
    MainThread,
}

/// A call that a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// The proxy's number.
    pub id: u64,
    /// Whose it is, by number in the chain.
    pub plugin: usize,
    /// The guest's number.
    pub token: u32,
}

/// A set of header maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maps(u8);

impl Maps {
    /// No map.
    pub const NONE: Self = Self(0);

    /// This set and `map`.
    #[must_use]
    pub const fn with(self, map: Map) -> Self {
        Self(self.0 | 1 << map as u8)
    }

    /// This set without `maps`.
    #[must_use]
    pub const fn without(self, maps: Self) -> Self {
        Self(self.0 & !maps.0)
    }

    /// Whether `map` is in the set.
    pub const fn contains(self, map: Map) -> bool {
        self.0 & (1 << map as u8) != 0
    }
}

/// The part of a body that belongs to the running callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Where it begins, in bytes of the whole body.
    pub start: usize,
    /// Its length; follows what the guest does to it.
    pub len: usize,
}

/// What the running callback may see.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Maps that exist.
    pub readable: Maps,
    /// Maps that may be changed.
    pub writable: Maps,
    /// Maps that take changes without effect, as Envoy does once headers have gone on.
    pub inert: Maps,
    /// The request body, where one is attached.
    pub request_body: Option<Window>,
    /// The response body, where one is attached.
    pub response_body: Option<Window>,
    /// The guest holds the request body back, and sees it whatever it does.
    pub holds_request: bool,
    /// The guest has let the request go: it does not see a body that only passes by any more.
    pub request_gone: bool,
    /// The guest held the request body until it was resumed, and has seen none since: what it does to
    /// it is taken, without effect.
    pub spent_request: bool,
    /// The same of the response body.
    pub spent_response: bool,
    /// The callback is `proxy_on_log`, where a missing map is an absent header.
    pub log: bool,
}

impl View {
    /// What the guest sees of the body of `direction`.
    pub const fn seen_body(&self, direction: Direction) -> Option<Window> {
        match direction {
            Direction::Request if self.request_gone && !self.holds_request => None,
            direction => self.body(direction),
        }
    }

    /// The window on the body of `direction`, whether the guest still sees it or not.
    pub const fn body(&self, direction: Direction) -> Option<Window> {
        match direction {
            Direction::Request => self.request_body,
            Direction::Response => self.response_body,
        }
    }

    /// Whether what the guest does to the body of `direction` is taken, without effect.
    pub const fn is_spent(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => self.spent_request,
            Direction::Response => self.spent_response,
        }
    }

    /// Takes the request out of sight.
    pub const fn forget_request(&mut self) {
        let request = Maps::NONE
            .with(Map::RequestHeaders)
            .with(Map::RequestTrailers);
        self.readable = self.readable.without(request);
        self.writable = self.writable.without(request);
        self.request_gone = true;
    }

    /// The same, to be set.
    pub const fn body_mut(&mut self, direction: Direction) -> &mut Option<Window> {
        match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        }
    }
}

/// What guests asked of the stream itself.
#[derive(Debug, Default)]
pub struct Actions {
    /// `proxy_send_local_response`: the first wins, but for the details, where the last does. In a
    /// box: actions are moved after every call, replies are rare.
    pub reply: Option<Box<Reply>>,
    /// `proxy_continue_stream` for requests.
    pub resume_request: bool,
    /// `proxy_continue_stream` for responses.
    pub resume_response: bool,
    /// `proxy_close_stream`.
    pub close: bool,
}

impl Actions {
    /// Whether anything was asked for.
    const fn is_any(&self) -> bool {
        self.reply.is_some() || self.resume_request || self.resume_response || self.close
    }
}

/// A reply that a plugin makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Not checked: 0 and 999 go out as they are, as in Envoy.
    pub status: u32,
    /// Without `:status` until [`Self::prepare`].
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Vec<u8>,
    /// `grpc-status` of the reply to a gRPC request; without one it follows from the status.
    pub grpc_status: Option<u32>,
    /// Set when it begins its way back.
    pub form: Form,
}

/// What a reply answers, as far as it makes a difference to its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Status, headers, body.
    #[default]
    Plain,
    /// To a HEAD request: Envoy sends no body.
    Head,
    /// To a gRPC request: Envoy makes a header of the body.
    Grpc,
}

impl Reply {
    /// Puts in the headers that Envoy gives to a local reply, for plugins to see.
    fn prepare(&mut self, form: Form) {
        let is_length = |(name, _): &(Vec<u8>, Vec<u8>)| name == b"content-length";
        self.headers.retain(|(name, _)| name != b":status");
        let place = self.headers.iter().position(is_length);
        self.headers.retain(|header| !is_length(header));
        self.form = form;
        if form == Form::Grpc {
            let status = self.grpc_status.unwrap_or(of_http(self.status));
            let headers = &mut self.headers;
            headers.insert(0, (b":status".to_vec(), b"200".to_vec()));
            headers.push((b"content-type".to_vec(), b"application/grpc".to_vec()));
            headers.push((b"grpc-status".to_vec(), status.to_string().into_bytes()));
            if !self.body.is_empty() {
                headers.push((b"grpc-message".to_vec(), percent_encoded(&self.body)));
            }
            return;
        }
        if !self.body.is_empty() {
            let length = self.body.len().to_string().into_bytes();
            let place = place.unwrap_or(self.headers.len());
            self.headers
                .insert(place, (b"content-length".to_vec(), length));
            if find(&self.headers, b"content-type").is_none() {
                let text = (b"content-type".to_vec(), b"text/plain".to_vec());
                self.headers.push(text);
            }
        }
        let status = self.status.to_string().into_bytes();
        self.headers.insert(0, (b":status".to_vec(), status));
    }

    /// Takes out what Envoy generates, the status as plugins left it.
    pub fn seal(&mut self) {
        if self.form == Form::Grpc {
            // The status of the reply is Envoy's way to that of gRPC, which stands.
            let generated: [&[u8]; 3] = [b":status", b"content-type", b"grpc-message"];
            self.headers
                .retain(|(name, _)| !generated.contains(&name.as_slice()));
            return;
        }
        if let Some(status) = find(&self.headers, b":status")
            && let Some(status) = std::str::from_utf8(status)
                .ok()
                .and_then(|s| s.parse().ok())
        {
            self.status = status;
        }
        self.headers
            .retain(|(name, _)| name != b":status" && name != b"content-length");
    }
}

/// Text as `grpc-message` carries it.
fn percent_encoded(text: &[u8]) -> Vec<u8> {
    const RESERVED: AsciiSet = CONTROLS.add(b'%');
    percent_encode(text, &RESERVED).to_string().into_bytes()
}

fn find<'a>(headers: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// A number that no stream has had.
fn next_key() -> u64 {
    thread_local! {
        static BLOCK: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    /// Keys that a thread takes at a time, so that workers do not share a counter.
    const LENGTH: u64 = 1 << 20;
    BLOCK.with(|block| {
        let (mut next, mut end) = block.get();
        if next == end {
            next = BLOCKS.fetch_add(LENGTH, Ordering::Relaxed);
            end = next + LENGTH;
        }
        block.set((next + 1, end));
        next
    })
}

impl<H> Exchange<H> {
    /// A new stream.
    pub fn new(host: H) -> Self {
        Self {
            view: View::default(),
            actions: Actions::default(),
            reply: None,
            key: next_key(),
            plugin: 0,
            carrier: Carrier::default(),
            calls: SmallVec::new(),
            cancelled: Vec::new(),
            waiting_calls: Vec::new(),
            states: States::default(),
            stale_route: false,
            written: [0; 4],
            properties: 0,
            host,
        }
    }
}

impl<H: Host + ?Sized> Exchange<H> {
    /// Makes it the exchange of another stream, but for the proxy's side. What it has allocated
    /// stays.
    pub fn renew(&mut self) {
        // All fields by name, so that none is forgotten: the next stream would begin with it.
        let Self {
            view,
            actions,
            reply,
            key,
            plugin,
            carrier,
            calls,
            cancelled,
            waiting_calls,
            states,
            stale_route,
            written,
            properties,
            host: _,
        } = self;
        *view = View::default();
        *actions = Actions::default();
        *reply = None;
        *key = next_key();
        *plugin = 0;
        *carrier = Carrier::default();
        calls.clear();
        cancelled.clear();
        waiting_calls.clear();
        states.clear();
        *stale_route = false;
        *written = [0; 4];
        *properties = 0;
    }

    /// The proxy's side.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The proxy's side, to be changed.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// Whether plugins left the chain something to do for them between calls.
    pub fn is_asked(&self) -> bool {
        self.stale_route || !self.waiting_calls.is_empty() || !self.cancelled.is_empty()
    }

    /// Takes what the last callback asked of the stream itself, if anything.
    pub fn take_actions(&mut self) -> Option<Actions> {
        self.actions
            .is_any()
            .then(|| std::mem::take(&mut self.actions))
    }

    /// Has the route picked anew.
    pub fn clear_route(&mut self) {
        self.stale_route = true;
    }

    /// Whether the route is to be picked anew.
    #[cfg(test)]
    pub(super) fn has_stale_route(&self) -> bool {
        self.stale_route
    }

    /// Picks the route anew if request headers changed. Asked for before anything reads the
    /// route, and when the plugins are through: once for any number of changes.
    pub fn refresh_route(&mut self) {
        if std::mem::take(&mut self.stale_route) {
            self.host.clear_route_cache();
        }
    }

    /// The first value of a header.
    pub fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        match self.own(map) {
            Own::Reply(reply) => find(&reply.headers, name),
            Own::Absent => None,
            Own::Host => self.host.header(map, name),
        }
    }

    /// Entries of a map.
    pub fn header_count(&self, map: Map) -> usize {
        match self.own(map) {
            Own::Reply(reply) => reply.headers.len(),
            Own::Absent => 0,
            Own::Host => self.host.header_count(map),
        }
    }

    /// Calls `visit` with each entry of a map.
    pub fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        match self.own(map) {
            Own::Reply(reply) => reply
                .headers
                .iter()
                .for_each(|(name, value)| visit(name, value)),
            Own::Absent => {}
            Own::Host => self.host.visit_headers(map, visit),
        }
    }

    /// Whether a map may get another entry of `size` bytes. What guests write is summed up, and the
    /// map measured only when the sum reaches the bound: a header that is replaced counts once.
    pub(super) fn has_room_for_header(&mut self, map: Map, size: usize) -> bool {
        let size = size.saturating_add(HEADER);
        let Some(written) = self.written.get(map as usize) else {
            return false;
        };
        let mut sum = written.saturating_add(size);
        if sum > MAX_HEADERS {
            sum = size;
            self.visit_headers(map, &mut |name, value| {
                sum = sum.saturating_add(name.len() + value.len() + HEADER);
            });
            if sum > MAX_HEADERS {
                return false;
            }
        }
        if let Some(written) = self.written.get_mut(map as usize) {
            *written = sum;
        }
        true
    }

    /// Appends an entry.
    pub fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        match self.own_mut(map) {
            Some(headers) => headers.push((name.to_ascii_lowercase(), value.to_vec())),
            None => self.host.add_header(map, name, value),
        }
        self.changed(map);
    }

    /// Replaces all values of a header by one.
    pub fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        match self.own_mut(map) {
            Some(headers) => {
                let mut is_set = false;
                headers.retain_mut(|(key, old)| {
                    if !key.eq_ignore_ascii_case(name) {
                        return true;
                    }
                    // The first keeps its place.
                    old.clear();
                    old.extend_from_slice(value);
                    !std::mem::replace(&mut is_set, true)
                });
                if !is_set {
                    headers.push((name.to_ascii_lowercase(), value.to_vec()));
                }
            }
            None => self.host.set_header(map, name, value),
        }
        self.changed(map);
    }

    /// Removes all values of a header.
    pub fn remove_header(&mut self, map: Map, name: &[u8]) {
        match self.own_mut(map) {
            Some(headers) => headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name)),
            None => self.host.remove_header(map, name),
        }
        self.changed(map);
    }

    /// Makes `reply` the response, with the headers that Envoy will give it.
    pub fn begin_reply(&mut self, mut reply: Reply) {
        let header = |name: &[u8]| self.host.header(Map::RequestHeaders, name);
        let is_grpc = header(b"content-type").is_some_and(|kind| {
            let rest = kind.strip_prefix(b"application/grpc");
            rest.is_some_and(|rest| rest.first().is_none_or(|byte| b"+;".contains(byte)))
        });
        reply.prepare(if is_grpc {
            Form::Grpc
        } else if header(b":method") == Some(b"HEAD") {
            Form::Head
        } else {
            Form::Plain
        });
        self.reply = Some(reply);
    }

    /// Bytes of a whole body.
    pub fn body_len(&self, direction: Direction) -> usize {
        match (&self.reply, direction) {
            (Some(reply), Direction::Response) if reply.form != Form::Plain => 0,
            (Some(reply), Direction::Response) => reply.body.len(),
            _ => self.host.body_len(direction),
        }
    }

    /// The most bytes that guests may make a body grow to.
    pub(super) fn buffer_limit(&self) -> usize {
        self.host.buffer_limit()
    }

    /// Copies the bytes from `start` on into all of `out`.
    pub fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        match (&self.reply, direction) {
            (Some(reply), Direction::Response) => {
                if let Some(bytes) = reply.body.get(start..start.saturating_add(out.len())) {
                    out.copy_from_slice(bytes);
                }
            }
            _ => self.host.read_body(direction, start, out),
        }
    }

    /// Replaces the `remove` bytes at `start` by `insert`.
    pub fn splice_body(
        &mut self,
        direction: Direction,
        start: usize,
        remove: usize,
        insert: &[u8],
    ) {
        match (&mut self.reply, direction) {
            (Some(reply), Direction::Response) => {
                let start = start.min(reply.body.len());
                let end = start.saturating_add(remove).min(reply.body.len());
                drop(reply.body.splice(start..end, insert.iter().copied()));
            }
            _ => self.host.splice_body(direction, start, remove, insert),
        }
    }

    fn own(&self, map: Map) -> Own<'_> {
        match (&self.reply, map) {
            (Some(reply), Map::ResponseHeaders) => Own::Reply(reply),
            (Some(_), Map::ResponseTrailers) => Own::Absent,
            _ => Own::Host,
        }
    }

    fn own_mut(&mut self, map: Map) -> Option<&mut Vec<(Vec<u8>, Vec<u8>)>> {
        match (&mut self.reply, map) {
            (Some(reply), Map::ResponseHeaders) => Some(&mut reply.headers),
            _ => None,
        }
    }

    fn changed(&mut self, map: Map) {
        self.stale_route |= map == Map::RequestHeaders;
    }
}

/// Whose a map is.
enum Own<'a> {
    Reply(&'a Reply),
    /// A reply has no trailers.
    Absent,
    Host,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(headers: &[(Vec<u8>, Vec<u8>)]) -> String {
        let lines = headers.iter().map(|(name, value)| {
            format!(
                "{}={}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_reply_shows_what_envoy_generates_and_hides_it_again() {
        let mut reply = Reply {
            status: 403,
            headers: vec![
                (b":status".to_vec(), b"200".to_vec()),
                (b"x-why".to_vec(), b"no".to_vec()),
            ],
            body: b"denied".to_vec(),
            ..Reply::default()
        };
        reply.prepare(Form::Plain);
        assert_eq!(
            text(&reply.headers),
            ":status=403 x-why=no content-length=6 content-type=text/plain"
        );
        reply.headers[0].1 = b"418".to_vec();
        reply.seal();
        assert_eq!(reply.status, 418);
        assert_eq!(text(&reply.headers), "x-why=no content-type=text/plain");
    }
}
