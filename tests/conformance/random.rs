//! Random programs and requests: which plugin calls what in which callback, which pauses, and when
//! it goes on again.
//!
//! A seed makes the text of a case, so that a failing one can be kept. What Envoy's own filter
//! cannot bear is not made: a plugin resumes only what it has paused, and nothing happens to a
//! stream that has ended. What is known to differ is not made either (`differences.txt` has a case
//! of each): trailers made at the end of a body, what was held read after the stream, replies with
//! a body of another length, streams that end while another plugin waits for a callout, plugins that
//! would find each other's bytes in the one buffer that Envoy has ([`Holds::mix`]), bodies that are
//! held after headers while trailers wait, and response headers read after they have gone on.

use std::fmt::Write as _;

use super::case::{Case, parse};

/// Cases for the seeds from `seed` on.
pub(crate) fn cases(seed: u64, count: u64) -> Vec<Case> {
    (seed..seed + count)
        .map(|seed| {
            let text = Maker::new(seed).case(seed);
            let mut cases =
                parse(&text, "random").unwrap_or_else(|error| panic!("{error}\n{text}"));
            let mut case = cases.remove(0);
            case.source = format!("\nthe case:\n{text}");
            case
        })
        .collect()
}

/// Values of headers, and other texts.
const VALUES: &[&str] = &["a", "bb", "a b c", "0123456789"];

struct Maker {
    state: u64,
    text: String,
    /// Callouts of the plugin at hand, as branches of its `http_call_response`.
    branches: Vec<String>,
    old_abi: bool,
    /// There is one plugin: no other waits for anything.
    alone: bool,
    /// It replies after the request's headers: until the reply goes out, so does the request.
    replies_late: bool,
    /// What each plugin so far holds back, of requests and of responses.
    holds: Vec<[Holds; 2]>,
}

/// What a plugin may hold back of a message.
#[derive(Clone, Copy, Default)]
struct Holds {
    headers: bool,
    body: bool,
    /// The body, but not to its end.
    part: bool,
    trailers: bool,
    /// The body by an action of 2: Envoy shows it at trailers, but does not take what is done to it.
    watermark: bool,
}

impl Holds {
    /// Whether Envoy would show one plugin what the other holds, this one coming first in the
    /// message's way. Envoy's filters share one buffer: resuming one passes on all of it.
    const fn mix(self, later: Self) -> bool {
        let any_body = self.body || self.part;
        later.headers && (any_body || self.trailers)
            || (later.body || later.part) && self.trailers && !self.body
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
    Done,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::ResponseTrailers,
        Self::Log,
        Self::Done,
    ];

    const fn section(self) -> &'static str {
        match self {
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::RequestTrailers => "request_trailers",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::ResponseTrailers => "response_trailers",
            Self::Log => "log",
            Self::Done => "done",
        }
    }

    const fn is_body(self) -> bool {
        matches!(self, Self::RequestBody | Self::ResponseBody)
    }

    const fn is_headers(self) -> bool {
        matches!(self, Self::RequestHeaders | Self::ResponseHeaders)
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Log | Self::Done)
    }

    /// 0 for requests, 1 for responses: so are streams and buffers numbered.
    const fn direction(self) -> usize {
        match self {
            Self::RequestHeaders | Self::RequestBody | Self::RequestTrailers => 0,
            _ => 1,
        }
    }
}

impl Maker {
    fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
            text: String::new(),
            branches: Vec::new(),
            old_abi: false,
            alone: false,
            replies_late: false,
            holds: Vec::new(),
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// In so many cases of a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn case(mut self, seed: u64) -> String {
        let _ = writeln!(self.text, "case {seed}\n  patience 2s");
        let plugins = [1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5][self.below(11)];
        self.alone = plugins == 1;
        for index in 0..plugins {
            let before = self.text.len();
            loop {
                self.holds.truncate(index);
                self.text.truncate(before);
                self.plugin();
                if !self.mixes() {
                    break;
                }
            }
        }
        for _ in 0..1 + self.below(2) {
            self.request();
        }
        self.answer();
        self.callout();
        self.text
    }

    /// Whether the last plugin and one before it would mix what they hold.
    fn mixes(&self) -> bool {
        let Some((last, others)) = self.holds.split_last() else {
            return false;
        };
        others
            .iter()
            .any(|other| other[0].mix(last[0]) || last[1].mix(other[1]))
    }

    /// Whether trailers may follow: where they wait already, Envoy loses a body that is held again
    /// after its headers were resumed.
    fn may_have_trailers(&self, direction: usize) -> bool {
        let lanes: Vec<_> = self.holds.iter().map(|holds| holds[direction]).collect();
        let is_lost = |holds: &Holds| holds.headers && (holds.body || holds.part);
        if lanes.iter().any(is_lost) {
            return false;
        }
        // Resumed at trailers, Envoy shows the plugins behind what is left of a buffer: nothing.
        let last = if direction == 0 { lanes.len() - 1 } else { 0 };
        let mut numbered = lanes.iter().enumerate();
        let leaves = numbered.any(|(index, holds)| holds.trailers && index != last);
        !(leaves
            && lanes
                .iter()
                .any(|holds| holds.headers || holds.body || holds.part))
    }

    /// Whether the plugin at hand sees response headers that have gone on.
    fn sees_old_headers(&self, phase: Phase) -> bool {
        let is_after = matches!(phase, Phase::ResponseBody | Phase::ResponseTrailers);
        is_after && self.holds.last().is_some_and(|holds| holds[1].headers)
    }

    /// What the plugin at hand holds back.
    fn holding(&mut self, phase: Phase) -> &mut Holds {
        let plugin = self.holds.last_mut().expect("a plugin");
        &mut plugin[phase.direction()]
    }

    fn plugin(&mut self) {
        self.holds.push(<[Holds; 2]>::default());
        let abi = self.pick(&["0_2_1", "0_2_1", "0_2_1", "0_2_1", "0_2_0", "0_1_0"]);
        self.old_abi = abi == "0_1_0";
        let fail = self.pick(&["close", "close", "open"]);
        let _ = writeln!(self.text, "  plugin abi={abi} fail={fail}");
        self.branches.clear();
        for phase in Phase::ALL {
            let likely = match phase {
                // Bodies change their length: none of them may be announced, but for replies.
                Phase::ResponseHeaders => 100,
                _ if phase.is_end() => 30,
                _ => 55,
            };
            if self.chance(likely) {
                let _ = writeln!(self.text, "    {}:", phase.section());
                if phase == Phase::ResponseHeaders {
                    self.text += concat!(
                        "      quiet get 2 \"x-reply\"; set reply $out\n",
                        "      if $reply {} else { quiet remove 2 \"content-length\" }\n"
                    );
                }
                self.section(phase);
            }
        }
        if !self.branches.is_empty() {
            self.text += "    http_call_response: get 6 \":status\"; bufstat 4\n";
            for branch in std::mem::take(&mut self.branches) {
                self.text += &branch;
            }
        }
    }

    fn section(&mut self, phase: Phase) {
        for _ in 0..self.below(5) {
            let call = self.call(phase);
            if phase.is_body() && self.chance(15) {
                let _ = writeln!(self.text, "      if $1 > 3 {{ {call} }}");
            } else {
                let _ = writeln!(self.text, "      {call}");
            }
        }
        if phase.is_end() {
            return;
        }
        match self.below(100) {
            0..3 if self.alone || phase.is_headers() => self.text += "      trap\n",
            3..8 if self.alone || phase.is_headers() => {
                self.replies_late |= !phase.is_headers();
                let status = self.pick(&["200", "401", "403", "503"]);
                let body = self.pick(&["", "denied", "a longer text of a reply"]);
                let reply =
                    format!("reply {status} \"details\" \"{body}\" {{x-reply={status}}} -1");
                let _ = match phase {
                    Phase::ResponseBody | Phase::ResponseTrailers => {
                        writeln!(self.text, "      if $reply {{}} else {{ {reply} }}")
                    }
                    _ => writeln!(self.text, "      {reply}"),
                };
            }
            8..30 if self.replies_late && phase.direction() == 1 => {}
            8..30 => self.pause(phase),
            30..45 if phase.is_body() => {
                let action = self.pick(&["1", "1", "2"]);
                let holds = self.holding(phase);
                holds.body = true;
                holds.watermark |= action == "2";
                let _ = writeln!(self.text, "      if $2 == 0 {{ ret {action} }}");
            }
            45..50 if phase.is_body() => {
                let action = self.pick(&["1", "2"]);
                let holds = self.holding(phase);
                holds.part = true;
                holds.watermark |= action == "2";
                let _ = writeln!(
                    self.text,
                    "      if $nth == 1 {{ if $2 == 0 {{ ret {action} }} }}"
                );
            }
            _ => {}
        }
    }

    /// Pauses until a callout is answered.
    fn pause(&mut self, phase: Phase) {
        let holds = self.holding(phase);
        if phase.is_body() {
            holds.body = true;
        } else if phase.is_headers() {
            holds.headers = true;
        } else {
            holds.trailers = true;
        }
        let name = phase.section();
        let call = format!(
            "http_call %auth% {{\":method\"=GET, \":path\"=\"/{name}\", \":authority\"=a}} \"\" \"\" 5000; set {name} $out; set held $0"
        );
        if phase.is_body() {
            // A body that trailers follow never says that it ends.
            let _ = writeln!(self.text, "      if $2 {{ {call}; ret 1 }}\n      ret 1");
        } else {
            let action = match phase {
                Phase::RequestHeaders | Phase::ResponseHeaders => self.pick(&["1", "1", "3", "4"]),
                _ => "1",
            };
            let _ = writeln!(self.text, "      {call}; ret {action}");
        }
        let mut branch = format!("      if $1 == ${name} {{ effective $held");
        for _ in 0..self.below(3) {
            // Here `$0` is the root.
            let call = self.call(phase).replace("effective $0", "effective $held");
            let _ = write!(branch, "; {call}");
        }
        let resume = match (self.old_abi, phase.direction()) {
            (true, 0) => "resume_request",
            (true, _) => "resume_response",
            (false, 0) => "resume 0",
            (false, _) => "resume 1",
        };
        let _ = writeln!(branch, "; {resume} }}");
        self.branches.push(branch);
    }

    fn call(&mut self, phase: Phase) -> String {
        if !phase.is_end() && self.chance(60) {
            return self.message_call(phase);
        }
        let value = self.pick(VALUES);
        match self.below(8) {
            0 | 1 => {
                let mut path = self.pick(&[
                    "request.path",
                    "request.method",
                    "request.headers.x-one",
                    "response.code",
                    "response.headers.x-one",
                    "plugin_name",
                    "xds.route_name",
                    "response.code_details",
                ]);
                if path.starts_with("response.headers") && self.sees_old_headers(phase) {
                    path = "plugin_name";
                }
                format!("prop p\"{path}\"")
            }
            2 => "setprop \"shared\" $0".to_owned(),
            3 => "prop \"shared\"".to_owned(),
            4 => format!("share \"%case%\" \"{value}\"; shared \"%case%\""),
            5 => format!(
                "define 0 \"%plugin%\"; set m $out; increment $m {}; metric $m",
                self.below(4)
            ),
            6 => format!("log {} \"{value}\"", self.below(7)),
            _ if phase == Phase::Log => format!("get {} \"x-one\"", self.pick(&["0", "1", "3"])),
            _ => "effective 1; prop \"plugin_name\"; effective $0".to_owned(),
        }
    }

    /// A call about the message at hand: its maps and its body.
    fn message_call(&mut self, phase: Phase) -> String {
        let direction = phase.direction();
        let headers = 2 * direction;
        let name = self.pick(&["x-one", "x-two", "x-three", "X-Upper", "x-none"]);
        let value = self.pick(VALUES);
        let trailers = (headers + 1).to_string();
        let mut map = match self.below(6) {
            0 => self.pick(&["0", "1", "2", "3", "5", "7"]).to_owned(),
            1 => trailers.clone(),
            _ => headers.to_string(),
        };
        if phase.is_body() && map == trailers {
            map = headers.to_string();
        }
        let mut call = self.below(16);
        let is_trailers = matches!(phase, Phase::RequestTrailers | Phase::ResponseTrailers);
        let is_watermarked = self.holds.last().is_some_and(|h| h[direction].watermark);
        if is_trailers && is_watermarked && matches!(call, 9..15) {
            call = 8;
        }
        if map == "2" && matches!(call, 0 | 1 | 7 | 8) && self.sees_old_headers(phase) {
            map = "0".to_owned();
        }
        match call {
            0 | 1 => format!("get {map} \"{name}\""),
            2 | 3 => format!("add {map} \"{name}\" \"{value}\""),
            4 | 5 => format!("replace {map} \"{name}\" \"{value}\""),
            6 => format!("remove {map} \"{name}\""),
            7 => format!("pairs {map}"),
            8 => format!("size {map}"),
            9 | 10 => format!("buf {direction} {} {}", self.below(6), self.below(40)),
            11 => format!("bufstat {direction}"),
            12..15 if phase.is_body() => {
                let form = self.pick(&["0 0", "0 2", "0 0xffffffff", "0xffffffff 0", "1 0"]);
                let text = self.pick(&["<", "more", "", "0123456789"]);
                let change = format!("setbuf {direction} {form} \"{text}\"");
                if phase == Phase::ResponseBody {
                    format!("if $reply {{}} else {{ {change} }}")
                } else {
                    change
                }
            }
            12..15 => format!("setbuf {direction} 0 0 \"x\""),
            _ => format!("add {headers} \"x-%plugin%\" $nth"),
        }
    }

    fn headers(&mut self) {
        for name in ["x-one", "x-two", "x-three"] {
            if self.chance(40) {
                let value = self.pick(&["1", "two", "three words here"]);
                let _ = writeln!(self.text, "    {name}: {value}");
            }
        }
    }

    fn body(&mut self, direction: usize) {
        for index in 0..self.below(4) {
            if index > 0 {
                self.text += "    wait 70ms\n";
            }
            let text = self.pick(&["one", "second", "the third", "0123456789"]);
            let times = self.pick(&["1", "1", "1", "30"]);
            let _ = writeln!(self.text, "    body \"{text}\"*{times}");
        }
        if self.chance(25) && self.may_have_trailers(direction) {
            self.text += "    trailer x-one: trailer\n";
        }
    }

    fn request(&mut self) {
        let version = self.pick(&["", "", " h2"]);
        if self.chance(30) {
            let method = self.pick(&["GET", "HEAD", "DELETE"]);
            let _ = writeln!(self.text, "  request {method} /path?query{version}");
            self.headers();
        } else {
            let _ = writeln!(self.text, "  request POST /path{version} chunked");
            self.headers();
            self.body(0);
        }
    }

    fn answer(&mut self) {
        let version = self.pick(&["", "", " h2"]);
        let status = self.pick(&["200", "200", "200", "404", "503"]);
        let _ = writeln!(self.text, "  answer{version} chunked {status}");
        self.headers();
        self.body(1);
    }

    fn callout(&mut self) {
        let status = self.pick(&["200", "200", "403"]);
        let _ = writeln!(self.text, "  callout auth {status}\n    body \"checked\"");
    }
}
