//! Requests: as many as Envoy can take, or at a steady rate.
//!
//! Written here rather than taken from wrk or h2load so that a fresh machine can run the benchmark,
//! and so that a number of requests can be sent exactly.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::stats::Series;

/// A request's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// What a browser or a client library sends, ten headers of it.
    pub(crate) fn usual() -> Self {
        Self::with_headers(0)
    }

    /// The usual one with `count` headers more.
    pub(crate) fn with_headers(count: usize) -> Self {
        let mut text = String::from(
            "GET /orders/4711?expand=lines HTTP/1.1\r\nhost: shop.example.com\r\n\
             user-agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0\r\naccept: application/json\r\n\
             accept-encoding: gzip, deflate, br\r\naccept-language: en-US,en;q=0.5\r\n\
             x-api-key: 4d3f7c1e9a\r\ncookie: session=8c6976e5b5410415bde908bd4dee15df\r\n\
             cache-control: no-cache\r\n",
        );
        for number in 0..count {
            text += &format!("x-header-{number}: value number {number}\r\n");
        }
        text += "\r\n";
        Self(text.into_bytes())
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    pub(crate) fn try_connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).ok()?;
        Some(Self {
            stream,
            // Grows with the answers: there may be ten thousand of these.
            buffer: vec![0; 4 << 10],
            filled: 0,
        })
    }

    fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("Envoy listens")
    }

    /// Sends a request and waits for its answer. None where either fails.
    pub(crate) fn try_ask(&mut self, request: &Request) -> Option<()> {
        self.stream.write_all(&request.0).ok()?;
        while !self.try_receive()? {}
        Some(())
    }

    fn send(&mut self, request: &Request) {
        self.stream.write_all(&request.0).expect("a connection");
    }

    fn receive(&mut self) {
        while !self.try_receive().expect("an answer of status 200") {}
    }

    /// Reads what is there: whether it is a whole answer. None where it is no good one.
    fn try_receive(&mut self) -> Option<bool> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return None,
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(false),
            Err(_) => return None,
        }
        let answer = &self.buffer[..self.filled];
        if !is_complete(answer) {
            return Some(false);
        }
        let is_good = answer.starts_with(b"HTTP/1.1 200");
        self.filled = 0;
        is_good.then_some(true)
    }
}

fn is_complete(answer: &[u8]) -> bool {
    let Some(head) = find(answer, b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = answer.split_at(head + 4);
    match find(head, b"content-length: ") {
        Some(at) => {
            let digits = head[at + 16..].iter().take_while(|b| b.is_ascii_digit());
            let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            body.len() >= length
        }
        None if find(head, b"transfer-encoding: chunked").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|at| at == wanted)
}

/// Connections that are kept.
pub(crate) struct Load {
    clients: Vec<Client>,
    request: Request,
}

impl Load {
    pub(crate) fn new(port: u16, connections: usize, request: Request) -> Self {
        let clients = (0..connections).map(|_| Client::connect(port)).collect();
        Self { clients, request }
    }

    /// Sends `count` requests as fast as their answers come, and says how long it took.
    ///
    /// Two halves of the connections in turn: while the answers of one are read, Envoy has the
    /// other's requests.
    pub(crate) fn run(&mut self, count: usize) -> Duration {
        let begin = Instant::now();
        let mut left = count;
        let half = self.clients.len().div_ceil(2);
        let mut halves: Vec<&mut [Client]> = self.clients.chunks_mut(half).collect();
        let mut waiting = vec![0; halves.len()];
        while left > 0 || waiting.iter().any(|count| *count > 0) {
            for (clients, waiting) in halves.iter_mut().zip(&mut waiting) {
                clients.iter_mut().take(*waiting).for_each(Client::receive);
                *waiting = left.min(clients.len());
                left -= *waiting;
                for client in clients.iter_mut().take(*waiting) {
                    client.send(&self.request);
                }
            }
        }
        begin.elapsed()
    }

    /// Sends `rate` requests a second for `length`, whether or not answers come, and says how long
    /// each took in microseconds, from when it was due: one that waits for a connection waits.
    pub(crate) fn run_at(&mut self, rate: f64, length: Duration) -> Series {
        for client in &self.clients {
            client.stream.set_nonblocking(true).expect("a socket");
        }
        let begin = Instant::now();
        let step = Duration::from_secs_f64(1.0 / rate);
        let mut due = Duration::ZERO;
        let mut free: Vec<usize> = (0..self.clients.len()).collect();
        let mut busy: Vec<(usize, Duration)> = Vec::new();
        let mut latencies = Vec::new();
        while due < length || !busy.is_empty() {
            while due < length && due <= begin.elapsed() {
                let Some(client) = free.pop() else { break };
                self.clients[client].send(&self.request);
                busy.push((client, due));
                due += step;
            }
            busy.retain(|(client, due)| {
                let answered = self.clients[*client].try_receive();
                let answered = answered.expect("an answer of status 200");
                if answered {
                    let took = begin.elapsed() - *due;
                    latencies.push(took.as_secs_f64() * 1e6);
                    free.push(*client);
                }
                !answered
            });
            // Nothing to read: the processor is Envoy's where there is only one.
            std::thread::yield_now();
        }
        for client in &self.clients {
            client.stream.set_nonblocking(false).expect("a socket");
        }
        latencies.into_iter().collect()
    }
}
