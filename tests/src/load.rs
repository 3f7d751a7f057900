//! A connection for load: as little work per request as possible, so that the server is what is measured.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// One connection that is kept open, for one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    /// Connects; every request carries `token`.
    pub async fn open(server: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), token: token.to_owned() })
    }

    /// Sends a request and reads the answer's body.
    pub async fn request(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        let (status, length) = self.head().await?;
        let answer = match length {
            Some(length) => self.exactly(length).await?,
            None => self.chunks().await?,
        };
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }

    /// The same for JSON.
    pub async fn json(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = serde_json::to_vec(body)?;
        Ok(serde_json::from_slice(&self.request(method, path, &body).await?)?)
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim_end(), 16).context("the length of a chunk")?;
            let chunk = self.exactly(length + "\r\n".len()).await?;
            if length == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&chunk[..length]);
        }
    }

    /// The status and the length of the body; no length if it comes in chunks.
    async fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("not a status line: {line:?}"))?;
        let mut length = Some(0);
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("closed within the head");
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = None;
            }
        }
        Ok((status, length))
    }
}
