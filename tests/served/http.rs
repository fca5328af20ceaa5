//! HTTP/1.1 with kept connections and nothing else: the load is measured here, so the client has to cost little.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One kept connection.
pub struct Connection {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects; every request carries the token when there is one.
    pub async fn open(address: SocketAddr, token: Option<&str>) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut head = format!("host: {address}\r\n");
        if let Some(token) = token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        Ok(Connection { stream, head, buffer: Vec::with_capacity(4096) })
    }

    /// Sends one request and reads its whole answer: status and body.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<(u16, Vec<u8>)> {
        let mut request = format!("{method} {path} HTTP/1.1\r\n{}", self.head);
        if let Some(body) = body {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status"))?;
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
        let length: usize = length.and_then(|l| l.trim().parse().ok()).ok_or_else(|| bad("no content-length"))?;
        while self.buffer.len() < end + length {
            self.more().await?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        Ok((status, body))
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// One GET on a connection of its own.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Result<(u16, Vec<u8>)> {
    Connection::open(address, token).await?.send("GET", path, None).await
}

/// One POST on a connection of its own.
pub async fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> Result<(u16, Vec<u8>)> {
    Connection::open(address, Some(token)).await?.send("POST", path, Some(body)).await
}
