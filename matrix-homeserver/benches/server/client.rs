//! A client that costs as little as possible, so that the server is measured.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection that is kept open.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    token: String,
}

/// The status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: serde_json::Value,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10), token: token.to_owned() })
    }

    /// One request, whose answer is only looked at for its status.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<u16> {
        let (status, _) = self.exchange(method, path, body).await?;
        Ok(status)
    }

    /// One request with its answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> io::Result<Answer> {
        let (status, range) = self.exchange(method, path, &body.to_string()).await?;
        let body = serde_json::from_slice(&self.buffer[range]).map_err(io::Error::other)?;
        Ok(Answer { status, body })
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<(u16, std::ops::Range<usize>)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: hs\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or_default();
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        Ok((status, head..head + length))
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
