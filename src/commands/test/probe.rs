//! One way to a server, step by step, each step timed: DNS, TCP, TLS, HTTP on the same connection.
//!
//! It blocks, so it runs in a thread of its own and sends each step when it is done; whoever waits may stop waiting.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Serialize;

use crate::http::{USER_AGENT, Url, clip};

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    /// `DNS`, `TCP`, `TLS`, `HTTP`.
    pub(super) step: &'static str,
    /// `OK`, `FAIL`, `TIMEOUT`, `SKIPPED`.
    pub(super) state: &'static str,
    /// How long it took, in milliseconds; absent when it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) took_ms: Option<f64>,
    /// What it found, or why not.
    pub(super) detail: String,
}

/// The steps, in their order.
pub(super) const STEPS: [&str; 4] = ["DNS", "TCP", "TLS", "HTTP"];

/// Goes the way and tells each step; ends with the first that fails.
pub(super) fn go(url: &Url, deadline: Instant, tell: impl Fn(Step)) {
    let mut steps = STEPS.into_iter();
    let mut timed = |work: &mut dyn FnMut() -> Result<String, String>| {
        let Some(step) = steps.next() else { return false };
        let started = Instant::now();
        let done = work();
        let took_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        let (state, detail) = match done {
            Ok(detail) => ("OK", detail),
            Err(why) => ("FAIL", why),
        };
        tell(Step { step, state, took_ms, detail });
        state == "OK"
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    if !timed(&mut || {
        addresses = look_up(url)?;
        let first: Vec<String> = addresses.iter().take(3).map(|a| a.ip().to_string()).collect();
        Ok(first.join(", "))
    }) {
        return;
    }
    let mut tcp: Option<TcpStream> = None;
    if !timed(&mut || {
        let stream = connect(&addresses, deadline)?;
        let detail = format!("connected to {}", stream.peer_addr().map_err(|e| e.to_string())?);
        tcp = Some(stream);
        Ok(detail)
    }) {
        return;
    }
    let Some(mut tcp) = tcp else { return };
    if url.scheme() != "https" {
        tell(Step {
            step: steps.next().unwrap_or("TLS"),
            state: "SKIPPED",
            took_ms: None,
            detail: "plain http, which is for loopback only".into(),
        });
        let mut http = || {
            let started = Instant::now();
            answer_of(request(&mut tcp, url, deadline), started)
        };
        tell(http());
        return;
    }
    let mut tls: Option<rustls::ClientConnection> = None;
    if !timed(&mut || {
        let connection = shake_hands(&mut tcp, url, deadline)?;
        let version = connection.protocol_version().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        tls = Some(connection);
        Ok(format!("{version}, the certificate is trusted"))
    }) {
        return;
    }
    let Some(mut tls) = tls else { return };
    let started = Instant::now();
    tell(answer_of(request(&mut rustls::Stream::new(&mut tls, &mut tcp), url, deadline), started));
}

fn look_up(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|e| format!("{host}: {e}"))?.collect();
    if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(found) }
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("no time was left".into()) } else { Ok(left) }
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, String> {
    let mut why = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

fn limit(tcp: &TcpStream, deadline: Instant) -> Result<(), String> {
    let left = Some(left(deadline)?);
    tcp.set_read_timeout(left).and_then(|()| tcp.set_write_timeout(left)).map_err(|e| e.to_string())
}

fn shake_hands(tcp: &mut TcpStream, url: &Url, deadline: Instant) -> Result<rustls::ClientConnection, String> {
    limit(tcp, deadline)?;
    let name = ServerName::try_from(url.host_str().unwrap_or_default().to_owned()).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(|e| e.to_string())?
        .with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(tcp).map_err(|e| e.to_string())?;
    }
    Ok(connection)
}

/// Asks without a credential; any answer of HTTP shows that the way is open. The first line of it.
fn request(stream: &mut (impl Read + Write), url: &Url, deadline: Instant) -> Result<String, String> {
    left(deadline)?;
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let path = url.path();
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let sent = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    sent.map_err(|e: io::Error| e.to_string())?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(1024));
    reader.read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(line.trim_end().to_owned())
}

/// What the first line of an answer says about the way.
fn answer_of(line: Result<String, String>, started: Instant) -> Step {
    let took_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
    let (state, detail) = match line {
        Err(why) => ("FAIL", why),
        Ok(line) => match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
            Some(status @ 500..) => ("FAIL", format!("HTTP {status}: the platform has trouble")),
            Some(status @ (401 | 403)) => ("OK", format!("HTTP {status}, as expected without a credential")),
            Some(status) => ("OK", format!("HTTP {status}")),
            None => ("FAIL", format!("the answer is not HTTP: {}", clip(&line, 60))),
        },
    };
    Step { step: "HTTP", state, took_ms, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn steps(url: &str) -> Vec<(&'static str, &'static str)> {
        let seen = Mutex::new(Vec::new());
        go(&url.parse().unwrap(), Instant::now() + Duration::from_secs(5), |step| {
            seen.lock().unwrap().push((step.step, step.state));
        });
        seen.into_inner().unwrap()
    }

    fn server(answer: &'static [u8]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let _ = socket.read(&mut buffer);
            let _ = socket.write_all(answer);
        });
        url
    }

    #[test]
    fn the_first_step_that_fails_ends_the_way() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(steps(&format!("http://{refused}")), [("DNS", "OK"), ("TCP", "FAIL")]);
        assert_eq!(steps("http://no-such-host.invalid/"), [("DNS", "FAIL")]);
        let plain = server(b"HTTP/1.1 401 Unauthorized\r\n\r\n").replace("http:", "https:");
        assert_eq!(steps(&plain), [("DNS", "OK"), ("TCP", "OK"), ("TLS", "FAIL")]);
    }

    #[test]
    fn plain_http_has_no_tls_and_every_answer_but_trouble_is_good() {
        let way = [("DNS", "OK"), ("TCP", "OK"), ("TLS", "SKIPPED")];
        for (answer, state) in [
            (&b"HTTP/1.1 401 Unauthorized\r\n\r\n"[..], "OK"),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "FAIL"),
            (b"SSH-2.0-OpenSSH\r\n", "FAIL"),
        ] {
            let seen = steps(&server(answer));
            assert_eq!((&seen[..3], seen[3]), (&way[..], ("HTTP", state)));
        }
    }
}
