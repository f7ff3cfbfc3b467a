//! Clients that do exactly what a case says, and tell what they see.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::case::Message;
use super::record::{self, Parts, Reader};

/// What a client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The client's port.
    pub(crate) port: u16,
    /// Nothing listens there.
    pub(crate) refused: bool,
    pub(crate) status: Option<u16>,
    pub(crate) parts: Parts,
}

/// Sends `request` to `port` and waits for the end of the answer, `patience` at most.
pub(crate) async fn send(port: u16, request: &Message, patience: Duration) -> Seen {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return Seen {
            refused: true,
            ..Seen::default()
        };
    };
    stream.set_nodelay(true).expect("a socket");
    let mut seen = Seen {
        port: stream.local_addr().expect("a socket").port(),
        ..Seen::default()
    };
    let work = async {
        if request.http2 {
            http2(stream, request, &mut seen).await;
        } else {
            http1(stream, request, &mut seen).await;
        }
    };
    if timeout(patience, work).await.is_err() {
        "silence".clone_into(&mut seen.parts.end);
    }
    seen
}

async fn http1(stream: TcpStream, request: &Message, seen: &mut Seen) {
    let (input, mut output) = stream.into_split();
    let broken = request.breaks();
    let writing = async {
        let result = write_http1(&mut output, request).await;
        if broken {
            // The connection goes when both halves are dropped.
            return;
        }
        // A server may answer before it has read everything.
        drop(result);
        std::future::pending::<()>().await;
    };
    let method = request.word().to_owned();
    let reading = async {
        let mut reader = Reader::new(input);
        let result = read_http1(&mut reader, &method, seen).await;
        seen.parts.end = match result {
            Ok(()) => "complete".to_owned(),
            Err(_) => "cut".to_owned(),
        };
    };
    tokio::select! {
        () = writing => {}
        () = reading => return,
    }
    "left".clone_into(&mut seen.parts.end);
}

/// The request as bytes, in one piece up to each wait.
async fn write_http1(
    output: &mut (impl AsyncWriteExt + Unpin),
    request: &Message,
) -> io::Result<()> {
    let path = request.head.get(1).map_or("/", String::as_str);
    let mut head = format!("{} {path} HTTP/1.1\r\n", request.word()).into_bytes();
    if !request.has("host") {
        head.extend(b"host: test.example\r\n");
    }
    record::write_http1(output, head, request).await
}

async fn read_http1(
    reader: &mut Reader<impl AsyncReadExt + Unpin>,
    method: &str,
    seen: &mut Seen,
) -> io::Result<()> {
    let status = loop {
        let line = reader.line().await?;
        let status: u16 = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        seen.parts.headers = reader.headers().await?;
        if status >= 200 || status == 101 {
            break status;
        }
        if status < 100 {
            break status;
        }
    };
    seen.status = Some(status);
    let bodiless = method == "HEAD" || matches!(status, 204 | 304);
    reader.body(&mut seen.parts, !bodiless).await
}

async fn http2(stream: TcpStream, request: &Message, seen: &mut Seen) {
    let Ok((sender, connection)) = h2::client::handshake(stream).await else {
        "cut".clone_into(&mut seen.parts.end);
        return;
    };
    let connection = tokio::spawn(async move { drop(connection.await) });
    let result = exchange_http2(sender, request, seen).await;
    seen.parts.end = match result {
        Ok(true) => "complete".to_owned(),
        Ok(false) => "left".to_owned(),
        Err(error) => match error.reason() {
            Some(reason) => format!("reset {reason:?}"),
            None => "cut".to_owned(),
        },
    };
    if seen.parts.end == "left" {
        // Lets the reset out.
        sleep(Duration::from_millis(20)).await;
    }
    connection.abort();
}

/// Whether the answer was awaited.
async fn exchange_http2(
    sender: h2::client::SendRequest<Bytes>,
    request: &Message,
    seen: &mut Seen,
) -> Result<bool, h2::Error> {
    let mut sender = sender.ready().await?;
    let path = request.head.get(1).map_or("/", String::as_str);
    let host = request
        .headers
        .iter()
        .find(|(name, _)| name == "host")
        .map_or("test.example".into(), |(_, value)| {
            String::from_utf8_lossy(value).into_owned()
        });
    let mut head = http::Request::builder()
        .method(request.word())
        .uri(format!("http://{host}{path}"))
        .version(http::Version::HTTP_2);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
        head = head.header(name.as_str(), value.as_slice());
    }
    let head = head.body(()).expect("a request");
    let ends = request.steps.is_empty();
    let (response, mut output) = sender.send_request(head, ends)?;
    let writing = async {
        let result = record::write_http2(&mut output, request).await;
        if matches!(result, Ok(false)) {
            return false;
        }
        std::future::pending::<bool>().await
    };
    let reading = async {
        let response = response.await?;
        seen.status = Some(response.status().as_u16());
        seen.parts.headers = record::header_list(response.headers());
        record::read_http2(response.into_body(), &mut seen.parts).await
    };
    tokio::select! {
        waits = writing => Ok(waits),
        result = reading => result.map(|()| true),
    }
}
