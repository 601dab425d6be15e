//! Why a connection to the broker failed → a line for the log that says what to do next.

use lapwing_shared::messages::broker_url::BrokerUrl;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;

/// One line, without the URL's password.
pub(super) fn explain(error: &ConnectionError, url: &BrokerUrl) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {url}: is the broker running, and is the port right?")
        }
        ConnectionError::Io(error) => format!("{url}: {error}"),
        ConnectionError::Timeout(_) => {
            format!("no answer from {url}: does something answer for its name, and does a firewall let us through?")
        }
        #[cfg(feature = "tls")]
        ConnectionError::Tls(rumqttc::TlsError::Io(error)) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => tls(error),
                None => format!("{url} ended the TLS handshake ({error}): is this its port for TLS?"),
            }
        }
        error => error.to_string(),
    }
}

fn refused(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            format!("the broker refuses us ({code:?}): check user and password in its URL, mqtt://USER:PASSWORD@HOST")
        }
        ConnectReturnCode::ClientIdentifierNotValid => {
            format!("the broker refuses the agent's name ({code:?}): give another one with --agent")
        }
        ConnectReturnCode::UnsupportedProtocolVersion => {
            format!("the broker does not speak MQTT 5 ({code:?}): use one that does")
        }
        code => format!("the broker refuses the connection ({code:?})"),
    }
}

#[cfg(feature = "tls")]
fn tls(error: &rustls::Error) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let next = match error {
        InvalidCertificate(UnknownIssuer) => {
            "ca-file must hold the certificate of the authority that issued the broker's; without ca-file the system \
             must trust it"
        }
        InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "renew the broker's certificate; where it is fresh, set this gateway's clock"
        }
        InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => "set this gateway's clock",
        InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "use a host name in the broker's URL that its certificate names"
        }
        InvalidMessage(_) => "this port does not speak TLS: use the broker's other port, or mqtt://",
        _ => return format!("TLS with the broker failed: {error}"),
    };
    format!("TLS with the broker failed: {error}: {next}")
}
