//! The cluster's keys and certificates.
//!
//! Owns `DATA/pki`: one authority for serving and client certificates, one for front proxies, the serving certificate,
//! the client certificates of the administrator, of the front proxy and of the API server towards node agents, and the
//! key that signs service account tokens.
//! Invariants: nothing that is valid is made anew; a certificate is renewed 30 days before it ends, when its names
//! change or when its authority changes; files appear whole and are readable by their owner only. The authority also signs
//! what users ask for (`operators/certificates`). Deliberately absent: rotation of authorities. Names follow kubeadm's `/etc/kubernetes/pki`.

mod authority;
mod client_config;
mod files;
mod organizations;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use authority::{Authority, Issued, Profile};
use proa_edge::Identity;
use proa_meta::identity::MASTERS;
use proa_policy::tokens::SigningKey;
use proa_relay::{ClientIdentity, RelayConfig};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Name of the API server towards node agents.
const AGENTS_CLIENT: &str = "kube-apiserver-kubelet-client";
/// Name of the administrator.
const ADMIN: &str = "kubernetes-admin";
const DAY: Duration = Duration::from_hours(24);
/// Lifetime of authorities.
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);
/// Lifetime of the certificates that are renewed by themselves.
const LIFETIME: Duration = DAY.saturating_mul(365);
/// Time before the end at which a certificate is renewed.
const RENEWAL: Duration = DAY.saturating_mul(30);

/// What the serving certificate is for.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Cluster IP of the `kubernetes` Service.
    pub(crate) service_ip: IpAddr,
    /// Address at which nodes and users reach the API.
    pub(crate) advertise: IpAddr,
    /// The cluster's DNS domain.
    pub(crate) domain: String,
    /// Further names and addresses.
    pub(crate) further: Vec<String>,
}

/// Keys and certificates of one cluster.
#[derive(Debug)]
pub(crate) struct Pki {
    dir: PathBuf,
    authority: Authority,
    front_proxy: Authority,
    serving: Option<Issued>,
    signing_key: KeyPair,
}

impl Subject {
    /// All names and addresses of the serving certificate.
    fn names(&self) -> BTreeSet<String> {
        let cluster = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
        let addresses =
            [self.service_ip, self.advertise, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let own = [format!("kubernetes.default.svc.{}", self.domain), "localhost".to_owned()];
        let addresses = addresses.iter().filter(|address| !address.is_unspecified()).map(ToString::to_string);
        cluster.into_iter().chain(own).chain(addresses).chain(self.further.iter().cloned()).collect()
    }
}

impl Pki {
    /// Reads what is there, makes what is missing or no longer fits.
    ///
    /// # Errors
    /// A file cannot be read or written, an authority has ended or lost its key, or a name cannot be certified.
    pub(crate) fn load_or_create(dir: &Path, subject: &Subject) -> Result<Self> {
        let now = SystemTime::now();
        files::create_private_dir(dir)?;
        let authority = load_or_make_authority(dir, "ca", "kubernetes", now)?;
        let front_proxy = load_or_make_authority(dir, "front-proxy-ca", "front-proxy-ca", now)?;
        let signing_key = load_or_make_key(&dir.join("sa.key"))?;
        let serving = Profile::serving("kube-apiserver", subject.names());
        let serving = load_or_issue(dir, "apiserver", &authority, &serving, now)?;
        front_proxy_client(dir, &front_proxy, now)?;
        Ok(Self { dir: dir.to_owned(), authority, front_proxy, serving: Some(serving), signing_key })
    }

    /// Reads the authorities and keys of a cluster that has been started before.
    ///
    /// # Errors
    /// One of them is missing or damaged.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let authority = |name: &str| {
            load_authority(dir, name)?.with_context(|| format!("{} does not exist", crt(dir, name).display()))
        };
        let (authority, front_proxy) = (authority("ca")?, authority("front-proxy-ca")?);
        let key = dir.join("sa.key");
        let signing_key = files::read(&key)?.with_context(|| format!("{} does not exist", key.display()))?;
        Ok(Self {
            dir: dir.to_owned(),
            authority,
            front_proxy,
            serving: None,
            signing_key: KeyPair::from_pem(&signing_key).with_context(|| key.display().to_string())?,
        })
    }

    /// The serving certificate and its key.
    ///
    /// # Errors
    /// It was not loaded, or is damaged.
    pub(crate) fn serving(&self) -> Result<Identity> {
        let serving = self.serving.as_ref().context("the serving certificate was not loaded")?;
        Ok(Identity::from_pem(serving.certificate.as_bytes(), serving.key.as_bytes())?)
    }

    /// How the API server reaches node agents: with a client certificate of its own, trusting those that the cluster's
    /// authority has signed. To be called inside the runtime that drives the connections.
    ///
    /// # Errors
    /// The certificate cannot be made, or a file cannot be written.
    pub(crate) fn relay(&self) -> Result<RelayConfig> {
        let profile = Profile::client(AGENTS_CLIENT, &[MASTERS.to_owned()]);
        let name = "apiserver-kubelet-client";
        let issued = load_or_issue(&self.dir, name, &self.authority, &profile, SystemTime::now())?;
        let front = front_proxy_client(&self.dir, &self.front_proxy, SystemTime::now())?;
        let agents = Some(self.authority.pem().to_owned());
        let front_proxy = Some(ClientIdentity { certificate: front.certificate, key: front.key });
        Ok(RelayConfig { front_proxy, ..RelayConfig::new(issued.certificate, issued.key, agents) })
    }

    /// Certificate chain and key, as PEM, with which the agent of a node serves.
    ///
    /// # Errors
    /// The certificate cannot be made, or a file cannot be written.
    pub(crate) fn agent_serving(&self, node: &str, address: IpAddr) -> Result<(Vec<u8>, Vec<u8>)> {
        let issued = self.agent_serving_in(&self.dir, node, address)?;
        Ok((issued.certificate.into_bytes(), issued.key.into_bytes()))
    }

    fn agent_serving_in(&self, dir: &Path, node: &str, address: IpAddr) -> Result<Issued> {
        let names = [node.to_owned(), address.to_string(), Ipv4Addr::LOCALHOST.to_string()].into();
        let profile = Profile::serving(&format!("system:node:{node}"), names);
        load_or_issue(dir, "agent", &self.authority, &profile, SystemTime::now())
    }

    /// Brings the credentials of a node that joins over the network into a directory of its own: the agent's serving
    /// certificate, the authority, and a kubeconfig for each of the users, which are given by file name.
    ///
    /// # Errors
    /// A certificate cannot be made, or a file cannot be written.
    pub(crate) fn write_node_credentials(
        &self,
        dir: &Path,
        node: &str,
        address: IpAddr,
        server: &str,
        cluster: &str,
        users: &[(&str, String, Vec<String>)],
    ) -> Result<()> {
        files::create_private_dir(dir)?;
        self.agent_serving_in(dir, node, address)?;
        files::write(&crt(dir, "ca"), self.authority.pem())?;
        for (name, user, groups) in users {
            let profile = Profile::client(user, groups);
            let issued =
                load_or_issue(dir, &format!("{name}-client"), &self.authority, &profile, SystemTime::now())?;
            let text = client_config::text(&self.access(server, cluster, user, &issued));
            files::write(&dir.join(format!("{name}.kubeconfig")), &text)?;
        }
        Ok(())
    }

    /// Who signs client certificates.
    pub(crate) fn client_ca_der(&self) -> Vec<CertificateDer<'static>> {
        // The text was parsed when the authority was loaded.
        CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).into_iter().collect()
    }

    /// The same as PEM; also what clients verify the server with.
    pub(crate) fn client_ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Who signs client certificates of front proxies, as PEM.
    pub(crate) fn front_proxy_ca_pem(&self) -> &str {
        self.front_proxy.pem()
    }

    /// Certificate and key of the authority, as PEM, for who signs requests.
    ///
    /// # Errors
    /// The file of the key cannot be read.
    pub(crate) fn signing_authority(&self) -> Result<(String, String)> {
        let path = key(&self.dir, "ca");
        let text = files::read(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
        Ok((self.authority.pem().to_owned(), text))
    }

    /// Signs service account tokens.
    ///
    /// # Errors
    /// The key file holds another sort of key.
    pub(crate) fn signing_key(&self) -> Result<SigningKey> {
        let path = self.dir.join("sa.key");
        SigningKey::from_pkcs8(&self.signing_key.serialize_der()).with_context(|| path.display().to_string())
    }

    /// A kubeconfig for a user of the given groups, with a new certificate that is valid for so many days.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub(crate) fn kubeconfig(
        &self,
        server: &str,
        cluster: &str,
        user: &str,
        groups: &[String],
        days: u32,
    ) -> Result<String> {
        let lifetime = DAY.saturating_mul(days);
        let issued = self.authority.issue(&Profile::client(user, groups), SystemTime::now(), lifetime)?;
        Ok(client_config::text(&self.access(server, cluster, user, &issued)))
    }

    /// Writes the administrator's kubeconfig, unless the file already says the same.
    ///
    /// # Errors
    /// The certificate cannot be made, or a file cannot be written.
    pub(crate) fn write_admin_kubeconfig(&self, path: &Path, server: &str, cluster: &str) -> Result<()> {
        let profile = Profile::client(ADMIN, &[MASTERS.to_owned()]);
        let issued = load_or_issue(&self.dir, "admin", &self.authority, &profile, SystemTime::now())?;
        let text = client_config::text(&self.access(server, cluster, ADMIN, &issued));
        if files::read(path)?.as_deref() == Some(text.as_str()) { Ok(()) } else { files::write(path, &text) }
    }

    fn access<'a>(
        &'a self,
        server: &'a str,
        cluster: &'a str,
        user: &'a str,
        issued: &'a Issued,
    ) -> client_config::Access<'a> {
        client_config::Access { server, cluster, user, authority: self.authority.pem(), issued }
    }
}

/// What other API servers know this one by.
fn front_proxy_client(dir: &Path, authority: &Authority, now: SystemTime) -> Result<Issued> {
    const NAME: &str = "front-proxy-client";
    load_or_issue(dir, NAME, authority, &Profile::client(NAME, &[]), now)
}

fn crt(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.crt"))
}

fn key(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.key"))
}

/// The authority in two files; none when there is no certificate.
fn load_authority(dir: &Path, name: &str) -> Result<Option<Authority>> {
    let (crt, key) = (crt(dir, name), key(dir, name));
    let Some(certificate) = files::read(&crt)? else { return Ok(None) };
    let Some(key_text) = files::read(&key)? else {
        bail!(
            "{} exists without {}: put the key back, or remove both to start a new authority",
            crt.display(),
            key.display()
        );
    };
    let authority = Authority::from_pem(certificate, &key_text);
    authority.map(Some).with_context(|| format!("{} and {} are not usable", crt.display(), key.display()))
}

fn load_or_make_authority(dir: &Path, name: &str, common_name: &str, now: SystemTime) -> Result<Authority> {
    if let Some(authority) = load_authority(dir, name)? {
        if authority.ends_before(now) {
            let path = crt(dir, name);
            bail!(
                "the certificate authority {} has ended: remove it and its key, and give clients new kubeconfigs",
                path.display()
            );
        }
        return Ok(authority);
    }
    let (authority, key_text) = Authority::new(common_name, now, AUTHORITY_LIFETIME)?;
    // The key first: a certificate without its key would be an error, a key without certificate is made anew.
    files::write(&key(dir, name), &key_text)?;
    files::write(&crt(dir, name), authority.pem())?;
    Ok(authority)
}

fn load_or_make_key(path: &Path) -> Result<KeyPair> {
    if let Some(text) = files::read(path)? {
        return KeyPair::from_pem(&text).with_context(|| format!("{} is not a usable key", path.display()));
    }
    let key = KeyPair::generate().context("make a key")?;
    files::write(path, &key.serialize_pem())?;
    Ok(key)
}

/// The certificate in two files, when it is still right; otherwise a new one.
fn load_or_issue(
    dir: &Path,
    name: &str,
    authority: &Authority,
    profile: &Profile,
    now: SystemTime,
) -> Result<Issued> {
    let (crt, key) = (crt(dir, name), key(dir, name));
    if let (Some(certificate), Some(key)) = (files::read(&crt)?, files::read(&key)?) {
        let issued = Issued { certificate, key };
        if authority.is_right(&issued, profile, now + RENEWAL) {
            return Ok(issued);
        }
    }
    let issued = authority.issue(profile, now, LIFETIME)?;
    files::write(&key, &issued.key)?;
    files::write(&crt, &issued.certificate)?;
    Ok(issued)
}
