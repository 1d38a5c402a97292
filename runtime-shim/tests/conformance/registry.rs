//! A registry on loopback that serves one image, for tests: plain HTTP, reading only.

use crate::oci::{Layout, MANIFEST};
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) struct Registry {
    pub(crate) url: String,
    server: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Registry {
    /// Serves `layout` as `REPOSITORY:1`.
    pub(crate) async fn start(repository: &'static str, layout: Layout) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let layout = Arc::new(layout);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let layout = layout.clone();
                tokio::spawn(async move { answer(stream, repository, &layout).await });
            }
        });
        Self { url, server }
    }
}

/// Answers one request after the other.
async fn answer(stream: TcpStream, repository: &str, layout: &Layout) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut header = String::from("-");
        while !header.trim().is_empty() {
            header.clear();
            stream.read_line(&mut header).await?;
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let head = match content(path.split('?').next().unwrap_or_default(), repository, layout) {
            Some((digest, body)) => {
                let kind = if *digest == layout.manifest { MANIFEST } else { "application/octet-stream" };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nDocker-Content-Digest: {digest}\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                let body = if method == "HEAD" { &[][..] } else { body };
                [head.as_bytes(), body].concat()
            }
            None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        stream.write_all(&head).await?;
    }
}

fn content<'a>(path: &str, repository: &str, layout: &'a Layout) -> Option<(&'a String, &'a [u8])> {
    let rest = path.strip_prefix("/v2/")?.strip_prefix(repository)?;
    let reference = rest.strip_prefix("/manifests/").or_else(|| rest.strip_prefix("/blobs/"))?;
    let digest = if reference == "1" { &layout.manifest } else { reference };
    layout.blobs.get_key_value(digest).map(|(digest, body)| (digest, body.as_slice()))
}
