//! One key of a provider: how it encrypts, decrypts and marks values.

use crate::ENCRYPTED;
use aes::{Aes128, Aes192, Aes256, cipher::consts::U12};
use aes_gcm::{
    Aes128Gcm, Aes256Gcm, AesGcm,
    aead::{Aead, KeyInit, Payload},
};
use bytes::Bytes;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use crypto_secretbox::{XSalsa20Poly1305, aead::Aead as _, aead::KeyInit as _};
use ring::rand::{SecureRandom, SystemRandom};

/// Who encrypts with keys. The names are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Aescbc,
    Aesgcm,
    Secretbox,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aescbc => "aescbc",
            Self::Aesgcm => "aesgcm",
            Self::Secretbox => "secretbox",
        }
    }
    /// Bytes that a key may have.
    pub(crate) fn key_lengths(self) -> &'static [usize] {
        match self {
            Self::Aescbc | Self::Aesgcm => &[16, 24, 32],
            Self::Secretbox => &[32],
        }
    }
    fn nonce_length(self) -> usize {
        match self {
            Self::Aescbc => 16,
            Self::Aesgcm => 12,
            Self::Secretbox => 24,
        }
    }
}

/// One key, or none.
pub(crate) enum Provider {
    /// Values as they are.
    Identity,
    /// Encrypted ones.
    Key {
        method: Method,
        /// What its values begin with.
        prefix: String,
        /// Of a length that the method takes.
        secret: Vec<u8>,
    },
}

impl Provider {
    pub(crate) fn key(method: Method, name: &str, secret: Vec<u8>) -> Self {
        Self::Key { method, prefix: format!("k8s:enc:{}:v1:{name}:", method.name()), secret }
    }

    /// Whether a value looks like one of its own.
    pub(crate) fn knows(&self, kept: &[u8]) -> bool {
        match self {
            Self::Identity => !kept.starts_with(ENCRYPTED),
            Self::Key { prefix, .. } => kept.starts_with(prefix.as_bytes()),
        }
    }

    pub(crate) fn seal(&self, key: &str, plain: &Bytes) -> Result<Bytes, String> {
        let Self::Key { method, prefix, secret } = self else { return Ok(plain.clone()) };
        let mut nonce = vec![0; method.nonce_length()];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "no random numbers for encryption".to_owned())?;
        let sealed = encrypt(*method, secret, &nonce, key, plain).ok_or("encryption failed")?;
        Ok([prefix.as_bytes(), &nonce, &sealed].concat().into())
    }

    pub(crate) fn open(&self, key: &str, kept: &Bytes) -> Result<Bytes, String> {
        let Self::Key { method, prefix, secret } = self else {
            let plain = (!kept.starts_with(ENCRYPTED)).then(|| kept.clone());
            return plain.ok_or_else(|| "it is encrypted, and no provider is configured for it".to_owned());
        };
        let kept = kept.get(prefix.len()..).unwrap_or_default();
        let opened = kept
            .split_at_checked(method.nonce_length())
            .and_then(|(nonce, sealed)| decrypt(*method, secret, nonce, key, sealed));
        let opened = opened.ok_or_else(|| format!("it cannot be decrypted with the key of {prefix:?}"))?;
        Ok(opened.into())
    }
}

/// Runs the body with the type of the key's length. Lengths were checked when the configuration was read.
macro_rules! by_length {
    ($secret:expr, $cipher:ident => $body:expr, $a:ty, $b:ty, $c:ty) => {
        match $secret.len() {
            16 => {
                type $cipher = $a;
                $body
            }
            24 => {
                type $cipher = $b;
                $body
            }
            _ => {
                type $cipher = $c;
                $body
            }
        }
    };
}

type Aes192Gcm = AesGcm<Aes192, U12>;

fn encrypt(method: Method, secret: &[u8], nonce: &[u8], key: &str, plain: &[u8]) -> Option<Vec<u8>> {
    match method {
        Method::Aescbc => by_length!(secret, Cipher => {
            let cipher = cbc::Encryptor::<Cipher>::new_from_slices(secret, nonce).ok()?;
            Some(cipher.encrypt_padded_vec::<Pkcs7>(plain))
        }, Aes128, Aes192, Aes256),
        Method::Aesgcm => by_length!(secret, Cipher => {
            let payload = Payload { msg: plain, aad: key.as_bytes() };
            Cipher::new_from_slice(secret).ok()?.encrypt(nonce.try_into().ok()?, payload).ok()
        }, Aes128Gcm, Aes192Gcm, Aes256Gcm),
        Method::Secretbox => XSalsa20Poly1305::new_from_slice(secret).ok()?.encrypt(nonce.into(), plain).ok(),
    }
}

fn decrypt(method: Method, secret: &[u8], nonce: &[u8], key: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    match method {
        Method::Aescbc => by_length!(secret, Cipher => {
            let cipher = cbc::Decryptor::<Cipher>::new_from_slices(secret, nonce).ok()?;
            cipher.decrypt_padded_vec::<Pkcs7>(sealed).ok()
        }, Aes128, Aes192, Aes256),
        Method::Aesgcm => by_length!(secret, Cipher => {
            let payload = Payload { msg: sealed, aad: key.as_bytes() };
            Cipher::new_from_slice(secret).ok()?.decrypt(nonce.try_into().ok()?, payload).ok()
        }, Aes128Gcm, Aes192Gcm, Aes256Gcm),
        Method::Secretbox => {
            XSalsa20Poly1305::new_from_slice(secret).ok()?.decrypt(nonce.into(), sealed).ok()
        }
    }
}
