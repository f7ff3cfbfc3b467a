//! What stands in Envoy's place: it feeds a stream to the chain of plugins, and does what the chain
//! asks for.
//!
//! There is one thread for everything that Envoy's workers and its main thread do, and one stream
//! at a time. Calls to clusters fail at once, since there are none.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wasmplugin_host::chain::{BodyStatus, Effect, Stream};
use wasmplugin_host::control::{Deployment, Letter, Process, Task, Threads};
use wasmplugin_host::plugin::case::{Case, Message};
use wasmplugin_host::plugin::{PhaseSet, Plan};
use wasmplugin_host::proxy_wasm::{Direction, Exchange, Form, Map, Reply};
use wasmplugin_host::telemetry::{Level, Lines, PluginState};

use super::host::Host;

/// How long a plugin may hold a message: it may wait for a tick.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked whether it lets go.
const GLANCE: Duration = Duration::from_millis(1);

/// Running plugins.
pub(super) struct Proxy {
    process: Arc<Process>,
    deployment: Arc<Deployment>,
    letters: Arc<Letters>,
    lines: Arc<Lines>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) upstream: Option<Message>,
    pub(super) client: Option<Message>,
    pub(super) end: End,
    pub(super) lines: Vec<String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The upstream's response went to the client.
    Whole,
    /// A plugin has answered, or its failure has.
    Answered,
    /// The stream was reset.
    Reset,
    /// A plugin holds the message.
    Held(Direction),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "the upstream answers",
            Self::Answered => "a plugin answers",
            Self::Reset => "a plugin resets the stream",
            Self::Held(Direction::Request) => "a plugin holds the request",
            Self::Held(Direction::Response) => "a plugin holds the response",
        })
    }
}

impl Proxy {
    /// Starts the plugins of `plan`, or tells what is wrong with them.
    pub(super) fn start(plan: Plan) -> Result<Self, Vec<String>> {
        let letters = Arc::<Letters>::default();
        let lines = Arc::new(Lines::from(Level::Debug));
        let (log, threads) = (Arc::clone(&lines) as _, Arc::clone(&letters) as _);
        let process = Process::start(log, threads).map_err(|error| vec![error.to_string()])?;
        let wait = plan.startup_wait;
        let deployment = process.deploy_plan(plan, 1);
        deployment.wait(wait);
        let reports = process.report().into_iter();
        let failed = reports.filter(|plugin| plugin.state != PluginState::Running);
        let failed: Vec<_> = failed
            .map(|plugin| match plugin.last_error.as_str() {
                "" => format!("plugin {} is not ready in time", plugin.resource),
                error => format!("plugin {}: {error}", plugin.resource),
            })
            .collect();
        if !failed.is_empty() {
            return Err(failed);
        }
        Ok(Self {
            process,
            deployment,
            letters,
            lines,
        })
    }

    /// Sends the request of `case` through the plugins, and the upstream's response back.
    pub(super) fn pass(&self, case: &Case) -> Passed {
        self.lines.take();
        let mut passage = Passage::open(self);
        passage.arrive(Direction::Request, &case.request);
        let mut end = passage.wait(Direction::Request);
        if end == End::Whole {
            passage.arrive(Direction::Response, &case.response);
            end = passage.wait(Direction::Response);
        }
        passage.machine.complete();
        let Passage {
            request,
            response,
            reply,
            ..
        } = passage;
        Passed {
            upstream: request.sent,
            client: reply.or(response.sent),
            end,
            lines: self
                .lines
                .take()
                .into_iter()
                .map(|(_, line)| line)
                .collect(),
        }
    }
}

/// A stream on its way.
struct Passage<'p> {
    proxy: &'p Proxy,
    machine: Stream,
    key: u64,
    request: Side,
    response: Side,
    reply: Option<Message>,
    is_reset: bool,
}

/// A message on its way.
#[derive(Default)]
struct Side {
    /// The last hook said to stop.
    is_stopped: bool,
    /// What has gone on.
    sent: Option<Message>,
}

impl<'p> Passage<'p> {
    fn open(proxy: &'p Proxy) -> Self {
        let exchange: Box<Exchange> = Box::new(Exchange::new(Host::new()));
        let key = exchange.key;
        let mut machine = Stream::new(0, exchange);
        let generation = proxy.deployment.current();
        machine.meet(generation.base().filters(PhaseSet::ALL));
        Self {
            proxy,
            machine,
            key,
            request: Side::default(),
            response: Side::default(),
            reply: None,
            is_reset: false,
        }
    }

    /// A message arrives: its headers, and the body in one piece.
    fn arrive(&mut self, direction: Direction, message: &Message) {
        let map = headers_of(direction);
        let has_body = !message.body.is_empty();
        if let Some(exchange) = self.machine.exchange() {
            for (name, value) in &message.headers {
                let host = exchange.host_mut();
                host.add_header(map, name.as_bytes(), value.as_bytes());
            }
        }
        let goes_on = self.machine.on_headers(direction, !has_body);
        self.follow(direction, goes_on);
        if !has_body || self.is_over() {
            return;
        }
        if let Some(exchange) = self.machine.exchange() {
            let host = exchange.host_mut();
            let held = host.body_len(direction);
            host.splice_body(direction, held, 0, message.body.as_bytes());
        }
        let status = self.machine.on_body(direction, true);
        if status == BodyStatus::Drop
            && let Some(exchange) = self.machine.exchange()
        {
            let all = exchange.host().body_len(direction);
            exchange.host_mut().splice_body(direction, 0, all, b"");
        }
        self.follow(direction, status == BodyStatus::Continue);
    }

    /// Waits until the message has gone on or the stream is over.
    fn wait(&mut self, direction: Direction) -> End {
        let end = Instant::now() + PATIENCE;
        loop {
            self.run_main_thread();
            if self.is_reset {
                return End::Reset;
            }
            if self.reply.is_some() {
                return End::Answered;
            }
            let side = self.side(direction);
            if side.sent.is_some() && !side.is_stopped {
                return End::Whole;
            }
            if Instant::now() > end {
                return End::Held(direction);
            }
            thread::sleep(GLANCE);
        }
    }

    /// Does what plugins have to do outside of streams, and what they ask of this one there.
    fn run_main_thread(&mut self) {
        self.proxy.process.run_tasks(0, &mut None);
        for (key, letter) in self.proxy.letters.take() {
            if key != self.key {
                continue;
            }
            match letter {
                Letter::Asked {
                    instance,
                    context,
                    actions,
                } => self.machine.on_actions(instance, context, actions),
                Letter::Gone { instance } => self.machine.on_gone(instance),
            }
            self.carry_out();
        }
    }

    /// What a hook said, and what it asked for.
    fn follow(&mut self, direction: Direction, goes_on: bool) {
        self.side(direction).is_stopped = !goes_on;
        if goes_on {
            self.send(direction);
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::ContinueRequest => self.go_on(Direction::Request),
                Effect::ContinueResponse => self.go_on(Direction::Response),
                // Once the response has begun, Envoy can only break it off.
                Effect::Reply(_) if self.response.sent.is_some() => self.is_reset = true,
                Effect::Reply(reply) => self.reply = Some(answer(&reply)),
                Effect::Reset { .. } => self.is_reset = true,
                Effect::ResetCall(_) => {}
            }
        }
    }

    fn go_on(&mut self, direction: Direction) {
        self.side(direction).is_stopped = false;
        self.send(direction);
    }

    /// Lets go what is there.
    fn send(&mut self, direction: Direction) {
        let Some(exchange) = self.machine.exchange() else {
            return;
        };
        let host = exchange.host_mut();
        let mut body = vec![0; host.body_len(direction)];
        host.read_body(direction, 0, &mut body);
        host.splice_body(direction, 0, body.len(), b"");
        let mut headers = Vec::new();
        host.visit_headers(headers_of(direction), &mut |name, value| {
            headers.push((text(name), text(value)));
        });
        let side = self.side(direction);
        // Headers that have gone do not change any more.
        let message = side.sent.get_or_insert_with(|| Message {
            headers,
            body: String::new(),
        });
        message.body += &text(&body);
    }

    fn is_over(&self) -> bool {
        self.reply.is_some() || self.is_reset
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }
}

const fn headers_of(direction: Direction) -> Map {
    match direction {
        Direction::Request => Map::RequestHeaders,
        Direction::Response => Map::ResponseHeaders,
    }
}

/// A reply as Envoy sends it.
fn answer(reply: &Reply) -> Message {
    let own = |name: &str, value: String| (name.to_owned(), value);
    let headers = reply.headers.iter();
    let mut given: Vec<_> = headers.map(|(n, v)| (text(n), text(v))).collect();
    let body = text(&reply.body);
    let mut message = Message::default();
    if reply.form == Form::Grpc {
        message.headers.push(own(":status", "200".to_owned()));
        given.push(own("content-type", "application/grpc".to_owned()));
        if !body.is_empty() {
            given.push(own("grpc-message", body));
        }
        message.headers.extend(given);
        return message;
    }
    message
        .headers
        .push(own(":status", reply.status.to_string()));
    if !body.is_empty() {
        given.push(own("content-length", body.len().to_string()));
        if !given.iter().any(|(name, _)| name == "content-type") {
            given.push(own("content-type", "text/plain".to_owned()));
        }
    }
    message.headers.extend(given);
    if reply.form == Form::Plain {
        message.body = body;
    }
    message
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What plugins ask of streams from elsewhere.
#[derive(Default)]
struct Letters(Mutex<Vec<(u64, Letter)>>);

impl Letters {
    fn take(&self) -> Vec<(u64, Letter)> {
        let letters = self.0.lock();
        letters.map_or_else(|_| Vec::new(), |mut letters| std::mem::take(&mut *letters))
    }
}

impl Threads for Letters {
    fn wake_main_thread(&self) {
        // It comes by itself.
    }

    fn send_to_stream(&self, _: u32, key: u64, letter: Letter) {
        if let Ok(mut letters) = self.0.lock() {
            letters.push((key, letter));
        }
    }

    fn send_to_worker(&self, _: u32, task: Task) -> Result<(), Task> {
        Err(task)
    }
}
