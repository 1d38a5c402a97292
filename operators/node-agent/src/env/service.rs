//! Variables about services.
//!
//! Pure. Upstream: `pkg/kubelet/envvars/envvars.go`.

use k8s_openapi::api::core::v1::Service;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// `NAME_SERVICE_HOST` and its siblings, for every service that has an address.
pub(super) fn variables(services: &[Arc<Service>]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for service in services {
        add(&mut all, service);
    }
    all
}

fn add(all: &mut BTreeMap<String, String>, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    if matches!(address, "" | "None") {
        return;
    }
    let prefix = variable(service.metadata.name.as_deref().unwrap_or_default());
    all.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let number = port.port;
        if index == 0 {
            all.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            all.insert(format!("{prefix}_SERVICE_PORT_{}", variable(name)), number.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{}", protocol.to_lowercase(), joined(address, number));
        if index == 0 {
            all.insert(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        all.insert(format!("{link}_PROTO"), protocol.to_lowercase());
        all.insert(format!("{link}_PORT"), number.to_string());
        all.insert(format!("{link}_ADDR"), address.to_owned());
        all.insert(link, url);
    }
}

fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn joined(address: &str, port: i32) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_of_services() {
        let services = [
            json!({"metadata": {"name": "foo-bar"}, "spec": {"clusterIP": "1.2.3.4", "ports": [
                {"port": 8080, "protocol": "TCP", "name": "u-d"}, {"port": 53, "protocol": "UDP"}]}}),
            json!({"metadata": {"name": "v6"}, "spec": {"clusterIP": "fd00::1", "ports": [{"port": 80}]}}),
            json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
            json!({"metadata": {"name": "outside"}, "spec": {"type": "ExternalName"}}),
        ];
        let services: Vec<Arc<Service>> =
            services.into_iter().map(|service| Arc::new(serde_json::from_value(service).unwrap())).collect();
        let got: Vec<String> = variables(&services).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            got,
            [
                "FOO_BAR_PORT=tcp://1.2.3.4:8080",
                "FOO_BAR_PORT_53_UDP=udp://1.2.3.4:53",
                "FOO_BAR_PORT_53_UDP_ADDR=1.2.3.4",
                "FOO_BAR_PORT_53_UDP_PORT=53",
                "FOO_BAR_PORT_53_UDP_PROTO=udp",
                "FOO_BAR_PORT_8080_TCP=tcp://1.2.3.4:8080",
                "FOO_BAR_PORT_8080_TCP_ADDR=1.2.3.4",
                "FOO_BAR_PORT_8080_TCP_PORT=8080",
                "FOO_BAR_PORT_8080_TCP_PROTO=tcp",
                "FOO_BAR_SERVICE_HOST=1.2.3.4",
                "FOO_BAR_SERVICE_PORT=8080",
                "FOO_BAR_SERVICE_PORT_U_D=8080",
                "V6_PORT=tcp://[fd00::1]:80",
                "V6_PORT_80_TCP=tcp://[fd00::1]:80",
                "V6_PORT_80_TCP_ADDR=fd00::1",
                "V6_PORT_80_TCP_PORT=80",
                "V6_PORT_80_TCP_PROTO=tcp",
                "V6_SERVICE_HOST=fd00::1",
                "V6_SERVICE_PORT=80",
            ]
        );
    }
}
