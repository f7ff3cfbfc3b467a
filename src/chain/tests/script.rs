//! Plugins that follow a script.
//!
//! A script is a list of rules: the event (`h` `b` `t` `H` `B` `T`, `o` for the making of the
//! context, `l` for the log), the action that is the answer (0 where none is given), and what the
//! plugin does before it, with commas between. Each rule is used once, or for all such events if
//! there is a star behind the action; without a rule, a plugin continues.
//!
//! | word | what the plugin does |
//! |---|---|
//! | `h+x` `t+x` `H+x` `T+x` | adds a header `x` to that map |
//! | `H:418` | sets the status of the response |
//! | `b=x` `b^x` `b$x`, `B…` | replaces its part of the body, prepends, appends |
//! | `reply=403` `reply=403:body` `reply=403:body:x` | replies, with a header `x` |
//! | `go` `GO` `close` | asks to continue the request, the response, to close |
//! | `skip` `refuse` | cannot run, and is skipped, or the stream refused |
//!
//! Words beside rules: `deaf:bT` has no callbacks for these events, `hold` keeps only headers
//! when it pauses at headers, `life` shows the making of contexts, `look` shows what a callback
//! may see: `[h b2 T-]` are request headers, two bytes of the body, and read-only trailers.

use parking_lot::Mutex;

use super::envoy::MAPS;
use super::host::Trace;
use crate::chain::{Context, Filter, Lent, Outage};
use crate::proxy_wasm::{Direction, Event, Exchange, Map, Reply, Window};

/// A plugin.
pub(super) struct Script {
    name: char,
    trace: Trace,
    rules: Mutex<Vec<Rule>>,
    deaf: String,
    holds: bool,
    open: bool,
    life: bool,
    look: bool,
}

#[derive(Clone)]
struct Rule {
    on: char,
    action: u32,
    always: bool,
    doings: Vec<String>,
}

impl Script {
    pub(super) fn parse(script: &str, name: char, trace: Trace) -> Self {
        let mut parsed = Self {
            name,
            trace,
            rules: Mutex::default(),
            deaf: String::new(),
            holds: false,
            open: false,
            life: false,
            look: false,
        };
        for word in script.split_whitespace() {
            match word {
                "hold" => parsed.holds = true,
                "open" => parsed.open = true,
                "life" => parsed.life = true,
                "look" => parsed.look = true,
                _ => match word.strip_prefix("deaf:") {
                    Some(events) => parsed.deaf = events.to_owned(),
                    None => parsed.rules.get_mut().push(Rule::parse(word)),
                },
            }
        }
        parsed
    }

    fn rule(&self, on: char) -> Option<Rule> {
        let mut rules = self.rules.lock();
        let at = rules.iter().position(|rule| rule.on == on)?;
        match rules[at].always {
            true => Some(rules[at].clone()),
            false => Some(rules.remove(at)),
        }
    }

    /// Says what the plugin sees, and does what the script says. The outage, if it says so.
    fn act(&self, on: char, seen: &str, exchange: &mut Exchange) -> Result<u32, Outage> {
        let view = match self.look {
            true => look(exchange),
            false => String::new(),
        };
        self.trace.say(format!("{}:{seen}{view}", self.name));
        let Some(rule) = self.rule(on) else {
            return Ok(0);
        };
        for doing in &rule.doings {
            self.perform(doing, exchange)?;
        }
        Ok(rule.action)
    }

    fn perform(&self, doing: &str, exchange: &mut Exchange) -> Result<(), Outage> {
        let actions = &mut exchange.actions;
        match doing {
            "go" => actions.resume_request = true,
            "GO" => actions.resume_response = true,
            "close" => actions.close = true,
            "skip" => return Err(Outage::Skip),
            "refuse" => return Err(refusal()),
            _ => match doing.strip_prefix("reply=") {
                Some(reply) => actions.reply = Some(Box::new(reply_of(reply))),
                None => {
                    let (target, rest) = doing.split_at(1);
                    let (how, what) = rest.split_at(1);
                    if !edit(target, how, what.as_bytes(), exchange) {
                        self.trace.say(format!("no:{doing}"));
                    }
                }
            },
        }
        Ok(())
    }
}

impl Rule {
    fn parse(word: &str) -> Self {
        let mut parts = word.split(',');
        let head = parts.next().unwrap();
        let (on, action) = head.split_at(1);
        let (action, always) = match action.strip_suffix('*') {
            Some(action) => (action, true),
            None => (action, false),
        };
        Self {
            on: on.chars().next().unwrap(),
            action: if action.is_empty() {
                0
            } else {
                action.parse().unwrap()
            },
            always,
            doings: parts.map(str::to_owned).collect(),
        }
    }
}

impl Filter for Script {
    fn open(&self, worker: u32, exchange: &mut Lent) -> Result<Context, Outage> {
        if self.life {
            self.trace.say(format!("{}:open", self.name));
        }
        let exchange = exchange.as_mut().unwrap();
        if let Some(rule) = self.rule('o') {
            for doing in &rule.doings {
                self.perform(doing, exchange)?;
            }
        }
        Ok(Context {
            worker,
            instance: u64::from(self.name),
            id: self.name.into(),
        })
    }

    fn on_event(
        &self,
        context: &Context,
        event: &Event,
        exchange: &mut Lent,
    ) -> Result<u32, Outage> {
        assert_eq!((context.worker, context.id), (7, self.name.into()));
        assert!(self.wants(event), "an event that nobody wants");
        let exchange = exchange.as_mut().unwrap();
        let on = letter_of(event);
        let mut seen = match *event {
            Event::Headers {
                direction, count, ..
            } => {
                let map = maps_of(direction).0;
                assert_eq!(count, exchange.header_count(map));
                match exchange.header(map, b":status") {
                    Some(status) if status != b"200" => {
                        format!("{on}{}", String::from_utf8_lossy(status))
                    }
                    _ => on.to_string(),
                }
            }
            Event::Body { direction, len, .. } => {
                let window = exchange.view.body(direction).expect("a body");
                assert_eq!(len, window.len);
                format!("{on}={}", text_of(exchange, direction, window))
            }
            Event::Trailers { direction, count } => {
                assert_eq!(count, exchange.header_count(maps_of(direction).1));
                on.to_string()
            }
        };
        if let Event::Headers { end: true, .. } | Event::Body { end: true, .. } = event {
            seen.push('.');
        }
        self.act(on, &seen, exchange)
    }

    fn wants(&self, event: &Event) -> bool {
        !self.deaf.contains(letter_of(event))
    }

    fn outage(&self) -> Outage {
        match self.open {
            true => Outage::Skip,
            false => refusal(),
        }
    }

    fn holds_headers_only(&self) -> bool {
        self.holds
    }

    fn log(&self, _: &Context, exchange: &mut Lent) {
        drop(self.act('l', "log", exchange.as_mut().unwrap()));
    }

    fn delete(&self, _: &Context, exchange: &mut Lent) {
        drop(self.act('d', "delete", exchange.as_mut().unwrap()));
    }
}

/// Headers and trailers of `direction`.
pub(super) fn maps_of(direction: Direction) -> (Map, Map) {
    match direction {
        Direction::Request => (Map::RequestHeaders, Map::RequestTrailers),
        Direction::Response => (Map::ResponseHeaders, Map::ResponseTrailers),
    }
}

fn refusal() -> Outage {
    Outage::Refuse {
        status: 503,
        details: "down".to_owned(),
    }
}

fn letter_of(event: &Event) -> char {
    let (letter, direction) = match event {
        Event::Headers { direction, .. } => ('h', direction),
        Event::Body { direction, .. } => ('b', direction),
        Event::Trailers { direction, .. } => ('t', direction),
    };
    match direction {
        Direction::Request => letter,
        Direction::Response => letter.to_ascii_uppercase(),
    }
}

pub(super) fn bytes_of(exchange: &Exchange, direction: Direction, window: Window) -> Vec<u8> {
    let mut bytes = vec![0; window.len];
    exchange.read_body(direction, window.start, &mut bytes);
    bytes
}

fn text_of(exchange: &Exchange, direction: Direction, window: Window) -> String {
    String::from_utf8(bytes_of(exchange, direction, window)).unwrap()
}

fn reply_of(word: &str) -> Reply {
    let parts: Vec<&str> = word.splitn(3, ':').collect();
    let header = parts
        .get(2)
        .map(|name| (name.as_bytes().to_vec(), b"204".to_vec()));
    Reply {
        status: parts[0].parse().unwrap(),
        headers: header.into_iter().collect(),
        body: parts
            .get(1)
            .map(|body| body.as_bytes().to_vec())
            .unwrap_or_default(),
        ..Reply::default()
    }
}

/// Edits as hostcalls do. Whether that was possible.
fn edit(target: &str, how: &str, what: &[u8], exchange: &mut Exchange) -> bool {
    if let "=" | "^" | "$" = how {
        let direction = match target {
            "b" => Direction::Request,
            _ => Direction::Response,
        };
        let remove_all = how == "=";
        return splice(exchange, direction, how == "$", remove_all, what);
    }
    let letter = target.chars().next().unwrap();
    let (map, _) = MAPS.into_iter().find(|(_, name)| *name == letter).unwrap();
    if !exchange.view.writable.contains(map) {
        return false;
    }
    match how {
        "+" => exchange.add_header(map, what, b"1"),
        _ => exchange.set_header(map, b":status", what),
    }
    true
}

/// Puts `insert` at the end of the plugin's part of the body or in front, or in place of it.
pub(super) fn splice(
    exchange: &mut Exchange,
    direction: Direction,
    at_end: bool,
    remove_all: bool,
    insert: &[u8],
) -> bool {
    let Some(window) = exchange.view.body(direction) else {
        return false;
    };
    let (at, remove) = match (remove_all, at_end) {
        (true, _) => (0, window.len),
        (false, true) => (window.len, 0),
        (false, false) => (0, 0),
    };
    exchange.splice_body(direction, window.start + at, remove, insert);
    *exchange.view.body_mut(direction) = Some(Window {
        start: window.start,
        len: window.len - remove + insert.len(),
    });
    true
}

fn look(exchange: &Exchange) -> String {
    let view = &exchange.view;
    let mut words = Vec::new();
    if view.log {
        words.push("log".to_owned());
    }
    for (map, letter) in MAPS {
        match (view.readable.contains(map), view.writable.contains(map)) {
            (true, true) => words.push(letter.to_string()),
            (true, false) => words.push(format!("{letter}-")),
            (false, false) => {}
            (false, true) => panic!("writable but not readable"),
        }
    }
    for (direction, letter) in [(Direction::Request, 'b'), (Direction::Response, 'B')] {
        if let Some(window) = view.body(direction) {
            words.push(format!("{letter}{}", window.len));
        }
    }
    format!("[{}]", words.join(" "))
}
