//! The decision about a request: to clear it up, to approve it, or to answer it. Pure but for the randomness in signatures.

pub mod approve;
pub mod clean;
pub mod sign;

use crate::{
    build::Authority,
    observe::{Observed, RequestView},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use proa_kit::{Plan, Timestamp};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
    prelude::FromDer,
};

/// Signs clients of the API.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs nodes as clients of the API.
pub const NODE_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs nodes as servers.
pub const NODE_SERVING: &str = "kubernetes.io/kubelet-serving";
/// All that this operator signs for.
pub const SIGNERS: [&str; 3] = [CLIENT, NODE_CLIENT, NODE_SERVING];

/// The plan for one request.
pub fn plan(
    request: &RequestView,
    observed: &Observed,
    authority: Option<&Authority>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    match clean::due(request, now) {
        Some(due) if due <= now => {
            plan.push(clean::delete(request));
            return plan;
        }
        Some(due) => plan.look_again(proa_kit::clock::elapsed(now, due)),
        None => {}
    }
    if is_open(request) {
        approve::plan(request, *observed, &mut plan, now);
    } else if request.is("Approved") && !request.is("Failed") && request.status.certificate.is_empty() {
        sign::plan(request, authority, &mut plan, now);
    }
    plan
}

/// Whether nobody has decided about it.
pub fn is_open(request: &RequestView) -> bool {
    request.status.certificate.is_empty() && !request.is("Approved") && !request.is("Denied")
}

/// What a request's own text asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// DER of the request.
    pub der: Vec<u8>,
    /// Common name of the subject.
    pub common_name: String,
    /// Organizations of the subject.
    pub organizations: Vec<String>,
    /// Kinds of names: DNS, email, IP and URI.
    pub names: [bool; 4],
}

/// Reads a request.
///
/// # Errors
/// It is no request in PEM.
pub fn parse(request: &RequestView) -> Result<Asked, String> {
    let pem = BASE64_STANDARD.decode(request.spec.request.as_bytes()).map_err(|error| error.to_string())?;
    let (_, block) = parse_x509_pem(&pem).map_err(|error| error.to_string())?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err("PEM block type must be CERTIFICATE REQUEST".to_owned());
    }
    let (_, parsed) =
        X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
    let subject = &parsed.certification_request_info.subject;
    // The subject goes into the certificate as it is: whatever a reader may see in it has to be seen here.
    let mut common_names = subject.iter_common_name();
    let common_name = common_names.next().map_or(Ok(""), x509_parser::x509::AttributeTypeAndValue::as_str);
    if common_names.next().is_some() {
        return Err("the subject has several common names".to_owned());
    }
    let organizations = subject.iter_organization().map(|name| name.as_str().map(str::to_owned));
    let unreadable = |error: X509Error| format!("the subject cannot be read: {error}");
    let mut asked = Asked {
        common_name: common_name.map_err(unreadable)?.to_owned(),
        organizations: organizations.collect::<Result<_, _>>().map_err(unreadable)?,
        ..Asked::default()
    };
    for name in names(&parsed) {
        match name {
            GeneralName::DNSName(_) => asked.names[0] = true,
            GeneralName::RFC822Name(_) => asked.names[1] = true,
            GeneralName::IPAddress(_) => asked.names[2] = true,
            GeneralName::URI(_) => asked.names[3] = true,
            _ => {}
        }
    }
    asked.der.clone_from(&block.contents);
    Ok(asked)
}

/// The further names that a request asks for.
pub(crate) fn names<'a>(
    request: &'a X509CertificationRequest<'a>,
) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let attributes = request.certification_request_info.iter_attributes();
    let extensions = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(asked) => Some(&asked.extensions),
        _ => None,
    });
    extensions
        .flatten()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
}
