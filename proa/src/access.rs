//! Who is believed, and who decides what they may do: options of the API server, named as upstream's. Files are read at
//! the start.

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{ArgAction, Args};
use proa_assembly::{Access, Anonymous, RequestHeaders};
use proa_edge::certificates_from_pem;
use proa_policy::{
    authorizers::{
        config::{self, Mode},
        webhook::{Conditions, WebhookSettings},
    },
    bootstrap::FrontProxies,
    jwt::{
        Algorithm,
        config::{
            AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, IssuerConfiguration,
            JwtAuthenticator, PrefixedClaimOrExpression,
        },
    },
    kubeconfig::{self, WebhookClient},
    tokens::webhook::TokenWebhook,
};
use rustls::pki_types::CertificateDer;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long upstream's webhook authorizer may take when flags configure it.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// The options.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// File with the authorities of front proxies: who has a certificate of theirs says in headers whom a request comes
    /// from.
    #[arg(long)]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of front proxies' certificates [default: any].
    #[arg(long, value_delimiter = ',', requires = "requestheader_client_ca_file")]
    requestheader_allowed_names: Vec<String>,
    /// Headers of front proxies that name the user.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-User")]
    requestheader_username_headers: Vec<String>,
    /// Headers of front proxies that name the user's uid; X-Remote-Uid must be one of them [default: none].
    #[arg(long, value_delimiter = ',', requires = "requestheader_client_ca_file")]
    requestheader_uid_headers: Vec<String>,
    /// Headers of front proxies that name groups.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Group")]
    requestheader_group_headers: Vec<String>,
    /// What headers of front proxies with further attributes start with.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Extra-")]
    requestheader_extra_headers_prefix: Vec<String>,
    /// File with an AuthenticationConfiguration: issuers of JSON web tokens, anonymous requests.
    #[arg(long)]
    authentication_config: Option<PathBuf>,
    /// Whether requests without credentials are answered, as system:anonymous [default: true].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    anonymous_auth: Option<bool>,
    /// URL of an OpenID Connect issuer whose tokens are believed.
    #[arg(long, requires = "oidc_client_id", conflicts_with = "authentication_config")]
    oidc_issuer_url: Option<String>,
    /// Audience of the issuer's tokens.
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_client_id: Option<String>,
    /// File with the authorities of the issuer's certificate [default: those of this machine].
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_ca_file: Option<PathBuf>,
    /// Claim that names the user.
    #[arg(long, default_value = "sub")]
    oidc_username_claim: String,
    /// What goes before users' names; - is nothing [default: the issuer and #, nothing for the claim email].
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_username_prefix: Option<String>,
    /// Claim that names groups.
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_groups_claim: Option<String>,
    /// What goes before groups' names.
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_groups_prefix: Option<String>,
    /// Algorithms by which the issuer may sign.
    #[arg(long, value_delimiter = ',', default_value = "RS256")]
    oidc_signing_algs: Vec<String>,
    /// CLAIM=VALUE that a token must have; may be given several times.
    #[arg(long, requires = "oidc_issuer_url")]
    oidc_required_claim: Vec<String>,
    /// Kubeconfig of a webhook that knows tokens.
    #[arg(long)]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of authentication.k8s.io that the webhook speaks.
    #[arg(long, default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    authentication_token_webhook_version: String,
    /// How long the webhook's answers count.
    #[arg(long, default_value = "2m", value_parser = crate::cli::duration)]
    authentication_token_webhook_cache_ttl: Duration,
    /// File with an AuthorizationConfiguration: who decides, in which order.
    #[arg(long, conflicts_with_all = ["authorization_mode", "authorization_webhook_config_file"])]
    authorization_config: Option<PathBuf>,
    /// Who decides, in order: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny [default: Node,RBAC].
    #[arg(long, value_delimiter = ',')]
    authorization_mode: Vec<String>,
    /// Kubeconfig of the webhook that decides.
    #[arg(long)]
    authorization_webhook_config_file: Option<PathBuf>,
    /// Version of authorization.k8s.io that the webhook speaks.
    #[arg(long, default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    authorization_webhook_version: String,
    /// How long the webhook's allowances count.
    #[arg(long, default_value = "5m", value_parser = crate::cli::duration)]
    authorization_webhook_cache_authorized_ttl: Duration,
    /// How long its other answers count.
    #[arg(long, default_value = "30s", value_parser = crate::cli::duration)]
    authorization_webhook_cache_unauthorized_ttl: Duration,
}

impl Options {
    /// Reads the files. `issuer` is who signs the cluster's own tokens.
    ///
    /// # Errors
    /// A file cannot be read, or what it says is wrong; the option and the field are named.
    pub(crate) fn access(&self, issuer: &str) -> Result<Access> {
        let config = match &self.authentication_config {
            None => AuthenticationConfiguration { jwt: self.oidc()?, ..Default::default() },
            Some(file) => AuthenticationConfiguration::parse(&read(file, "--authentication-config")?)
                .map_err(|why| anyhow!("--authentication-config {}: {why}", file.display()))?,
        };
        let algorithms = match &self.authentication_config {
            None => self.algorithms()?,
            Some(_) => Algorithm::ALL.map(|(_, algorithm)| algorithm).to_vec(),
        };
        let issuers = config
            .issuers(&[issuer.to_owned()], &algorithms)
            .map_err(|why| anyhow!("invalid authentication configuration: {why}"))?;
        let authorizers = self.authorizers()?;
        let allows_all = authorizers.iter().flatten().any(|mode| matches!(mode, Mode::AlwaysAllow));
        let anonymous = match self.anonymous(&config)? {
            Anonymous::Everywhere if allows_all && config.anonymous.is_none() => {
                tracing::warn!("AlwaysAllow is set, so requests without identity are refused");
                Anonymous::Nowhere
            }
            anonymous => anonymous,
        };
        Ok(Access {
            request_headers: self.request_headers()?.map(Arc::new),
            front_proxies: self.front_proxies()?,
            anonymous,
            issuers,
            token_webhook: self.token_webhook()?,
            authorizers,
        })
    }

    /// The same options for another process.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let path =
            |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone()).display().to_string();
        let list = |names: &Vec<String>| (!names.is_empty()).then(|| names.join(","));
        let time = |of: Duration| Some(format!("{}ms", of.as_millis()));
        let options = [
            ("--requestheader-client-ca-file", self.requestheader_client_ca_file.as_ref().map(path)),
            ("--requestheader-allowed-names", list(&self.requestheader_allowed_names)),
            ("--requestheader-username-headers", list(&self.requestheader_username_headers)),
            ("--requestheader-uid-headers", list(&self.requestheader_uid_headers)),
            ("--requestheader-group-headers", list(&self.requestheader_group_headers)),
            ("--requestheader-extra-headers-prefix", list(&self.requestheader_extra_headers_prefix)),
            ("--authentication-config", self.authentication_config.as_ref().map(path)),
            ("--anonymous-auth", self.anonymous_auth.map(|on| on.to_string())),
            ("--oidc-issuer-url", self.oidc_issuer_url.clone()),
            ("--oidc-client-id", self.oidc_client_id.clone()),
            ("--oidc-ca-file", self.oidc_ca_file.as_ref().map(path)),
            ("--oidc-username-claim", Some(self.oidc_username_claim.clone())),
            ("--oidc-username-prefix", self.oidc_username_prefix.clone()),
            ("--oidc-groups-claim", self.oidc_groups_claim.clone()),
            ("--oidc-groups-prefix", self.oidc_groups_prefix.clone()),
            ("--oidc-signing-algs", list(&self.oidc_signing_algs)),
            (
                "--authentication-token-webhook-config-file",
                self.authentication_token_webhook_config_file.as_ref().map(path),
            ),
            (
                "--authentication-token-webhook-version",
                Some(self.authentication_token_webhook_version.clone()),
            ),
            ("--authentication-token-webhook-cache-ttl", time(self.authentication_token_webhook_cache_ttl)),
            ("--authorization-config", self.authorization_config.as_ref().map(path)),
            ("--authorization-mode", list(&self.authorization_mode)),
            (
                "--authorization-webhook-config-file",
                self.authorization_webhook_config_file.as_ref().map(path),
            ),
            ("--authorization-webhook-version", Some(self.authorization_webhook_version.clone())),
            (
                "--authorization-webhook-cache-authorized-ttl",
                time(self.authorization_webhook_cache_authorized_ttl),
            ),
            (
                "--authorization-webhook-cache-unauthorized-ttl",
                time(self.authorization_webhook_cache_unauthorized_ttl),
            ),
        ];
        let claims = self.oidc_required_claim.iter().map(|pair| format!("--oidc-required-claim={pair}"));
        let options = options.into_iter().filter_map(|(option, value)| Some(format!("{option}={}", value?)));
        options.chain(claims).collect()
    }

    /// Who signs the certificates of front proxies. `clients` sign those of users.
    ///
    /// # Errors
    /// The file cannot be read, or users' certificates would be believed.
    pub(crate) fn front_proxy_ca(
        &self,
        clients: &[CertificateDer<'static>],
    ) -> Result<Vec<CertificateDer<'static>>> {
        let Some(file) = &self.requestheader_client_ca_file else { return Ok(Vec::new()) };
        let text = read(file, "--requestheader-client-ca-file")?;
        let found = certificates_from_pem(text.as_bytes());
        let found = found.with_context(|| format!("--requestheader-client-ca-file {}", file.display()))?;
        let overlaps = found.iter().any(|one| clients.contains(one));
        ensure!(
            !overlaps || !self.requestheader_allowed_names.is_empty(),
            "--requestheader-client-ca-file and the cluster's client CA contain overlapping certificates; \
             --requestheader-allowed-names must be specified to ensure regular client certificates cannot set \
             authenticating proxy headers for arbitrary users"
        );
        Ok(found)
    }

    fn request_headers(&self) -> Result<Option<RequestHeaders>> {
        if self.requestheader_client_ca_file.is_none() {
            return Ok(None);
        }
        let headers = |option: &str, names: &[String]| {
            let one = |name: &String| name.parse().map_err(|_| anyhow!("{option}: {name:?} is no header"));
            names.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let uids = &self.requestheader_uid_headers;
        ensure!(
            uids.is_empty() || uids.iter().any(|name| name.eq_ignore_ascii_case("X-Remote-Uid")),
            "--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - API aggregation \
             will not work"
        );
        // A prefix is the start of a header's name, and so a name itself.
        headers("--requestheader-extra-headers-prefix", &self.requestheader_extra_headers_prefix)?;
        let prefixes =
            self.requestheader_extra_headers_prefix.iter().map(|prefix| prefix.to_ascii_lowercase());
        let blank = self.requestheader_allowed_names.iter().any(|name| name.trim().is_empty());
        ensure!(!blank, "--requestheader-allowed-names: a name is empty");
        Ok(Some(RequestHeaders {
            allowed_names: self.requestheader_allowed_names.clone(),
            usernames: headers("--requestheader-username-headers", &self.requestheader_username_headers)?,
            uids: headers("--requestheader-uid-headers", uids)?,
            groups: headers("--requestheader-group-headers", &self.requestheader_group_headers)?,
            extra_prefixes: prefixes.collect(),
        }))
    }

    fn front_proxies(&self) -> Result<FrontProxies> {
        let Some(file) = &self.requestheader_client_ca_file else { return Ok(FrontProxies::default()) };
        Ok(FrontProxies {
            authority: read(file, "--requestheader-client-ca-file")?,
            allowed_names: self.requestheader_allowed_names.clone(),
            username_headers: self.requestheader_username_headers.clone(),
            uid_headers: self.requestheader_uid_headers.clone(),
            group_headers: self.requestheader_group_headers.clone(),
            extra_prefixes: self.requestheader_extra_headers_prefix.clone(),
        })
    }

    fn anonymous(&self, config: &AuthenticationConfiguration) -> Result<Anonymous> {
        match (&config.anonymous, self.anonymous_auth) {
            (Some(_), Some(_)) => bail!(
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in \
                 authentication configuration file"
            ),
            (None, Some(false)) => Ok(Anonymous::Nowhere),
            (None, Some(true) | None) => Ok(Anonymous::Everywhere),
            (Some(anonymous), None) if !anonymous.enabled => Ok(Anonymous::Nowhere),
            (Some(anonymous), None) if anonymous.conditions.is_empty() => Ok(Anonymous::Everywhere),
            (Some(anonymous), None) => {
                Ok(Anonymous::Paths(anonymous.conditions.iter().map(|one| one.path.clone()).collect()))
            }
        }
    }

    /// The issuer that flags configure.
    fn oidc(&self) -> Result<Vec<JwtAuthenticator>> {
        let (Some(url), Some(client)) = (&self.oidc_issuer_url, &self.oidc_client_id) else {
            return Ok(Vec::new());
        };
        let prefix = match self.oidc_username_prefix.as_deref() {
            Some("-") => String::new(),
            None | Some("") if self.oidc_username_claim == "email" => String::new(),
            None | Some("") => format!("{url}#"),
            Some(prefix) => prefix.to_owned(),
        };
        let claim = |claim: &str, prefix: String| PrefixedClaimOrExpression {
            claim: claim.to_owned(),
            prefix: Some(prefix),
            ..Default::default()
        };
        let groups_prefix = self.oidc_groups_prefix.clone().unwrap_or_default();
        let groups = self.oidc_groups_claim.as_deref().map(|of| claim(of, groups_prefix));
        let required = self.oidc_required_claim.iter().map(|pair| {
            let (claim, value) =
                pair.split_once('=').with_context(|| format!("--oidc-required-claim: {pair:?} has no ="))?;
            Ok(ClaimValidationRule {
                claim: claim.to_owned(),
                required_value: value.to_owned(),
                ..Default::default()
            })
        });
        let authority = self.oidc_ca_file.as_deref().map(|file| read(file, "--oidc-ca-file")).transpose()?;
        Ok(vec![JwtAuthenticator {
            issuer: IssuerConfiguration {
                url: url.clone(),
                audiences: vec![client.clone()],
                certificate_authority: authority.unwrap_or_default(),
                ..Default::default()
            },
            claim_validation_rules: required.collect::<Result<_>>()?,
            claim_mappings: ClaimMappings {
                username: claim(&self.oidc_username_claim, prefix),
                groups: groups.unwrap_or_default(),
                ..Default::default()
            },
            user_validation_rules: Vec::new(),
        }])
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>> {
        let one = |name: &String| {
            let known = Algorithm::ALL.map(|(name, _)| name).join(", ");
            let found = Algorithm::of(name);
            found.with_context(|| format!("--oidc-signing-algs: {name:?} is not one of {known}"))
        };
        self.oidc_signing_algs.iter().map(one).collect()
    }

    fn token_webhook(&self) -> Result<Option<TokenWebhook>> {
        let Some(file) = &self.authentication_token_webhook_config_file else { return Ok(None) };
        let client = webhook(file)
            .map_err(|why| anyhow!("--authentication-token-webhook-config-file {}: {why}", file.display()))?;
        Ok(Some(TokenWebhook {
            client,
            version: self.authentication_token_webhook_version.clone(),
            lifetime: self.authentication_token_webhook_cache_ttl,
        }))
    }

    fn authorizers(&self) -> Result<Option<Vec<Mode>>> {
        if let Some(file) = &self.authorization_config {
            let text = read(file, "--authorization-config")?;
            let modes = config::parse(&text, &|path| webhook(Path::new(path)));
            let modes = modes.map_err(|why| anyhow!("--authorization-config {}: {why}", file.display()))?;
            return Ok(Some(modes));
        }
        let file = self.authorization_webhook_config_file.as_deref();
        let names = &self.authorization_mode;
        ensure!(
            file.is_none() || names.iter().any(|name| name == "Webhook"),
            "cannot specify --authorization-webhook-config-file without mode Webhook"
        );
        if names.is_empty() {
            return Ok(None);
        }
        let mut modes = Vec::new();
        for (i, name) in names.iter().enumerate() {
            ensure!(
                !names[..i].contains(name),
                "authorization-mode {names:?} has mode specified more than once"
            );
            modes.push(match name.as_str() {
                "Node" => Mode::Node,
                "RBAC" => Mode::Rbac,
                "AlwaysAllow" => Mode::AlwaysAllow,
                "AlwaysDeny" => Mode::AlwaysDeny,
                "Webhook" => Mode::Webhook(Box::new(self.webhook_settings(file)?)),
                "ABAC" => bail!("--authorization-mode: ABAC is not supported"),
                _ => bail!("authorization-mode {name:?} is not a valid mode"),
            });
        }
        Ok(Some(modes))
    }

    fn webhook_settings(&self, file: Option<&Path>) -> Result<WebhookSettings> {
        let file = file.context("authorization-mode Webhook's authorization config file not passed")?;
        let client = webhook(file);
        Ok(WebhookSettings {
            name: "default".to_owned(),
            client: client
                .map_err(|why| anyhow!("--authorization-webhook-config-file {}: {why}", file.display()))?,
            version: self.authorization_webhook_version.clone(),
            timeout: WEBHOOK_TIMEOUT,
            authorized: self.authorization_webhook_cache_authorized_ttl,
            unauthorized: self.authorization_webhook_cache_unauthorized_ttl,
            denies_on_failure: false,
            conditions: Conditions::default(),
        })
    }
}

fn read(file: &Path, option: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("{option}: read {}", file.display()))
}

/// The client of a kubeconfig, whose files may be relative to its folder.
fn webhook(file: &Path) -> Result<WebhookClient, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let dir = file.parent().unwrap_or(Path::new(""));
    kubeconfig::client(&text, &|path| fs::read(dir.join(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn access(dir: &Path, flags: &[&str]) -> Result<Access> {
        let flags: Vec<String> =
            flags.iter().map(|flag| flag.replace("DIR", &dir.display().to_string())).collect();
        let all = ["proa", "server"].into_iter().map(str::to_owned).chain(flags);
        match Cli::try_parse_from(all)?.command {
            Command::Server(server) => {
                let again = ["proa", "server"].into_iter().map(str::to_owned);
                let again = Cli::try_parse_from(again.chain(server.access.to_args()))?;
                let Command::Server(again) = again.command else { bail!("another command") };
                assert_eq!(format!("{:?}", again.access), format!("{:?}", server.access));
                server.access.access("https://own")
            }
            _ => bail!("another command"),
        }
    }

    #[test]
    fn files_and_flags_are_one_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write(
            "authn",
            "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, \
             anonymous: {enabled: true, conditions: [{path: /livez}]}}",
        );
        write(
            "hook",
            "{current-context: c, contexts: [{name: c, context: {cluster: c}}], \
             clusters: [{name: c, cluster: {server: 'https://h/a'}}]}",
        );
        let usual = access(dir.path(), &[]).unwrap();
        assert!(usual.authorizers.is_none() && usual.anonymous == Anonymous::Everywhere);
        let configured = access(dir.path(), &["--authentication-config", "DIR/authn"]).unwrap();
        assert_eq!(configured.anonymous, Anonymous::Paths(vec!["/livez".to_owned()]));
        let open = access(dir.path(), &["--authorization-mode=AlwaysAllow"]).unwrap();
        assert_eq!(open.anonymous, Anonymous::Nowhere, "who may do everything is known at least");
        let oidc = ["--oidc-issuer-url", "https://issuer", "--oidc-client-id", "me"];
        assert_eq!(access(dir.path(), &oidc).unwrap().issuers.len(), 1);
        let hooked =
            ["--authorization-mode=Node,Webhook,RBAC", "--authorization-webhook-config-file", "DIR/hook"];
        let modes = access(dir.path(), &hooked).unwrap().authorizers.unwrap();
        assert!(matches!(modes.as_slice(), [Mode::Node, Mode::Webhook(_), Mode::Rbac]));
        for (want, flags) in [
            ("--oidc-client-id", &["--oidc-issuer-url", "https://issuer"][..]),
            ("URL scheme must be https", &["--oidc-issuer-url=http://i", "--oidc-client-id=me"]),
            ("jwt[0].issuer.url", &["--oidc-issuer-url=https://own", "--oidc-client-id=me"]),
            ("ES512", &[&oidc[..], &["--oidc-signing-algs=RS256,ES512"]].concat()),
            ("cannot be used with", &[&oidc[..], &["--authentication-config", "DIR/authn"]].concat()),
            ("--anonymous-auth", &["--authentication-config=DIR/authn", "--anonymous-auth=false"]),
            ("without mode Webhook", &["--authorization-webhook-config-file", "DIR/hook"]),
            ("config file not passed", &["--authorization-mode=Webhook"]),
            ("ABAC is not supported", &["--authorization-mode=ABAC"]),
            ("--authorization-config", &["--authorization-config", "DIR/none"]),
        ] {
            let error = access(dir.path(), flags).err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(error.contains(want), "{want}: {error}");
        }
    }
}
