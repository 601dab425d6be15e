//! The network thread's errors at its start.

/// Why the network thread cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The runtime cannot be started.
    #[error("cannot start the network runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// The build has no TLS.
    #[error("this build has no TLS: use mqtt://, or a build with the feature `tls`")]
    NoTls,
    /// No usable certificates.
    #[cfg(feature = "tls")]
    #[error("invalid certificates for mqtts://: {0}")]
    Certificates(String),
    /// Certificate or key of another authority.
    #[cfg(feature = "tls")]
    #[error("{0}: expected {1}, PEM")]
    Own(&'static str, &'static str),
    /// The client can check names and IPv4 addresses only.
    #[error("mqtts:// does not support IPv6 addresses: use a host name that the broker's certificate contains")]
    Address,
}
