//! The same over real connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

async fn start(
    world: &World,
) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = super::super::run(listener, world.state.clone(), async move { drop(stopped.await) });
    (address, stop, tokio::spawn(serving))
}

async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_answers_over_a_connection_and_ends_when_told() {
    let world = World::new();
    let (address, stop, serving) = start(&world).await;
    let head = format!("GET /queue HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"totalQueued\":45"), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let world = World::new();
    let (address, stop, serving) = start(&world).await;
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = exchange(address, &format!("GET /queue HTTP/1.1\r\nHost: {address}\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "y".repeat(64 * 1024);
    let answer = exchange(address, &format!("GET /queue HTTP/1.1\r\nHost: {address}\r\nX-Long: {long}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_at_its_bound() {
    let world = World::new();
    let (address, stop, serving) = start(&world).await;
    let token = &world.tokens[&Role::Admin];
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /admin/v1/pauses HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let (mut reader, mut writer) = stream.into_split();
    let endless = tokio::spawn(async move {
        for _ in 0..2048 {
            if writer.write_all(chunk.as_bytes()).await.is_err() {
                return false;
            }
        }
        true
    });
    let mut answer = Vec::new();
    // The connection may be reset before the answer is read; that it ends is what counts.
    let _ = reader.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 413"), "{text}");
    drop(reader);
    assert!(!endless.await.unwrap(), "all 64 MiB were taken");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(world.fake.seen.lock().unwrap().contexts.is_empty());
}
