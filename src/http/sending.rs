//! A body that holds something until it goes out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body that lets go of what it holds once it is asked for: the connection is there then, and the request's head is
/// being written. What it holds is also let go of when the request ends without that.
pub(super) struct Sending<T> {
    bytes: Option<Bytes>,
    held: Option<T>,
}

impl<T> Sending<T> {
    pub(super) fn new(bytes: Bytes, held: T) -> Self {
        Sending { bytes: Some(bytes), held: Some(held) }
    }
}

impl<T: Unpin> Body for Sending<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.held = None;
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
