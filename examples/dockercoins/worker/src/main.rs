//! The miner: random bytes from rng, their hash from hasher, and into the wallet in redis when it begins with 0.

use dockercoins_common::{peer, redis::Redis};
use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

/// What one unit of work costs the worker itself.
const COST: Duration = Duration::from_millis(100);
/// How often it says how much was done.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Seconds that a request may take.
const PATIENCE: u64 = 5;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    dockercoins_common::start("worker")?;
    loop {
        if let Err(error) = work() {
            println!("In work loop: {error}; trying again in {} s", PAUSE.as_secs());
            thread::sleep(PAUSE);
        }
    }
}

/// Works until something fails.
fn work() -> Result<()> {
    let address = peer("redis", 6379);
    let mut redis = Redis::connect(&address).map_err(|error| format!("redis at {address}: {error}"))?;
    println!("Connected to redis at {address}");
    loop {
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < INTERVAL {
            work_once(&mut redis)?;
            done += 1;
        }
        redis.ask(&[b"INCRBY", b"hashes", format!("{done}").as_bytes()])?;
        println!("{done} units of work done, {:.1} units/s", f64::from(done) / start.elapsed().as_secs_f64());
    }
}

fn work_once(redis: &mut Redis) -> Result<()> {
    thread::sleep(COST);
    let bytes = random_bytes()?;
    let hash = hash(&bytes)?;
    if !hash.starts_with('0') {
        return Ok(());
    }
    println!("Coin found: {}...", hash.get(..8).unwrap_or(&hash));
    if redis.ask(&[b"HSET", b"wallet", hash.as_bytes(), &bytes])?.number() == 0 {
        println!("That coin is in the wallet already");
    }
    Ok(())
}

fn random_bytes() -> Result<Vec<u8>> {
    let url = format!("http://{}/32", peer("rng", 80));
    let response = minreq::get(&url).with_timeout(PATIENCE).send().map_err(|e| format!("{url}: {e}"))?;
    match response.status_code {
        200 => Ok(response.into_bytes()),
        code => Err(format!("{url}: status {code}").into()),
    }
}

fn hash(bytes: &[u8]) -> Result<String> {
    let url = format!("http://{}/", peer("hasher", 80));
    let request = minreq::post(&url).with_timeout(PATIENCE).with_body(bytes);
    let response = request
        .with_header("Content-Type", "application/octet-stream")
        .send()
        .map_err(|e| format!("{url}: {e}"))?;
    match response.status_code {
        200 => Ok(response.as_str()?.trim().to_owned()),
        code => Err(format!("{url}: status {code}").into()),
    }
}
