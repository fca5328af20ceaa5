//! The cheapest thing that can pass for Trello: it reads a request, answers with a card, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opsctl::platforms::Endpoints;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listening stand-in; it ends with the runtime.
pub struct Trello {
    pub address: SocketAddr,
    arrived: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
}

impl Trello {
    /// Answers each request after this long.
    pub async fn start(latency: Duration) -> Trello {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (arrived, served) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let trello = Trello { address, arrived: Arc::clone(&arrived), served: Arc::clone(&served) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, latency, Arc::clone(&arrived), Arc::clone(&served)));
            }
        });
        trello
    }

    /// Its address among the platforms'.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { trello: format!("http://{}/1", self.address), ..Endpoints::default() }
    }

    /// What a service needs to use it, without limits.
    pub fn env(&self) -> [(String, String); 3] {
        [
            ("TRELLO_RATE_LIMIT".into(), "1000000".into()),
            ("TRELLO_API_KEY".into(), "0123456789abcdef0123456789abcdef".into()),
            ("TRELLO_TOKEN".into(), "0123456789abcdef".repeat(4)),
        ]
    }

    /// Requests that have come.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Requests that were answered.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, latency: Duration, arrived: Arc<AtomicUsize>, served: Arc<AtomicUsize>) {
    let mut buffer = Vec::with_capacity(4096);
    while read_request(&mut stream, &mut buffer).await.is_some() {
        let id = format!("{:024x}", arrived.fetch_add(1, Ordering::SeqCst));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let card = format!(r#"{{"id":"{id}","name":"card","shortUrl":"https://trello.com/c/{id}"}}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        if stream.write_all(format!("{head}: {}\r\n\r\n{card}", card.len()).as_bytes()).await.is_err() {
            return;
        }
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// Takes one whole request off the connection; `None` at its end.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
            let end = at + 4 + length.and_then(|l| l.trim().parse().ok()).unwrap_or(0usize);
            while buffer.len() < end {
                if stream.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            }
            buffer.drain(..end);
            return Some(());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
