//! Ports of the loopback interface that nobody listens on.

use std::net::TcpListener;

/// One that is free now. It is below those that the system hands out itself (from 32768 on Linux), so that no
/// connection and no listener on port 0 takes it before it is used.
pub fn free() -> u16 {
    loop {
        let port = fastrand::u16(15_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
