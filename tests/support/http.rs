//! A small blocking HTTP/1.1 client.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// No answer of an Envoy on this machine takes longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One answer, body read and transfer coding undone.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header, in order.
    pub(crate) fn joined(&self, name: &str) -> String {
        let of = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let values: Vec<_> = of.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of an echoing [`super::upstream::Upstream`].
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// One GET on a connection of its own.
pub(crate) fn get(port: u16, path: &str) -> Response {
    request(port, "GET", path, &[], b"")
}

/// One request on a connection of its own.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    try_request(port, method, path, headers, body)
        .unwrap_or_else(|error| panic!("{method} {path} on port {port}: {error}"))
}

/// One request on a connection of its own; an error where none can be made or it breaks.
pub(crate) fn try_request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    Connection::open(port)?.request(method, path, headers, body)
}

/// A connection that is kept between requests.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Whether the other side has neither closed it nor said anything since the last answer.
    pub(crate) fn is_idle(&self) -> bool {
        let stream = self.stream.get_ref();
        let look = || {
            stream.set_nonblocking(true)?;
            let found = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            found
        };
        look().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits no longer than `limit` for each part of an answer.
    pub(crate) fn patience(self, limit: Duration) -> io::Result<Self> {
        self.stream.get_ref().set_read_timeout(Some(limit))?;
        Ok(self)
    }

    /// Sends a request and reads its answer. `host` is `localhost` unless `headers` has one.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        self.send(method, &message)
    }

    /// Posts `body` as a chunk, with a trailer behind it.
    pub(crate) fn post_with_trailer(&mut self, path: &str, body: &str) -> io::Result<Response> {
        let message = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nx-trailer: request\r\n\r\n",
            body.len()
        );
        self.send("POST", message.as_bytes())
    }

    fn send(&mut self, method: &str, message: &[u8]) -> io::Result<Response> {
        self.stream.get_mut().write_all(message)?;
        loop {
            let response = read_response(&mut self.stream, method)?;
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }
}

fn read_response(stream: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let line = read_line(stream)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| broken(&format!("status line {line:?}")))?;
    let mut response = Response {
        status,
        headers: read_headers(stream)?,
        body: Vec::new(),
    };
    let length = response.header("content-length");
    let chunked = response
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"));
    if method == "HEAD" || status < 200 || status == 204 || status == 304 {
        // No body.
    } else if chunked {
        response.body = read_chunks(stream)?;
    } else if let Some(length) = length {
        let length = length.parse().map_err(|_| broken("content-length"))?;
        response.body = vec![0; length];
        stream.read_exact(&mut response.body)?;
    } else {
        stream.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

/// Header lines up to the empty one.
pub(crate) fn read_headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| broken(&format!("header line {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A chunked body; trailers are dropped.
pub(crate) fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(size, 16).map_err(|_| broken(&format!("chunk size {line:?}")))?;
        if size == 0 {
            read_headers(stream)?;
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        read_line(stream)?;
    }
}

/// A line without its end; an error where the stream has ended.
pub(crate) fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
