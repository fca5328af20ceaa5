//! Ports of the loopback interface that nobody listens on.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// What was given to somebody who may not listen yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// One that is free now, and given once. It is below those that the system hands out itself (from 32768 on Linux), so
/// that no connection and no listener on port 0 takes it before it is used, or while a process that was killed is away.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = fastrand::u16(15_000..32_000);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
}
