//! Heartbeats in the style of healthchecks.io: `URL/start` when a job begins, `URL/STATUS` with its log when it ends, and
//! one run id on both, so that runs that overlap are told apart.
//!
//! The address is a secret of its kind: whoever knows it can ping. It is kept out of every message.

use std::str::FromStr;
use std::time::Duration;

use crate::error::Fault;
use crate::http::{Http, Method, Options, Url};

/// Longest wait for an answer. The job matters more than its heartbeat.
const LIMIT: Duration = Duration::from_secs(5);

/// Longest log that is sent along, in bytes; the end of it says most.
const LOG: usize = 10_000;

/// Where a heartbeat goes.
#[derive(Clone, Debug)]
pub struct Ping {
    url: Url,
}

impl FromStr for Ping {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let refuse = |why: String| {
            Fault::usage("that is not an address to ping").because(why).hint("write it whole: https://hc-ping.com/ID")
        };
        let url: Url = text.parse().map_err(|error| refuse(format!("{error}")))?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_some() => Ok(Ping { url }),
            _ => Err(refuse("only http and https are spoken".into())),
        }
    }
}

impl Ping {
    /// The address as a secret, for the filter of what is printed.
    pub fn secret(&self) -> crate::secret::Secret {
        crate::secret::Secret::new(self.url.as_str())
    }

    /// Says that a run begins.
    pub async fn start(&self, run: &str) -> Result<(), String> {
        self.send("start", run, Vec::new()).await
    }

    /// Says how it ended, with the end of its log.
    pub async fn end(&self, run: &str, status: u8, log: &str) -> Result<(), String> {
        let cut = log.len().saturating_sub(LOG);
        let cut = (cut..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
        self.send(&status.to_string(), run, log.as_bytes()[cut..].to_vec()).await
    }

    async fn send(&self, what: &str, run: &str, log: Vec<u8>) -> Result<(), String> {
        let http = Http::new(Options { timeout: LIMIT, connect_timeout: LIMIT, ..Options::default() });
        let request = http.request(Method::POST, &self.at(what, run)).map_err(|failure| failure.cause)?;
        let reply = http.send(request.body(log), None).await.map_err(|failure| failure.cause)?;
        if reply.is_success() { Ok(()) } else { Err(format!("HTTP {}", reply.status)) }
    }

    fn at(&self, what: &str, run: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(what);
        }
        url.query_pairs_mut().append_pair("rid", run);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_id_at_its_start_and_its_end() {
        let ping: Ping = "https://hc.example/ping/abc/".parse().unwrap();
        assert_eq!(ping.at("start", "r1").as_str(), "https://hc.example/ping/abc/start?rid=r1");
        let ping: Ping = "https://hc.example/p?token=t".parse().unwrap();
        assert_eq!(ping.at("3", "r1").as_str(), "https://hc.example/p/3?token=t&rid=r1");
        assert!("hc.example/abc".parse::<Ping>().is_err() && "ftp://x/y".parse::<Ping>().is_err());
    }
}
