//! The stream of a connection: read and written by HTTP, watched by who waits.

use std::{
    io::{self, ErrorKind, IoSlice, Read},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A stream that stays open while nobody reads it.
#[derive(Debug)]
pub(super) struct Watched(TcpStream);

impl Watched {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Waits until the client hangs up. Who sends its next request already is not watched any more.
    pub(super) async fn hung_up(&self) {
        if let Ok(1..) = self.0.peek(&mut [0]).await {
            std::future::pending::<()>().await;
        }
    }
}

/// A stream for HTTP, with what is to be read before the rest.
#[derive(Debug)]
pub(super) struct Replayed {
    first: io::Cursor<Vec<u8>>,
    then: Arc<Watched>,
}

impl Replayed {
    pub(super) fn new(first: Vec<u8>, then: Arc<Watched>) -> Self {
        Self { first: io::Cursor::new(first), then }
    }
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.has_remaining() {
            let read = self.first.read(buf.initialize_unfilled())?;
            buf.advance(read);
            return Poll::Ready(Ok(()));
        }
        let stream = &self.then.0;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let (room, mut emptied) = (buf.remaining(), false);
            let read = stream.try_io(Interest::READABLE, || {
                let read = stream.try_read_buf(buf)?;
                // What does not fill the buffer was all that there is. Said so, it saves asking for more in vain.
                emptied = 0 < read && read < room;
                if emptied { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match read {
                Err(_) if emptied => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.then.0;
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_write_vectored(bufs) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = socket2::SockRef::from(&self.then.0).shutdown(Shutdown::Write);
        Poll::Ready(match ended {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}
