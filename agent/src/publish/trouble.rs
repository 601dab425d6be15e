//! Ended connections → a line for the log that says what to do.

use super::mqtt::decode::Goodbye;
use super::mqtt::reason::{self, describe};
use super::mqtt::socket::Ended;
use lapwing_shared::messages::broker_url::BrokerUrl;

/// One line; never shows the URL's password. `name` is the agent's.
pub(super) fn explain(ended: &Ended, url: &BrokerUrl, name: &str) -> String {
    match ended {
        Ended::Unreachable(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {url}: is the broker running, and is the port correct?")
        }
        Ended::Unreachable(error) | Ended::Failed(error) => format!("{url}: {error}"),
        Ended::Timeout => {
            format!("no answer from {url}: does DNS resolve the name, and does a firewall block the connection?")
        }
        #[cfg(feature = "tls")]
        Ended::Tls(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => tls(error),
            None => format!("{url} ended the TLS handshake ({error}): is this its TLS port?"),
        },
        Ended::Refused(goodbye) => refused(goodbye, name),
        Ended::Disconnected(goodbye) => disconnected(goodbye, name),
        Ended::Closed => format!("{url} closed the connection"),
        Ended::Protocol(error) => {
            format!("the broker at {url} violates the protocol: {error}; is this a broker for MQTT 5?")
        }
        Ended::Silent(ms) => format!("no packet from {url} for {} s: is the network up?", ms / 1000),
        Ended::Unanswered(ms) => format!("the broker at {url} did not answer a request for {} s", ms / 1000),
        Ended::NewIdentity => "connecting with the new certificate".to_owned(),
        Ended::Unread(actions) => format!("the broker at {url} reads no packets: {actions} wait"),
    }
}

/// Logs why a connection ended or failed, and the pause before the next one. The agent itself ends one to use its new
/// certificate.
pub(super) fn log(ended: &Ended, reason: &str, wait_ms: u64) {
    if is_planned(ended) {
        tracing::info!(wait_ms, "{reason}");
    } else {
        tracing::warn!(%reason, wait_ms, "no connection to the broker");
    }
}

const fn is_planned(ended: &Ended) -> bool {
    matches!(ended, Ended::NewIdentity)
}

/// A hint for the case that the broker ends one connection after the other.
pub(super) fn hint(short_lived: u32, name: &str) -> String {
    format!(
        "; the broker ended {short_lived} connections in a row soon after it accepted them: another agent may have the \
         name {name}; set mqtt.agent to a different name on each gateway"
    )
}

fn refused(goodbye: &Goodbye, name: &str) -> String {
    let reason = describe(goodbye.reason);
    match goodbye.reason {
        reason::BAD_LOGIN | reason::NOT_AUTHORIZED => {
            format!(
                "the broker rejected the login ({reason}): check user and password in mqtt://USER:PASSWORD@HOST, or, for \
                 an enrolled agent, whether the trainer has revoked or replaced it"
            )
        }
        reason::CLIENT_IDENTIFIER => {
            format!("the broker rejected the agent's name {name} ({reason}): choose another one with --agent")
        }
        reason::UNSUPPORTED_VERSION => {
            format!("the broker does not support MQTT 5 ({reason}): use one that does")
        }
        _ => format!("the broker rejected the connection ({reason}){}", details(goodbye)),
    }
}

fn disconnected(goodbye: &Goodbye, name: &str) -> String {
    let next = match goodbye.reason {
        reason::SESSION_TAKEN_OVER => format!(
            ": another client connected with the name {name}; set mqtt.agent to a different name on each gateway"
        ),
        reason::NOT_AUTHORIZED => {
            ": check user, password and access list at the broker, and whether the agent was revoked".to_owned()
        }
        _ => details(goodbye),
    };
    format!("the broker ended the connection ({}){next}", describe(goodbye.reason))
}

fn details(goodbye: &Goodbye) -> String {
    let mut text = String::new();
    if let Some(own) = &goodbye.text {
        text += &format!(": {own:?}");
    }
    if matches!(goodbye.reason, reason::USE_ANOTHER_SERVER | reason::SERVER_MOVED) {
        // Followed by a person only: whoever controls the connection could name any server.
        text += match &goodbye.reference {
            Some(reference) => format!(": it names the server {reference:?}; if you trust it, set mqtt.url"),
            None => ": set mqtt.url to the new server".to_owned(),
        }
        .as_str();
    }
    text
}

/// Whether the broker rejected the agent's certificate because it has expired.
#[cfg(feature = "tls")]
pub(super) fn is_certificate_expired(ended: &Ended) -> bool {
    let (Ended::Tls(error) | Ended::Failed(error)) = ended else { return false };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner == Some(&rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired))
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
            "ca-file must contain the certificate of the authority that issued the broker's; without ca-file, the \
             system must trust that authority"
        }
        InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "renew the broker's certificate; if it has not expired, set this gateway's clock"
        }
        InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => "set this gateway's clock",
        InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "use a host name in the broker's URL that its certificate contains"
        }
        InvalidMessage(_) => "the broker does not use TLS on this port: use its TLS port, or mqtt://",
        _ => return format!("TLS with the broker failed: {error}"),
    };
    format!("TLS with the broker failed: {error}: {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ended: &Ended) -> String {
        explain(ended, &"mqtt://me:sesame@broker".parse().unwrap(), "gw-1")
    }

    #[test]
    fn every_reason_code_is_named_with_what_to_do() {
        let goodbye = |reason| Goodbye { reason, ..Goodbye::default() };
        for (code, refused, disconnected) in [
            (0x80, "unspecified error, 0x80", "unspecified error, 0x80"),
            (0x84, "does not support MQTT 5", "unsupported"),
            (0x85, "--agent", "client identifier"),
            (0x86, "user and password", "bad user name"),
            (0x87, "user and password", "access list"),
            (0x88, "server unavailable", "server unavailable"),
            (0x89, "server busy", "server busy"),
            (0x8b, "shutting down", "shutting down"),
            (0x8d, "keep alive timeout", "keep alive timeout"),
            (0x8e, "session taken over", "another client connected with the name gw-1"),
            (0x93, "receive maximum exceeded", "receive maximum exceeded"),
            (0x95, "packet too large", "packet too large"),
            (0x97, "quota exceeded", "quota exceeded"),
            (0x9c, "set mqtt.url", "set mqtt.url"),
            (0x9d, "set mqtt.url", "set mqtt.url"),
            (0x9f, "connection rate exceeded", "connection rate exceeded"),
            (0xff, "unknown reason, 0xff", "unknown reason, 0xff"),
        ] {
            let shown = text(&Ended::Refused(goodbye(code)));
            assert!(shown.contains(refused), "{code:#x}: {shown}");
            let shown = text(&Ended::Disconnected(goodbye(code)));
            assert!(shown.contains(disconnected) && !shown.contains("sesame"), "{code:#x}: {shown}");
        }
    }

    #[test]
    fn only_a_connection_with_a_new_certificate_is_planned() {
        assert!(is_planned(&Ended::NewIdentity) && !is_planned(&Ended::Closed));
        assert_eq!(text(&Ended::NewIdentity), "connecting with the new certificate");
    }

    #[test]
    fn the_server_that_a_broker_names_is_shown_and_quoted() {
        let reference = Some("other:1883\n".to_owned());
        let shown = text(&Ended::Disconnected(Goodbye { reason: reason::SERVER_MOVED, text: None, reference }));
        assert!(shown.contains(r#""other:1883\n""#), "{shown}");
    }
}
