//! Keys and files that kube-apiserver needs, made for one run.

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) struct Credentials {
    /// Of an administrator.
    pub(super) kubeconfig: PathBuf,
    pub(super) token: String,
    /// What `--token-auth-file` reads.
    pub(super) tokens: PathBuf,
}

impl Credentials {
    /// Writes `server.crt`, `server.key`, `accounts.key`, `accounts.pub`, `tokens.csv` and `admin.kubeconfig` into the directory.
    pub(super) fn write(directory: &Path, port: u16) -> Result<Self> {
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.self_signed(&key)?.pem();
        fs::write(directory.join("server.crt"), &certificate)?;
        fs::write(directory.join("server.key"), key.serialize_pem())?;
        let accounts = KeyPair::generate()?;
        fs::write(directory.join("accounts.key"), accounts.serialize_pem())?;
        fs::write(directory.join("accounts.pub"), accounts.public_key_pem())?;
        let token = uuid::Uuid::new_v4().to_string();
        let tokens = directory.join("tokens.csv");
        fs::write(&tokens, format!("{token},kubernetes-admin,1,system:masters\n"))?;
        let kubeconfig = directory.join("admin.kubeconfig");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "admin",
            "clusters": [{"name": "bench", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": directory.join("server.crt"),
            }}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "admin", "context": {"cluster": "bench", "user": "admin"}}],
        });
        fs::write(&kubeconfig, text.to_string())?;
        Ok(Self { kubeconfig, token, tokens })
    }
}
