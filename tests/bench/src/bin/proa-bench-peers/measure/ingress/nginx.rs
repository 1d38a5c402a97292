//! Debian's nginx: as the backend of all, and as a proxy to compare with. The package's own service is not used.

use super::{HOST, Place, written};
use crate::peer::{Process, free_port};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
};

/// A running nginx. Its workers end with it.
pub(super) struct Nginx {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.terminate();
    }
}

/// Answers everything with two bytes.
pub(super) fn backend(directory: &Path) -> Result<Nginx> {
    let address = SocketAddr::new(own_address()?, free_port()?);
    let server = format!("server {{ listen {address} backlog=1024; location / {{ return 200 'ok'; }} }}");
    start("backend", directory, 1, &server, address)
}

/// Passes everything on to the backend, with the headers that ingress controllers add.
pub(super) fn proxy(directory: &Path, place: &Place, backend: SocketAddr) -> Result<Nginx> {
    let [certificate, key] = written(directory, place)?;
    let (http, https) = (place.http, place.https);
    let server = format!(
        "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
         upstream backend {{ server {backend}; keepalive 64; keepalive_requests 100000000; }}
         server {{
           listen {http} backlog=1024; listen {https} ssl http2 backlog=1024; server_name {HOST};
           location / {{
             proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
             proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
             proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
             proxy_set_header X-Forwarded-Scheme $scheme; proxy_set_header X-Scheme $scheme;
           }}
         }}"
    );
    let cores = std::thread::available_parallelism()?.get().min(2);
    start("proxy", directory, cores, &server, http)
}

fn start(
    name: &'static str,
    directory: &Path,
    workers: usize,
    server: &str,
    address: SocketAddr,
) -> Result<Nginx> {
    let own = directory.join(name);
    fs::create_dir(&own)?;
    let path = own.display();
    let text = format!(
        "daemon off; worker_processes {workers}; pid {path}/pid; error_log stderr warn;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; keepalive_requests 100000000; server_tokens off; default_type text/plain;
           client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
           uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
           {server}
         }}\n"
    );
    let file = own.join("nginx.conf");
    fs::write(&file, text)?;
    let arguments =
        ["-p", &path.to_string(), "-c", &file.display().to_string(), "-e", "stderr"].map(str::to_owned);
    Ok(Nginx { process: Process::start(name, &program()?, &own, arguments)?, address })
}

/// An address of this machine that may be an endpoint of a service: not a loopback one. No packet is sent.
fn own_address() -> Result<IpAddr> {
    const ELSEWHERE: &str = "192.0.2.1:9";
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(ELSEWHERE).context("this machine has no address but the loopback one")?;
    Ok(socket.local_addr()?.ip())
}

/// Administrators' programs need not be on the path.
fn program() -> Result<PathBuf> {
    let known = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from);
    known.into_iter().find(|path| path.exists()).context("nginx is not installed")
}
