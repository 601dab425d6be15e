//! Settings of a broker → options of the MQTT client.

use super::{Outside, RECEIVE_MAXIMUM};
use crate::link::LinkError;
use lapwing_shared::messages::broker_url::BrokerUrl;
use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;

/// How long the broker keeps the session of a disconnected collector, seconds.
const SESSION_S: u32 = 24 * 3600;
/// Largest MQTT packet, bytes.
const PACKET_BYTES: u32 = 66 * 1024;

pub(super) fn options(outside: &Outside) -> Result<MqttOptions, LinkError> {
    let url: BrokerUrl = outside.url.parse()?;
    let mut options = MqttOptions::new(&outside.client, url.host.as_str(), url.port);
    options.set_keep_alive(Duration::from_secs(20));
    // A session of the same client that collected before has subscriptions.
    options.set_clean_start(!outside.collects);
    options.set_manual_acks(true);
    options.set_session_expiry_interval(Some(if outside.collects { SESSION_S } else { 0 }));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_max_packet_size(Some(PACKET_BYTES));
    if let Some((user, password)) = &url.login {
        options.set_credentials(user.as_str(), password.as_str());
    }
    if url.tls {
        options.set_transport(Transport::tls_with_config(tls_config(outside)?));
    }
    Ok(options)
}

fn tls_config(outside: &Outside) -> Result<TlsConfiguration, LinkError> {
    let source =
        outside.authority.as_ref().map_or("the system's certificate store".into(), |path| path.display().to_string());
    let invalid = |reason: String| LinkError::Certificates { path: source.clone(), reason };
    let mut roots = rustls::RootCertStore::empty();
    match &outside.authority {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| invalid(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
                roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(invalid("no certificate found".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}
