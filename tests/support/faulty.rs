//! An HTTP server that does what a test says, wrong things included; and such a server in front of
//! a real one.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{self, read_headers, read_line};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Ask {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// An ordinary answer.
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// The first bytes, and then the second ones so many at a time, with pauses.
    Drip(Vec<u8>, Vec<u8>, usize, Duration),
    /// The first bytes, and then the second ones again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing, until the other side gives up.
    Silence,
}

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        Self::status(200, &[], body)
    }

    pub(crate) fn status(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::Reply {
            status,
            headers: headers.iter().map(own).collect(),
            body: body.to_owned(),
        }
    }

    /// A redirect.
    pub(crate) fn to(url: &str) -> Self {
        Self::status(302, &[("location", url)], b"")
    }

    /// 200, with a length that need not be true.
    pub(crate) fn of_length(length: u64, body: &[u8]) -> Self {
        let mut bytes = head(length);
        bytes.extend_from_slice(body);
        Self::Raw(bytes)
    }

    /// 200, slowly.
    pub(crate) fn slowly(body: &[u8], at_a_time: usize, pause: Duration) -> Self {
        Self::Drip(head(body.len() as u64), body.to_vec(), at_a_time, pause)
    }
}

fn head(length: u64) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

type Behaviour = Arc<dyn Fn(&Ask) -> Answer + Send + Sync>;

/// A server on a thread; a thread more for each connection. Stops when dropped.
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Ask>>>,
    behaviour: Arc<Mutex<Behaviour>>,
    tls: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(behaviour: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(None, behaviour)
    }

    /// By TLS, with `ca.pem` and `key.pem` of `directory`.
    pub(crate) fn with_tls(
        directory: &Path,
        behaviour: impl Fn(&Ask) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with(Some(tls_config(directory)), behaviour)
    }

    fn with(
        tls: Option<Arc<ServerConfig>>,
        behaviour: impl Fn(&Ask) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let server = Self {
            port: listener.local_addr().expect("an address").port(),
            asked: Arc::default(),
            behaviour: Arc::new(Mutex::new(Arc::new(behaviour))),
            tls: Arc::new(Mutex::new(tls)),
            stop: Arc::default(),
        };
        let (asked, behaviour) = (Arc::clone(&server.asked), Arc::clone(&server.behaviour));
        let (tls, stop) = (Arc::clone(&server.tls), Arc::clone(&server.stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let (asked, behaviour) = (Arc::clone(&asked), Arc::clone(&behaviour));
                let tls = tls.lock().expect("no panic in a server").clone();
                // An error is the peer's end of the connection.
                thread::spawn(move || {
                    drop(stream.set_nodelay(true));
                    drop(match tls.map(ServerConnection::new) {
                        None => serve(stream, &asked, &behaviour),
                        Some(tls) => {
                            let tls = tls.expect("a configuration");
                            serve(StreamOwned::new(tls, stream), &asked, &behaviour)
                        }
                    });
                });
            }
        });
        server
    }

    /// A server that passes everything on to the plain HTTP server at `port`.
    pub(crate) fn front(port: u16) -> Self {
        Self::start(move |ask| forward(port, ask))
    }

    /// Does something else from now on.
    pub(crate) fn now(&self, behaviour: impl Fn(&Ask) -> Answer + Send + Sync + 'static) {
        *self.behaviour.lock().expect("no panic in a server") = Arc::new(behaviour);
    }

    /// Has the certificate of `directory` from now on, and talks TLS.
    pub(crate) fn certify(&self, directory: &Path) {
        *self.tls.lock().expect("no panic in a server") = Some(tls_config(directory));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Ask> {
        self.asked.lock().expect("no panic in a server").clone()
    }

    /// Forgets what was asked.
    pub(crate) fn forget(&self) {
        self.asked.lock().expect("no panic in a server").clear();
    }

    /// How many GETs had `part` in their path so far.
    pub(crate) fn gets(&self, part: &str) -> usize {
        let asked = self.asked();
        let gets = asked.iter().filter(|ask| ask.method == "GET");
        gets.filter(|ask| ask.path.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the accept loop.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// With `ca.pem` and `key.pem` of `directory`.
fn tls_config(directory: &Path) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join("ca.pem"));
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem"));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        );
    Arc::new(config.expect("a certificate and its key"))
}

/// The answer of the server at `port` to `ask`.
pub(crate) fn forward(port: u16, ask: &Ask) -> Answer {
    let headers: Vec<_> = ["accept", "authorization"]
        .into_iter()
        .filter_map(|name| Some((name, ask.header(name)?)))
        .collect();
    // The body of a HEAD's GET is what the length is of.
    match http::try_request(port, "GET", &ask.path, &headers, b"") {
        Ok(response) => Answer::Reply {
            status: response.status,
            headers: response
                .headers
                .into_iter()
                .filter(|(name, _)| {
                    let own = ["content-length", "transfer-encoding", "connection"];
                    !own.iter().any(|own| name.eq_ignore_ascii_case(own))
                })
                .collect(),
            body: response.body,
        },
        Err(_) => Answer::status(502, &[], b""),
    }
}

fn serve(
    stream: impl Read + Write,
    asked: &Mutex<Vec<Ask>>,
    behaviour: &Mutex<Behaviour>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Ok(line) = read_line(&mut stream) else {
            // As every server answers what is no HTTP, TLS for example.
            let message = b"HTTP/1.0 400 Bad Request\r\n\r\n";
            return stream.get_mut().write_all(message);
        };
        let mut words = line.split(' ').map(str::to_owned);
        let ask = Ask {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: read_headers(&mut stream)?,
        };
        asked
            .lock()
            .expect("no panic in a server")
            .push(ask.clone());
        let behave = Arc::clone(&behaviour.lock().expect("no panic in a server"));
        let out = stream.get_mut();
        match behave(&ask) {
            Answer::Reply {
                status,
                headers,
                body,
            } => {
                let mut message = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in headers {
                    message += &format!("{name}: {value}\r\n");
                }
                message += &format!("content-length: {}\r\n\r\n", body.len());
                out.write_all(message.as_bytes())?;
                if ask.method != "HEAD" {
                    out.write_all(&body)?;
                }
            }
            Answer::Raw(bytes) => return out.write_all(&bytes),
            Answer::Drip(first, bytes, at_a_time, pause) => {
                out.write_all(&first)?;
                for part in bytes.chunks(at_a_time) {
                    out.write_all(part)?;
                    thread::sleep(pause);
                }
                return Ok(());
            }
            Answer::Endless(first, again) => {
                out.write_all(&first)?;
                loop {
                    out.write_all(&again)?;
                }
            }
            Answer::Silence => return io::copy(&mut stream, &mut io::sink()).map(drop),
        }
    }
}
