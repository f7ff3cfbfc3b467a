//! Servers that answer exactly what a case says, and keep what they saw.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::case::Message;
use super::record::{self, Parts, Reader};

/// A request as a server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Method, path and version.
    pub(crate) line: String,
    pub(crate) parts: Parts,
}

/// A server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// What the connections of a server share.
#[derive(Clone)]
struct Script {
    answers: Arc<Vec<Message>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers request by request; the last answer goes on.
    pub(crate) async fn start(answers: &[Message]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let script = Script {
            answers: Arc::new(answers.to_vec()),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&script.seen);
        let http2 = answers.iter().any(|answer| answer.http2);
        let task = tokio::spawn(async move {
            // Connections go with the server.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                drop(stream.set_nodelay(true));
                let script = script.clone();
                connections.spawn(async move {
                    if http2 {
                        drop(script.http2(stream).await);
                    } else {
                        drop(script.http1(stream).await);
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic in a server").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Script {
    /// A new request: its number, and the answer.
    fn begin(&self, line: String, headers: Vec<(String, Vec<u8>)>) -> (usize, Message) {
        let mut seen = self.seen.lock().expect("no panic in a server");
        let number = seen.len();
        let parts = Parts {
            headers,
            end: "cut".to_owned(),
            ..Parts::default()
        };
        seen.push(Seen { line, parts });
        let answer = self.answers.get(number).or_else(|| self.answers.last());
        (number, answer.cloned().unwrap_or_default())
    }

    fn end(&self, number: usize, parts: Parts) {
        let mut seen = self.seen.lock().expect("no panic in a server");
        if let Some(seen) = seen.get_mut(number) {
            seen.parts = parts;
        }
    }

    async fn http1(&self, stream: TcpStream) -> io::Result<()> {
        let (input, mut output) = stream.into_split();
        let mut reader = Reader::new(input);
        loop {
            let line = reader.line().await?;
            let headers = reader.headers().await?;
            let (number, answer) = self.begin(line.clone(), headers.clone());
            let mut parts = Parts {
                headers,
                ..Parts::default()
            };
            let writing = write_http1(&mut output, &line, &answer);
            let reading = async {
                let result = reader.body(&mut parts, false).await;
                let end = if result.is_ok() { "complete" } else { "cut" };
                end.clone_into(&mut parts.end);
                self.end(number, std::mem::take(&mut parts));
                result
            };
            if answer.early {
                let (written, read) = tokio::join!(writing, reading);
                written?;
                read?;
            } else {
                reading.await?;
                // A peer that goes away need not be served.
                tokio::select! {
                    written = writing => written?,
                    () = reader.closed() => return Ok(()),
                }
            }
            if answer.breaks() {
                return reset(reader, output);
            }
        }
    }

    async fn http2(&self, stream: TcpStream) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(request) = connection.accept().await {
            let (request, respond) = request?;
            let script = self.clone();
            tokio::spawn(async move { drop(script.stream(request, respond).await) });
        }
        Ok(())
    }

    async fn stream(
        &self,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<bytes::Bytes>,
    ) -> Result<(), h2::Error> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("", |path| path.as_str());
        let line = format!("{} {path} HTTP/2", request.method());
        let mut headers = record::header_list(request.headers());
        if let Some(authority) = request.uri().authority() {
            headers.push(("host".to_owned(), authority.as_str().as_bytes().to_owned()));
        }
        let is_head = request.method() == http::Method::HEAD;
        let (number, answer) = self.begin(line, headers.clone());
        let mut parts = Parts {
            headers,
            ..Parts::default()
        };
        let reading = async {
            let result = record::read_http2(request.into_body(), &mut parts).await;
            let end = if result.is_ok() { "complete" } else { "cut" };
            end.clone_into(&mut parts.end);
            self.end(number, std::mem::take(&mut parts));
            result
        };
        let writing = async {
            if answer.word() == "break" {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
                return Ok(());
            }
            let mut answer = answer.clone();
            answer.wait_first().await;
            if is_head {
                answer.steps.clear();
            }
            let mut head = http::Response::builder().status(answer.word());
            for (name, value) in &answer.headers {
                head = head.header(name.as_str(), value.as_slice());
            }
            let head = head.body(()).expect("a response");
            let mut output = respond.send_response(head, answer.steps.is_empty())?;
            record::write_http2(&mut output, &answer).await.map(drop)
        };
        if answer.early {
            let (written, read) = tokio::join!(writing, reading);
            written.and(read)
        } else {
            reading.await?;
            writing.await
        }
    }
}

async fn write_http1(
    output: &mut tokio::net::tcp::OwnedWriteHalf,
    line: &str,
    answer: &Message,
) -> io::Result<()> {
    if answer.word() == "break" {
        return Ok(());
    }
    if answer.word() == "hang" {
        std::future::pending::<()>().await;
    }
    let reason = if answer.word() == "200" {
        "OK"
    } else {
        "Status"
    };
    let head = format!("HTTP/1.1 {} {reason}\r\n", answer.word());
    let mut answer = answer.clone();
    answer.wait_first().await;
    if line.starts_with("HEAD ") {
        answer.steps.clear();
        answer.chunked = false;
    } else if answer.steps.is_empty() && !answer.has("content-length") && answer.word() != "204" {
        answer
            .headers
            .push(("content-length".to_owned(), b"0".to_vec()));
    }
    record::write_http1(output, head.into_bytes(), &answer).await
}

/// Ends a connection with a reset.
fn reset(
    reader: Reader<tokio::net::tcp::OwnedReadHalf>,
    output: tokio::net::tcp::OwnedWriteHalf,
) -> io::Result<()> {
    match reader.into_inner().reunite(output) {
        Ok(stream) => stream.set_zero_linger(),
        Err(_) => Ok(()),
    }
}
