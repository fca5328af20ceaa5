//! A scripted HTTP server: it plays what a real orchestrator will not, and keeps what it was sent.
//!
//! Plain threads and sockets, so that it can also do what no HTTP library lets a server do: stop in the middle of a
//! body, send half a JSON document, or never answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::tls;

/// What the stub does with every request.
#[derive(Clone)]
pub enum Script {
    /// A whole answer.
    Answer { status: &'static str, headers: Vec<(&'static str, String)>, body: String },
    /// A head that announces a body of `length` bytes, `body`, then the connection is closed.
    CutShort { length: usize, body: &'static str },
    /// A head that announces a longer body, a few bytes of it, then silence.
    Stalls,
    /// The connection is accepted and closed before any answer.
    HangsUp,
    /// The connection is accepted, the request read, and nothing comes back.
    Silent,
}

impl Script {
    /// A JSON answer with this status line.
    pub fn json(status: &'static str, body: impl Into<String>) -> Script {
        Script::Answer { status, headers: vec![("content-type", "application/json".into())], body: body.into() }
    }

    /// The documented error envelope.
    pub fn refusal(status: &'static str, code: &str, message: &str) -> Script {
        let body = serde_json::json!({ "error": { "code": code, "message": message, "retriable": false } });
        Script::json(status, body.to_string())
    }

    /// The same with one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Script {
        if let Script::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A listening stub; it ends with the test.
pub struct Stub {
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Stub {
    /// Plain HTTP on a free loopback port.
    pub fn start(script: Script) -> Stub {
        Self::listen(script, None)
    }

    /// HTTPS with a certificate that nobody signed.
    pub fn start_tls(script: Script) -> Stub {
        Self::listen(script, Some(tls::self_signed("localhost")))
    }

    fn listen(script: Script, tls: Option<Arc<rustls::ServerConfig>>) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let connections = Arc::<AtomicUsize>::default();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (kept, over, count) = (Arc::clone(&seen), Arc::clone(&ended), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let (script, tls, kept, over) = (script.clone(), tls.clone(), Arc::clone(&kept), Arc::clone(&over));
                thread::spawn(move || match tls {
                    None => serve(stream, &script, &kept, &over),
                    Some(config) => {
                        let Ok(session) = rustls::ServerConnection::new(config) else { return };
                        serve(rustls::StreamOwned::new(session, stream), &script, &kept, &over);
                    }
                });
            }
        });
        Stub { address, scheme, seen, connections, ended }
    }

    /// Its base URL, by the name the certificate carries.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Head and body of every request that arrived, oldest first.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("the recording").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees the flag.
        drop(TcpStream::connect(self.address));
    }
}

fn serve<S: Read + Write>(stream: S, script: &Script, seen: &Mutex<Vec<String>>, ended: &AtomicBool) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream) {
        seen.lock().expect("the recording").push(request);
        let out = stream.get_mut();
        match script {
            Script::Answer { status, headers, body } => {
                let mut answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    answer.push_str(&format!("{name}: {value}\r\n"));
                }
                if out.write_all(format!("{answer}\r\n{body}").as_bytes()).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
            Script::CutShort { length, body } => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                let _ = out.write_all(format!("{head}: {length}\r\n\r\n{body}").as_bytes());
                let _ = out.flush();
                return;
            }
            Script::Stalls => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n{";
                let _ = out.write_all(head.as_bytes());
                let _ = out.flush();
                return wait_for(ended);
            }
            Script::HangsUp => return,
            Script::Silent => return wait_for(ended),
        }
    }
}

fn wait_for(ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Head and body of one request; `None` at the end of the connection.
fn read_request(stream: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            // A head without its end is kept all the same: a token in it has left the program.
            return (!text.is_empty()).then_some(text);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        text.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    text.push_str(&String::from_utf8_lossy(&body));
    Some(text)
}

/// An address that swallows connection attempts: its backlog is full and nobody accepts. `None` where the system
/// answers such attempts anyway.
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub fn dig() -> Option<BlackHole> {
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let address = listener.local_addr().ok()?;
        // The kernel completes connections until the backlog (128 in std, 4096 at most by the system) is full.
        let mut waiting = Vec::new();
        while waiting.len() < 5000 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                    return Some(BlackHole { address, _listener: listener, _waiting: waiting });
                }
                Err(_) => return None,
            }
        }
        None
    }
}
