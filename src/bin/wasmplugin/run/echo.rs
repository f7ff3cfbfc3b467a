//! An upstream that answers with the request that it got, so that one sees what plugins made of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// The most of a body that is read. Envoy's own buffers are smaller.
const MOST: u64 = 16 << 20;

/// Listens on a port of its own, until the process ends. The port.
pub(super) fn start() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An error is the end of the connection.
            thread::spawn(move || drop(serve(&stream)));
        }
    });
    Ok(port)
}

/// Answers requests of HTTP/1.1, as Envoy sends them.
fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut echo = line(&mut reader)?;
        if echo.is_empty() {
            return Ok(());
        }
        let is_head = echo.starts_with("HEAD ");
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let header = line(&mut reader)?;
            echo += &header;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "transfer-encoding" => is_chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            while let size @ 1.. = chunk_size(&line(&mut reader)?) {
                take(&mut reader, size, &mut body)?;
                line(&mut reader)?;
            }
            line(&mut reader)?;
        } else {
            take(&mut reader, length, &mut body)?;
        }
        let mut answer = echo.into_bytes();
        answer.append(&mut body);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        writer.write_all(head.as_bytes())?;
        if !is_head {
            writer.write_all(&answer)?;
        }
    }
}

/// The next line, with its end; empty at the end of the connection.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(MOST).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn chunk_size(line: &str) -> u64 {
    let digits = line.trim().split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

fn take(reader: &mut impl Read, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + size > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let got = reader.take(size).read_to_end(body)?;
    if got as u64 == size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_either_form_come_back() {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, start().unwrap())).unwrap();
        let mut reader = BufReader::new(&stream);
        for (request, end) in [
            ("GET /a HTTP/1.1\r\nx: 1\r\n\r\n", "x: 1\r\n\r\n"),
            (
                "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
                "\r\n\r\nhi",
            ),
            (
                "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
                "\r\n\r\nhi!",
            ),
        ] {
            (&stream).write_all(request.as_bytes()).unwrap();
            let mut length = 0;
            loop {
                let header = line(&mut reader).unwrap();
                if let Some(value) = header.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if header == "\r\n" {
                    break;
                }
            }
            let mut body = Vec::new();
            take(&mut reader, length, &mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            assert!(body.ends_with(end), "{body:?}");
        }
    }
}
