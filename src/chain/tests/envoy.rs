//! Envoy's part: it feeds a stream, and does what Envoy does about statuses and effects.
//!
//! A step is one word or several:
//!
//! | word | what happens |
//! |---|---|
//! | `h` `h.` `b=text` `b=text.` `t` | a part of the request arrives |
//! | `H` `H.` `B=text` `B=text.` `T` | a part of the response arrives |
//! | `go:A` `GO:A` | plugin A resumes the request or the response, from outside of any hook |
//! | `end` | the stream is complete |
//!
//! Words of the trace, besides those of plugins:
//!
//! | word | meaning |
//! |---|---|
//! | `>h` `>b=text.` `>t` `<H` … | goes on to the upstream, or to the client; `{x}` are added headers |
//! | `hold` | headers or trailers are kept |
//! | `buffer` `watermark` `drop` | what became of the body, when it did not go on |
//! | `go` `GO` | an effect: the request or the response continues |
//! | `reply=403{x}:body` `reply=503/details` `reset` | the stream's end, an effect, too |
//! | `cut` | … that came after response headers |
//! | `route` | the route was picked anew |

use std::sync::Arc;

use super::host::{Host, Trace};
use super::script::{Script, maps_of};
use crate::chain::flow::Both;
use crate::chain::{BodyStatus, Effect, Filter, Stream};
use crate::proxy_wasm::{Direction, Exchange, Map, Reply};

/// A stream, and Envoy around it.
pub(super) struct Envoy {
    pub(super) stream: Stream,
    pub(super) trace: Trace,
    sides: Both<Side>,
    /// Replies and resets.
    pub(super) answers: usize,
    completed: bool,
}

/// What Envoy knows of a direction.
#[derive(Default)]
struct Side {
    arrived: bool,
    ends_with_headers: bool,
    /// The end of the body has arrived.
    body_ended: bool,
    trailers_arrived: bool,
    headers_out: bool,
    ended: bool,
    /// The last hook said to stop.
    stopped: bool,
    /// The body that has gone on.
    body_out: Vec<u8>,
}

impl Envoy {
    pub(super) fn new(scripts: &[&str]) -> Self {
        let trace = Trace::default();
        let filters = scripts.iter().zip('A'..).map(|(script, name)| {
            Arc::new(Script::parse(script, name, trace.clone())) as Arc<dyn Filter>
        });
        Self::with_filters(filters.collect(), trace)
    }

    pub(super) fn with_filters(filters: Arc<[Arc<dyn Filter>]>, trace: Trace) -> Self {
        let exchange: Box<Exchange> = Box::new(Exchange::new(Host::new(trace.clone())));
        let mut stream = Stream::new(7, exchange);
        stream.meet(filters);
        Self {
            stream,
            trace,
            sides: Both::default(),
            answers: 0,
            completed: false,
        }
    }

    /// Does a step. What comes of it.
    pub(super) fn step(&mut self, words: &str) -> String {
        for word in words.split_whitespace() {
            let direction = match word.starts_with(char::is_lowercase) {
                true => Direction::Request,
                false => Direction::Response,
            };
            let (what, end) = match word.strip_suffix('.') {
                Some(what) => (what, true),
                None => (word, false),
            };
            match what.split_once(['=', ':']) {
                Some(("b" | "B", text)) => self.body(direction, text.as_bytes(), end),
                Some(("go" | "GO", plugin)) => {
                    let index = plugin.as_bytes()[0] - b'A';
                    self.resume(direction, index.into());
                }
                Some(("gone", plugin)) => {
                    self.stream.on_gone(plugin.as_bytes()[0].into());
                    self.carry_out(None);
                }
                None if what == "end" => self.complete(),
                None if matches!(what, "h" | "H") => self.headers(direction, end),
                None if matches!(what, "t" | "T") => self.trailers(direction),
                _ => panic!("not a step: {word}"),
            }
        }
        self.trace.take()
    }

    pub(super) fn headers(&mut self, direction: Direction, end: bool) {
        let (name, value): (&[u8], &[u8]) = match direction {
            Direction::Request => (b":path", b"/"),
            Direction::Response => (b":status", b"200"),
        };
        self.host().add_header(maps_of(direction).0, name, value);
        let side = self.sides.of_mut(direction);
        side.arrived = true;
        side.ends_with_headers = end;
        let goes_on = self.stream.on_headers(direction, end);
        self.follow(direction, goes_on, "hold");
    }

    pub(super) fn body(&mut self, direction: Direction, bytes: &[u8], end: bool) {
        let kept = self.host().body_len(direction);
        self.host().splice_body(direction, kept, 0, bytes);
        self.sides.of_mut(direction).body_ended = end;
        let status = self.stream.on_body(direction, end);
        if status == BodyStatus::Drop {
            let all = self.host().body_len(direction);
            self.host().splice_body(direction, 0, all, b"");
        }
        let word = match status {
            BodyStatus::Continue => "",
            BodyStatus::Buffer => "buffer",
            BodyStatus::Watermark => "watermark",
            BodyStatus::Drop => "drop",
        };
        self.follow(direction, status == BodyStatus::Continue, word);
    }

    pub(super) fn trailers(&mut self, direction: Direction) {
        self.host().add_header(maps_of(direction).1, b"x-sum", b"1");
        self.sides.of_mut(direction).trailers_arrived = true;
        let goes_on = self.stream.on_trailers(direction);
        self.follow(direction, goes_on, "hold");
    }

    pub(super) fn resume(&mut self, direction: Direction, index: usize) {
        self.stream.resume(direction, index);
        self.carry_out(None);
    }

    pub(super) fn complete(&mut self) {
        self.completed = true;
        self.stream.complete();
        assert_eq!(
            self.stream.next_effect(),
            None,
            "an effect of a dead stream"
        );
    }

    /// Whether the headers of `direction` have gone on.
    pub(super) fn has_begun(&self, direction: Direction) -> bool {
        self.sides.of(direction).headers_out
    }

    /// The body that has gone on, if the whole message has.
    pub(super) fn whole(&self, direction: Direction) -> Option<&[u8]> {
        let side = self.sides.of(direction);
        side.ended.then_some(&side.body_out)
    }

    /// Does what a hook of `direction` said, then what it asked for.
    fn follow(&mut self, direction: Direction, goes_on: bool, otherwise: &str) {
        self.sides.of_mut(direction).stopped = !goes_on;
        if goes_on {
            self.send(direction);
        } else {
            self.trace.say(otherwise);
        }
        self.carry_out(Some(direction));
    }

    /// Effects that came of a hook of `hook`, or of none.
    fn carry_out(&mut self, hook: Option<Direction>) {
        while let Some(effect) = self.stream.next_effect() {
            assert!(!self.completed, "an effect of a dead stream");
            match effect {
                Effect::ContinueRequest => self.go_on(Direction::Request, hook),
                Effect::ContinueResponse => self.go_on(Direction::Response, hook),
                Effect::Reply(reply) => {
                    self.answers += 1;
                    self.trace.say(word_of(&reply));
                    if self.sides.of(Direction::Response).headers_out {
                        self.trace.say("cut");
                    }
                }
                Effect::ResetCall(id) => self.trace.say(format!("reset-call:{id}")),
                Effect::Reset { details } => {
                    self.answers += 1;
                    assert_eq!(details, "wasm_close_stream");
                    self.trace.say("reset");
                }
            }
        }
    }

    fn go_on(&mut self, direction: Direction, hook: Option<Direction>) {
        assert_ne!(hook, Some(direction), "continued in its own hook");
        assert_eq!(self.answers, 0, "continued though it was answered");
        let side = self.sides.of_mut(direction);
        assert!(side.arrived, "continued before it began: Envoy crashes");
        assert!(side.stopped, "continued twice: Envoy ignores it");
        side.stopped = false;
        self.trace.say(match direction {
            Direction::Request => "go",
            Direction::Response => "GO",
        });
        self.send(direction);
    }

    /// Lets go all that is there.
    fn send(&mut self, direction: Direction) {
        let (to, [h, b, t]) = match direction {
            Direction::Request => ('>', ['h', 'b', 't']),
            Direction::Response => ('<', ['H', 'B', 'T']),
        };
        let host = self.stream.exchange().unwrap().host_mut();
        let mut body = vec![0; host.body_len(direction)];
        host.read_body(direction, 0, &mut body);
        host.splice_body(direction, 0, body.len(), b"");
        let added = |map| {
            let mut names = Vec::new();
            host.visit_headers(map, &mut |name, _| names.push(name.to_vec()));
            added_of(&names)
        };
        let side = self.sides.of_mut(direction);
        assert!(!side.ended || body.is_empty(), "more after the end");
        let mut says = Vec::new();
        if !side.headers_out {
            side.headers_out = true;
            side.ended = side.ends_with_headers;
            let end = if side.ended { "." } else { "" };
            says.push(format!("{to}{h}{}{end}", added(maps_of(direction).0)));
        }
        let ends = side.body_ended && !side.ended;
        side.body_out.extend_from_slice(&body);
        if !body.is_empty() || ends {
            side.ended = ends;
            let end = if ends { "." } else { "" };
            says.push(format!("{to}{b}={}{end}", String::from_utf8_lossy(&body)));
        }
        if side.trailers_arrived && !side.ended {
            side.ended = true;
            says.push(format!("{to}{t}{}", added(maps_of(direction).1)));
        }
        for word in says {
            self.trace.say(word);
        }
    }

    fn host(&mut self) -> &mut dyn crate::proxy_wasm::Host {
        self.stream.exchange().unwrap().host_mut()
    }
}

fn word_of(reply: &Reply) -> String {
    let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
    let mut word = format!("reply={}{}", reply.status, added_of(&names));
    if !reply.body.is_empty() {
        word += &format!(":{}", String::from_utf8_lossy(&reply.body));
    }
    if !reply.details.is_empty() {
        word += &format!("/{}", String::from_utf8_lossy(&reply.details));
    }
    word
}

/// The names that tests add.
fn added_of(names: &[Vec<u8>]) -> String {
    const USUAL: [&[u8]; 4] = [b":path", b":status", b"x-sum", b"content-type"];
    let names: Vec<_> = names
        .iter()
        .filter(|name| !USUAL.contains(&name.as_slice()))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", names.join(",")),
    }
}

/// Tells maps apart in traces.
pub(super) const MAPS: [(Map, char); 4] = [
    (Map::RequestHeaders, 'h'),
    (Map::RequestTrailers, 't'),
    (Map::ResponseHeaders, 'H'),
    (Map::ResponseTrailers, 'T'),
];
