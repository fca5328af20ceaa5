//! One listener per API, which can be shut like a dead host's port and cut its connections without an answer.
//!
//! A shut door keeps its port by a bound socket that does not listen: connecting is refused, nobody else can take
//! the port, and opening needs no luck.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// A lock whose holder panicked still holds usable state: each change is made whole under it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Port {
    Open(TcpListener),
    Shut(TcpSocket),
    /// Between the two, and after a failed bind.
    Nothing,
}

struct Inner {
    port: Port,
    waiting: Option<Waker>,
    lines: Vec<Weak<Cut>>,
}

/// A listening address that can be shut and opened.
#[derive(Clone)]
pub(super) struct Door {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Door {
    /// Listens on loopback. Port 0 takes any free one.
    pub(super) fn open_at(port: u16) -> io::Result<Self> {
        let listener = bind((Ipv4Addr::LOCALHOST, port).into())?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let inner = Inner { port: Port::Open(listener), waiting: None, lines: Vec::new() };
        Ok(Door { address, inner: Arc::new(Mutex::new(inner)) })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections and closes the ones there are. Repeating it changes nothing.
    pub(super) fn shut(&self) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        let lines = std::mem::take(&mut inner.lines);
        if matches!(inner.port, Port::Open(_)) {
            inner.port = Port::Nothing;
            inner.port = Port::Shut(bind(self.address)?);
        }
        drop(inner);
        lines.iter().filter_map(Weak::upgrade).for_each(|line| line.cut());
        Ok(())
    }

    /// Accepts connections again, on the same port.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        let socket = match std::mem::replace(&mut inner.port, Port::Nothing) {
            Port::Open(listener) => {
                inner.port = Port::Open(listener);
                return Ok(());
            }
            Port::Shut(socket) => socket,
            Port::Nothing => bind(self.address)?,
        };
        inner.port = Port::Open(socket.listen(BACKLOG)?);
        if let Some(waker) = inner.waiting.take() {
            waker.wake();
        }
        Ok(())
    }

    /// Gives the port back for good and closes what is open.
    pub(super) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.port = Port::Nothing;
        let lines = std::mem::take(&mut inner.lines);
        drop(inner);
        lines.iter().filter_map(Weak::upgrade).for_each(|line| line.cut());
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<(Line, SocketAddr)> {
        let mut inner = lock(&self.inner);
        inner.waiting = Some(cx.waker().clone());
        loop {
            let Port::Open(listener) = &inner.port else { return Poll::Pending };
            match listener.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((stream, peer))) => {
                    // Answers are small and awaited: holding them back for more data would only cost time.
                    let _ = stream.set_nodelay(true);
                    let cut = Arc::new(Cut::default());
                    inner.lines.retain(|line| line.strong_count() > 0);
                    inner.lines.push(Arc::downgrade(&cut));
                    return Poll::Ready((Line { stream, cut }, peer));
                }
                // A connection that died before it was accepted; the next one may be fine.
                Poll::Ready(Err(_)) => {}
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections that were closed a moment ago must not keep the port from being taken back.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Ends a connection from outside, without an answer.
#[derive(Default)]
pub(super) struct Cut {
    done: AtomicBool,
    reader: AtomicWaker,
}

impl Cut {
    pub(super) fn cut(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.done.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// A connection that its request can cut.
pub(super) struct Line {
    stream: TcpStream,
    cut: Arc<Cut>,
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cut.reader.register(cx.waker());
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The connection a request came in on.
#[derive(Clone)]
pub(super) struct Connection(pub(super) Arc<Cut>);

impl Connected<IncomingStream<'_, Door>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Connection(Arc::clone(&stream.io().cut))
    }
}
