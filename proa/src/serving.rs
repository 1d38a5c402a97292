//! How requests are limited and recorded: options of the API server, named as upstream's.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use proa_assembly::{AuditLog, Limits, LogFile, Serving};
use std::{path::PathBuf, time::Duration};

/// The options.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// File with an audit.k8s.io/v1 Policy: which requests are audited, and how much of them.
    #[arg(long, requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// File that audit events are written to, one a line; - is standard output.
    #[arg(long, requires = "audit_policy_file")]
    audit_log_path: Option<PathBuf>,
    /// Form of the events.
    #[arg(long, default_value = "json")]
    audit_log_format: Format,
    /// Megabytes of an audit log before it is rotated; 0: it never is.
    #[arg(long, default_value_t = 100)]
    audit_log_maxsize: u32,
    /// Rotated audit logs that are kept; 0: all.
    #[arg(long, default_value_t = 100)]
    audit_log_maxbackup: u32,
    /// Days that rotated audit logs are kept; 0: for ever.
    #[arg(long, default_value_t = 366)]
    audit_log_maxage: u32,
    /// Compress rotated audit logs.
    #[arg(long)]
    audit_log_compress: bool,
    /// Reading requests at once; the sum with the next is shared out by priority levels.
    #[arg(long, default_value_t = 400)]
    max_requests_inflight: u32,
    /// Writing requests at once.
    #[arg(long, default_value_t = 200)]
    max_mutating_requests_inflight: u32,
    /// How long the server goes on to serve after it was asked to end, while /readyz says that it is not ready; such as
    /// 5s.
    #[arg(long, default_value = "0s", value_parser = crate::cli::duration)]
    pub(crate) shutdown_delay_duration: Duration,
}

/// Form of audit events.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A JSON object a line.
    Json,
}

impl Options {
    /// Opens the audit log. Must be called within a runtime.
    ///
    /// # Errors
    /// The policy cannot be read or is none, the log cannot be opened, or no request would ever be answered.
    pub(crate) fn start(&self) -> Result<Serving> {
        if self.max_requests_inflight == 0 && self.max_mutating_requests_inflight == 0 {
            bail!(
                "--max-requests-inflight and --max-mutating-requests-inflight are both 0: nothing could be answered"
            );
        }
        let limits = Limits {
            read_in_flight: self.max_requests_inflight as usize,
            write_in_flight: self.max_mutating_requests_inflight as usize,
            ..Limits::default()
        };
        let (Some(policy), Some(path)) = (&self.audit_policy_file, &self.audit_log_path) else {
            return Ok(Serving { limits, ..Serving::default() });
        };
        let shown = policy.display();
        let text = std::fs::read_to_string(policy).with_context(|| format!("--audit-policy-file {shown}"))?;
        let log = LogFile {
            path: path.clone(),
            max_size: u64::from(self.audit_log_maxsize) << 20,
            max_backups: self.audit_log_maxbackup as usize,
            max_age: self.audit_log_maxage,
            compress: self.audit_log_compress,
        };
        let audit = AuditLog::start(&text, log);
        let audit = audit
            .with_context(|| format!("--audit-policy-file {shown}, --audit-log-path {}", path.display()))?;
        Ok(Serving { limits, audit: Some(audit), ..Serving::default() })
    }

    /// The same options for another process.
    pub(crate) fn to_args(&self) -> Vec<String> {
        // The only form, and what the other process takes when nothing is said.
        let Format::Json = self.audit_log_format;
        let path =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
        let log = |file: &PathBuf| if file.as_os_str() == "-" { "-".to_owned() } else { path(file) };
        let mut args: Vec<String> = [
            ("--audit-log-maxsize", self.audit_log_maxsize.to_string()),
            ("--audit-log-maxbackup", self.audit_log_maxbackup.to_string()),
            ("--audit-log-maxage", self.audit_log_maxage.to_string()),
            ("--max-requests-inflight", self.max_requests_inflight.to_string()),
            ("--max-mutating-requests-inflight", self.max_mutating_requests_inflight.to_string()),
            ("--shutdown-delay-duration", format!("{}ms", self.shutdown_delay_duration.as_millis())),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        for (flag, value) in [
            ("--audit-policy-file", self.audit_policy_file.as_ref().map(path)),
            ("--audit-log-path", self.audit_log_path.as_ref().map(log)),
        ] {
            args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        args.extend(self.audit_log_compress.then(|| "--audit-log-compress".to_owned()));
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Just {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_reach_another_process_as_they_are() {
        for given in [
            vec!["x"],
            vec!["x", "--audit-policy-file", "/p", "--audit-log-path", "-", "--audit-log-compress"],
            vec!["x", "--max-requests-inflight", "7", "--shutdown-delay-duration", "1500ms"],
        ] {
            let options = Just::parse_from(given).options;
            let again = Just::parse_from([vec!["x".to_owned()], options.to_args()].concat()).options;
            assert_eq!(format!("{options:?}"), format!("{again:?}"));
        }
        assert!(Just::try_parse_from(["x", "--audit-log-path", "-"]).is_err(), "without a policy");
        assert!(Just::try_parse_from(["x", "--audit-log-format", "legacy"]).is_err());
    }
}
