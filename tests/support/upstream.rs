//! A server behind Envoy.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::http::{read_chunks, read_headers, read_line};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header, in order.
    fn joined(&self, name: &str) -> String {
        let of = self.headers.iter().filter(|(key, _)| key == name);
        let values: Vec<_> = of.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }
}

#[derive(Clone, Debug)]
enum Answer {
    Echo,
    Canned(Vec<u8>),
    Marks,
    MarksSlowly,
}

/// A server on a thread; a thread more for each connection. Stops when dropped.
pub(crate) struct Upstream {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Upstream {
    /// Answers 200 with what it saw: `{"method", "path", "headers": {name: value}, "body"}`;
    /// values of a repeated header joined by `, ` in the order of arrival.
    pub(crate) fn echo() -> Self {
        Self::start(Answer::Echo)
    }

    /// Answers 200 with `body`, and keeps nothing.
    pub(crate) fn canned(body: &[u8]) -> Self {
        Self::start(Answer::Canned(body.to_owned()))
    }

    /// Answers 200 with the marks of the request (header `x-mark`) as a chunk, and a trailer behind
    /// it, or with a gRPC message what asks for one; keeps nothing.
    pub(crate) fn marks_with_trailer() -> Self {
        Self::start(Answer::Marks)
    }

    /// Answers 200 with all marks of the request (header `x-mark`), after as many milliseconds as
    /// its header `x-wait` says; keeps nothing.
    pub(crate) fn marks() -> Self {
        Self::start(Answer::MarksSlowly)
    }

    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        // A storm of callouts fills the 128 places that there are by default, and then everybody
        // waits seconds until their client connects again.
        SockRef::from(&listener)
            .listen(4096)
            .expect("a longer queue");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let (seen, answer) = (Arc::clone(&seen), answer.clone());
                    // An error is the peer's end of the connection.
                    thread::spawn(move || drop(serve(stream, &seen, &answer)));
                }
            });
        }
        Self { port, seen, stop }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every request so far (none where the answer is canned).
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic in a server").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the accept loop.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let request = read_request(&mut stream)?;
        let body = match answer {
            Answer::Canned(body) => body.clone(),
            Answer::MarksSlowly => {
                let wait = request.header("x-wait").and_then(|wait| wait.parse().ok());
                thread::sleep(Duration::from_millis(wait.unwrap_or(0)));
                request.joined("x-mark").into_bytes()
            }
            Answer::Marks => {
                let kind = request.header("content-type").unwrap_or("text/plain");
                let (body, trailer) = match kind {
                    "application/grpc" => ("\0\0\0\0\x02hi", "grpc-status: 0"),
                    _ => (
                        request.header("x-mark").unwrap_or("none"),
                        "x-trailer: response",
                    ),
                };
                let message = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n\
                     {:x}\r\n{body}\r\n0\r\n{trailer}\r\n\r\n",
                    body.len()
                );
                stream.get_mut().write_all(message.as_bytes())?;
                continue;
            }
            Answer::Echo => {
                let mut headers = BTreeMap::<&str, String>::new();
                for (name, value) in &request.headers {
                    headers
                        .entry(name)
                        .and_modify(|values| values.extend([", ", value]))
                        .or_insert_with(|| value.clone());
                }
                let echo = serde_json::json!({
                    "method": request.method,
                    "path": request.path,
                    "headers": headers,
                    "body": String::from_utf8_lossy(&request.body),
                });
                seen.lock().expect("no panic in a server").push(request);
                echo.to_string().into_bytes()
            }
        };
        let mut message = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(&body);
        stream.get_mut().write_all(&message)?;
    }
}

fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Seen> {
    let line = read_line(stream)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Seen {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers: read_headers(stream)?,
        body: Vec::new(),
    };
    if request.header("transfer-encoding") == Some("chunked") {
        request.body = read_chunks(stream)?;
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        request.body = vec![0; length];
        io::Read::read_exact(stream, &mut request.body)?;
    }
    Ok(request)
}
