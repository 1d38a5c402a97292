//! A client of redis: one connection, one command at a time (RESP2).

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// How long redis may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
pub struct Redis {
    reader: BufReader<TcpStream>,
}

/// A reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word such as `OK`.
    Word(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// No such value.
    Nothing,
}

impl Reply {
    /// As a number; nothing counts as 0.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).parse().unwrap_or(0),
            Self::Word(_) | Self::Nothing => 0,
        }
    }
}

impl Redis {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn connect(address: &str) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    return Ok(Self { reader: BufReader::new(stream) });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// The connection is lost, or redis refuses.
    pub fn ask(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).into_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.reader.get_mut().write_all(&command)?;
        read(&mut self.reader)
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "redis closed the connection"));
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| unreadable(line))?;
    let number = || rest.parse::<i64>().map_err(|_| unreadable(line));
    match kind {
        "+" => Ok(Reply::Word(rest.to_owned())),
        "-" => Err(io::Error::other(format!("redis refused: {rest}"))),
        ":" => Ok(Reply::Number(number()?)),
        "$" => match usize::try_from(number()?) {
            Ok(length) => read_bytes(from, length),
            Err(_) => Ok(Reply::Nothing),
        },
        _ => Err(unreadable(line)),
    }
}

fn read_bytes(from: &mut impl Read, length: usize) -> io::Result<Reply> {
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(Reply::Bytes(bytes))
}

fn unreadable(line: &str) -> io::Error {
    io::Error::other(format!("redis said {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let mut text = &b"+OK\r\n:42\r\n$3\r\na\r\n\r\n$-1\r\n-ERR no\r\n?\r\n"[..];
        let mut next = || read(&mut text);
        assert_eq!(next().unwrap(), Reply::Word("OK".to_owned()));
        assert_eq!(next().unwrap().number(), 42);
        assert_eq!(next().unwrap(), Reply::Bytes(b"a\r\n".to_vec()));
        assert_eq!(next().unwrap().number(), 0);
        assert_eq!(next().unwrap_err().to_string(), "redis refused: ERR no");
        assert!(next().is_err() && next().is_err());
    }
}
