//! Random bytes: `GET /N` gives N of them.
//!
//! It serves one request at a time and takes a tenth of a second for each, so that it becomes the bottleneck when
//! there are many workers.

use std::{
    error::Error,
    fs::File,
    io::{self, Read},
    thread,
    time::Duration,
};
use tiny_http::{Request, Response, Server};

/// What one request costs.
const COST: Duration = Duration::from_millis(100);
/// Most bytes for one request.
const MOST: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    dockercoins_common::start("rng")?;
    let server = Server::http(dockercoins_common::listen()).map_err(|error| error.to_string())?;
    for request in server.incoming_requests() {
        let line = format!("{} {}", request.method(), request.url());
        match serve(request) {
            Ok(what) => println!("{line} -> {what}"),
            Err(error) => println!("{line} failed: {error}"),
        }
    }
    Ok(())
}

fn serve(request: Request) -> io::Result<String> {
    match request.url().trim_start_matches('/') {
        "" => {
            let text =
                format!("RNG {} running on {}\n", dockercoins_common::version(), dockercoins_common::host());
            request.respond(Response::from_string(text))?;
            Ok("who I am".to_owned())
        }
        number => match number.parse::<usize>() {
            Ok(number) if number <= MOST => {
                thread::sleep(COST);
                let mut bytes = vec![0; number];
                File::open("/dev/urandom")?.read_exact(&mut bytes)?;
                request.respond(Response::from_data(bytes))?;
                Ok(format!("{number} bytes"))
            }
            _ => {
                let text = format!("/N is the number of bytes, at most {MOST}\n");
                request.respond(Response::from_string(text).with_status_code(404))?;
                Ok("not found".to_owned())
            }
        },
    }
}
