//! Messages as they pass over the wire, for both ends.

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::case::{Message, Step};

/// A message but for its first line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// `complete`, or how it ended.
    pub(crate) end: String,
}

impl Parts {
    /// As lines of an observation. Headers in the order of their names: that order means nothing.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut headers = self.headers.clone();
        headers.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in &headers {
            lines.push(format!("  {name}: {}", text(value)));
        }
        if !self.body.is_empty() {
            lines.push(format!("  body {}", body(&self.body)));
        }
        let mut trailers = self.trailers.clone();
        trailers.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in &trailers {
            lines.push(format!("  trailer {name}: {}", text(value)));
        }
        lines.push(format!("  {}", self.end));
        lines
    }
}

/// Bytes as readable text.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// Longer bodies are told in part.
const LONG: usize = 300;

fn body(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(LONG)];
    let mut told = format!("\"{}\"", text(start));
    if bytes.len() > LONG {
        let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let _ = write!(told, "...({} bytes, {sum:016x})", bytes.len());
    }
    told
}

/// Writes a message of HTTP/1.1 behind its first lines, in one piece up to each wait.
pub(crate) async fn write_http1(
    output: &mut (impl AsyncWriteExt + Unpin),
    head: Vec<u8>,
    message: &Message,
) -> io::Result<()> {
    let mut pending = head;
    let trailers = message.trailers();
    let has_body = message.steps.iter().any(|s| matches!(s, Step::Body(_)));
    let mut chunked = message.chunked || !trailers.is_empty();
    if message.has("content-length") {
        chunked = false;
    } else if chunked {
        pending.extend(b"transfer-encoding: chunked\r\n");
    } else if has_body {
        pending.extend(format!("content-length: {}\r\n", message.body_len()).bytes());
    }
    for (name, value) in &message.headers {
        pending.extend(name.bytes());
        pending.extend(b": ");
        pending.extend(value);
        pending.extend(b"\r\n");
    }
    pending.extend(b"\r\n");
    for step in &message.steps {
        match step {
            Step::Body(bytes) if chunked && bytes.is_empty() => {}
            Step::Body(bytes) => {
                if chunked {
                    pending.extend(format!("{:x}\r\n", bytes.len()).bytes());
                }
                pending.extend(bytes);
                if chunked {
                    pending.extend(b"\r\n");
                }
            }
            Step::Wait(time) => {
                output.write_all(&pending).await?;
                pending.clear();
                sleep(*time).await;
            }
            Step::Trailer(..) => {}
            Step::Break => {
                output.write_all(&pending).await?;
                return Ok(());
            }
        }
    }
    if chunked {
        pending.extend(b"0\r\n");
        for (name, value) in &trailers {
            pending.extend(name.bytes());
            pending.extend(b": ");
            pending.extend(value);
            pending.extend(b"\r\n");
        }
        pending.extend(b"\r\n");
    }
    output.write_all(&pending).await
}

/// Writes what follows the headers of a message of HTTP/2. Whether it is whole.
pub(crate) async fn write_http2(
    output: &mut h2::SendStream<Bytes>,
    message: &Message,
) -> Result<bool, h2::Error> {
    let trailers = message.trailers();
    let last = message
        .steps
        .iter()
        .rposition(|step| matches!(step, Step::Body(_)));
    let mut ended = false;
    for (index, step) in message.steps.iter().enumerate() {
        match step {
            Step::Body(bytes) => {
                let breaks = message.breaks();
                ended = Some(index) == last && trailers.is_empty() && !breaks;
                output.send_data(Bytes::copy_from_slice(bytes), ended)?;
            }
            Step::Wait(time) => sleep(*time).await,
            Step::Trailer(..) => {}
            Step::Break => {
                output.send_reset(h2::Reason::CANCEL);
                return Ok(false);
            }
        }
    }
    if !trailers.is_empty() {
        let mut map = http::HeaderMap::new();
        for (name, value) in trailers {
            let name: http::HeaderName = name.parse().expect("a name");
            map.append(
                name,
                http::HeaderValue::from_bytes(&value).expect("a value"),
            );
        }
        output.send_trailers(map)?;
    } else if !ended && !message.steps.is_empty() {
        output.send_data(Bytes::new(), true)?;
    }
    Ok(true)
}

/// Reads what follows the headers of a message of HTTP/2.
pub(crate) async fn read_http2(
    mut stream: h2::RecvStream,
    parts: &mut Parts,
) -> Result<(), h2::Error> {
    while let Some(data) = stream.data().await {
        let data = data?;
        parts.body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    if let Some(trailers) = stream.trailers().await? {
        parts.trailers = header_list(&trailers);
    }
    Ok(())
}

pub(crate) fn header_list(map: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_owned()))
        .collect()
}

/// Reads HTTP/1.1.
pub(crate) struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: AsyncReadExt + Unpin> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.input.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for the other side to close; what it sends is dropped.
    pub(crate) async fn closed(&mut self) {
        loop {
            self.buffer.clear();
            if self.fill().await.is_err() {
                return;
            }
        }
    }

    pub(crate) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn headers(&mut self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_owned(), value.trim().as_bytes().to_owned()));
        }
    }

    async fn bytes(&mut self, mut count: usize, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let here = count.min(self.buffer.len());
            into.extend(self.buffer.drain(..here));
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Body and trailers, as the headers say. Where they say nothing, a response goes on to the
    /// end of the connection (`to_end`).
    pub(crate) async fn body(&mut self, parts: &mut Parts, to_end: bool) -> io::Result<()> {
        let header = |name: &str| {
            let found = parts.headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        if !to_end && header("transfer-encoding").is_none() && header("content-length").is_none() {
            return Ok(());
        }
        if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.trim(), 16);
                let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
                if size == 0 {
                    parts.trailers = self.headers().await?;
                    return Ok(());
                }
                self.bytes(size, &mut parts.body).await?;
                self.line().await?;
            }
        }
        if let Some(length) = header("content-length") {
            let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            return self.bytes(length, &mut parts.body).await;
        }
        loop {
            parts.body.append(&mut self.buffer);
            if self.fill().await.is_err() {
                return Ok(());
            }
        }
    }
}
