//! Headers of a frame: a block of names and values, compressed by one zlib stream for each direction of the connection.
//!
//! Invariant: what is decompressed is bounded by [`MAX_HEADER_BLOCK`] before it is read.

use super::{Error, MAX_HEADER_BLOCK};
use bytes::{Buf, BufMut, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::sync::LazyLock;

/// Names, in lower case, and values, in order. A name with several values is there several times.
pub type Headers = Vec<(String, String)>;

/// Words that the dictionary holds with their length before them.
const WORDS: [&str; 65] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// What the dictionary ends with.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary that both sides start from. The protocol fixes each byte of it.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::with_capacity(1423);
    for word in WORDS {
        put_text(&mut dictionary, word.as_bytes());
    }
    dictionary.extend_from_slice(TEXT.as_bytes());
    dictionary
});

fn put_text(out: &mut impl BufMut, text: &[u8]) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

/// Compresses the headers that one side sends.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut stream = Compress::new(Compression::fast(), true);
        // A stream that has seen no input takes any dictionary.
        stream.set_dictionary(&DICTIONARY).expect("a new stream takes a dictionary");
        Self(stream)
    }

    /// Appends the compressed block of `headers` to `out`.
    pub(super) fn put(&mut self, headers: &[(String, String)], out: &mut BytesMut) {
        let block = block(headers);
        let start = self.0.total_in();
        let mut compressed = Vec::with_capacity(block.len() + 64);
        loop {
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(block.len());
            // Compressing into memory fails only when the stream was finished, which it never is.
            let status = self.0.compress_vec(&block[taken..], &mut compressed, FlushCompress::Sync);
            debug_assert!(status.is_ok(), "{status:?}");
            if status.is_err() || compressed.len() < compressed.capacity() {
                break;
            }
            compressed.reserve(256);
        }
        out.extend_from_slice(&compressed);
    }
}

/// The block before compression. Values of one name are joined, as the protocol wants.
fn block(headers: &[(String, String)]) -> Vec<u8> {
    let mut joined: Vec<(&str, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match joined.iter_mut().find(|(n, _)| n == name) {
            Some((_, values)) => {
                values.push('\0');
                values.push_str(value);
            }
            None => joined.push((name, value.clone())),
        }
    }
    let mut block = Vec::with_capacity(256);
    block.put_u32(u32::try_from(joined.len()).unwrap_or(u32::MAX));
    for (name, values) in joined {
        put_text(&mut block, name.as_bytes());
        put_text(&mut block, values.as_bytes());
    }
    block
}

/// Decompresses the headers that one side receives.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Reads the headers in a compressed block.
    pub(super) fn read(&mut self, compressed: &[u8]) -> Result<Headers, Error> {
        let block = self.inflate(compressed)?;
        let mut rest = &block[..];
        let headers = read_block(&mut rest).ok_or(Error::Headers("cut off or not text"))?;
        if !rest.is_empty() {
            return Err(Error::Headers("trailing bytes"));
        }
        check_names(&headers)?;
        Ok(headers)
    }

    fn inflate(&mut self, compressed: &[u8]) -> Result<Vec<u8>, Error> {
        let start = self.0.total_in();
        let mut block = Vec::with_capacity(1024);
        loop {
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(compressed.len());
            let (rest, before) = (&compressed[taken.min(compressed.len())..], block.len());
            match self.0.decompress_vec(rest, &mut block, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(Error::Headers("the compressed stream ended")),
                Ok(_) => {}
                Err(e) if e.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Error::Headers("another dictionary"))?;
                    continue;
                }
                Err(_) => return Err(Error::Headers("cannot be decompressed")),
            }
            if block.len() > MAX_HEADER_BLOCK {
                return Err(Error::Headers("too large"));
            }
            if block.len() == block.capacity() {
                block.reserve(block.len());
                continue;
            }
            let now = usize::try_from(self.0.total_in() - start).unwrap_or(compressed.len());
            if now >= compressed.len() {
                return Ok(block);
            }
            if now == taken && block.len() == before {
                return Err(Error::Headers("cannot be decompressed"));
            }
        }
    }
}

fn read_block(block: &mut &[u8]) -> Option<Headers> {
    let count = block.try_get_u32().ok()?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = read_text(block)?;
        let values = read_text(block)?;
        headers.extend(values.split('\0').map(|value| (name.to_owned(), value.to_owned())));
    }
    Some(headers)
}

fn read_text<'a>(block: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(block.try_get_u32().ok()?).ok()?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    std::str::from_utf8(text).ok()
}

fn check_names(headers: &Headers) -> Result<(), Error> {
    if headers.iter().any(|(name, _)| name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase())) {
        return Err(Error::Headers("a name that is empty or not in lower case"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_protocols() {
        // The first bytes of every compressed SPDY/3 stream: zlib's header and the dictionary's checksum.
        let mut out = BytesMut::new();
        Deflater::new().put(&[], &mut out);
        assert_eq!(DICTIONARY.len(), 1423);
        assert_eq!(&out[2..6], &[0xe3, 0xc6, 0xa7, 0xc2]);
    }

    #[test]
    fn a_block_that_grows_beyond_the_limit_is_refused() {
        let mut out = BytesMut::new();
        Deflater::new().put(&[("a".to_owned(), "x".repeat(10 << 20))], &mut out);
        assert!(out.len() < 100 << 10);
        assert_eq!(Inflater::new().read(&out), Err(Error::Headers("too large")));
    }

    #[test]
    fn names_in_upper_case_are_refused() {
        let mut out = BytesMut::new();
        Deflater::new().put(&[("Streamtype".to_owned(), "error".to_owned())], &mut out);
        assert!(Inflater::new().read(&out).is_err());
    }
}
