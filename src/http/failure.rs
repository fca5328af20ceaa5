//! Transport failures in words: what a request without an answer failed with, and whether it can have arrived.

use std::error::Error as StdError;
use std::time::Duration;

use super::clip;
use crate::platforms::Delivery;
use crate::wire::ErrorCode;

/// A request that brought no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// `NETWORK_ERROR`, `TIMEOUT_ERROR`, or `UNKNOWN_ERROR` for an answer that cannot be read.
    pub code: ErrorCode,
    /// Whether the request can have had an effect.
    pub delivery: Delivery,
    /// Why, for people, lower case: `connection refused`.
    pub cause: String,
}

impl Failure {
    /// A failure with these parts.
    pub fn new(code: ErrorCode, delivery: Delivery, cause: impl Into<String>) -> Self {
        Failure { code, delivery, cause: cause.into() }
    }

    /// A URL that cannot be requested at all.
    pub fn bad_url(url: &str, why: impl std::fmt::Display) -> Self {
        Failure::new(ErrorCode::ValidationError, Delivery::NotDelivered, format!("`{url}` is not a URL: {why}"))
    }

    /// Nothing came for this long.
    pub fn silence(limit: Duration) -> Self {
        let cause = format!("timed out after {}", seconds(limit));
        Failure::new(ErrorCode::TimeoutError, Delivery::Unknown, cause)
    }

    /// Puts a `reqwest` error into words. `limit` is the time the request had.
    pub fn of(error: &reqwest::Error, limit: Duration) -> Self {
        let before_sending = error.is_connect() || error.is_builder();
        let delivery = if before_sending { Delivery::NotDelivered } else { Delivery::Unknown };
        let chain = Chain::of(error);
        if let Some(cause) = chain.tls() {
            return Failure::new(ErrorCode::NetworkError, delivery, cause);
        }
        if error.is_timeout() || chain.io_kind(std::io::ErrorKind::TimedOut) {
            let cause = if error.is_connect() {
                "timed out connecting".to_string()
            } else {
                format!("timed out after {}", seconds(limit))
            };
            return Failure::new(ErrorCode::TimeoutError, delivery, cause);
        }
        if error.is_redirect() {
            return Failure::new(ErrorCode::NetworkError, delivery, "too many redirects");
        }
        if error.is_builder() {
            return Failure::new(ErrorCode::ValidationError, delivery, chain.last());
        }
        Failure::new(ErrorCode::NetworkError, delivery, chain.network())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cause)
    }
}

impl StdError for Failure {}

/// `10s`, `1.5s`, `250ms`.
fn seconds(d: Duration) -> String {
    if d < Duration::from_secs(1) {
        format!("{}ms", d.as_millis())
    } else if d.subsec_millis() < 50 {
        format!("{}s", d.as_secs())
    } else {
        format!("{:.1}s", d.as_secs_f64())
    }
}

/// An error and everything below it, custom `io::Error` contents included (their `source` skips one level).
struct Chain<'a>(Vec<&'a (dyn StdError + 'static)>);

impl<'a> Chain<'a> {
    fn of(error: &'a (dyn StdError + 'static)) -> Self {
        let mut links = Vec::new();
        let mut next = Some(error);
        while let Some(link) = next {
            links.push(link);
            let inside = link.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = match inside {
                Some(inner) => Some(inner as &(dyn StdError + 'static)),
                None => link.source(),
            };
        }
        Chain(links)
    }

    fn io_kind(&self, kind: std::io::ErrorKind) -> bool {
        self.0.iter().filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| e.kind() == kind)
    }

    fn says(&self, words: &str) -> bool {
        self.0.iter().any(|e| e.to_string().contains(words))
    }

    fn last(&self) -> String {
        clip(&self.0.last().map(ToString::to_string).unwrap_or_default(), 200)
    }

    fn tls(&self) -> Option<String> {
        use rustls::{CertificateError, Error};
        let error = self.0.iter().find_map(|e| e.downcast_ref::<Error>())?;
        Some(match error {
            Error::InvalidCertificate(why) => match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "TLS: the certificate has expired".to_string()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "TLS: the certificate is not valid yet; is this machine's clock right?".to_string()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "TLS: the certificate is for another host name".to_string()
                }
                CertificateError::UnknownIssuer => "TLS: certificate not trusted (unknown issuer)".to_string(),
                CertificateError::BadSignature => "TLS: certificate not trusted (bad signature)".to_string(),
                other => clip(&format!("TLS: certificate not trusted ({other})"), 200),
            },
            Error::InvalidMessage(_) => "TLS: the other side does not speak TLS".to_string(),
            Error::General(text) if text.starts_with("No CA certificates") => {
                "TLS: this system has no CA certificates; install them or set SSL_CERT_FILE".to_string()
            }
            other => clip(&format!("TLS: {other}"), 200),
        })
    }

    fn network(&self) -> String {
        use std::io::ErrorKind;
        if self.says("dns error") || self.says("failed to lookup address") {
            let temporary = self.says("Temporary failure");
            return if temporary { "DNS: the name server does not answer" } else { "DNS: no such host" }.to_string();
        }
        let known = [
            (ErrorKind::ConnectionRefused, "connection refused"),
            (ErrorKind::ConnectionReset, "connection reset"),
            (ErrorKind::BrokenPipe, "connection closed before the answer"),
            (ErrorKind::ConnectionAborted, "connection aborted"),
            (ErrorKind::HostUnreachable, "host unreachable"),
            (ErrorKind::NetworkUnreachable, "network unreachable"),
            (ErrorKind::UnexpectedEof, "connection closed before the answer"),
        ];
        if let Some((_, text)) = known.iter().find(|(kind, _)| self.io_kind(*kind)) {
            return (*text).to_string();
        }
        for text in ["connection closed", "error reading a body", "end of file before", "dispatch task is gone"] {
            if self.says(text) {
                return "connection closed before the answer".to_string();
            }
        }
        if self.says("invalid HTTP") {
            return "the other side does not speak HTTP".to_string();
        }
        self.last()
    }
}
