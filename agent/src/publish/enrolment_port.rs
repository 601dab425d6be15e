//! A request → the enrolment port's response, over one TLS connection.

use super::tls::pinned_config;
use crate::identity::{Asked, Port};
use lapwing_shared::enrolment::{
    BINDING_LABEL, Binding, EnrolmentRequest, EnrolmentResponse, MESSAGE_BYTES_LIMIT, REQUEST_BYTES_LIMIT, frame_length,
};
use rustls::pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time for the whole conversation.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends the request that `make` creates for the connection. The error says why there is no response.
pub(crate) fn ask(port: &Port, make: &dyn Fn(&Binding) -> EnrolmentRequest) -> Asked {
    let text = |error: io::Error| error.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, converse(port, make)).await });
    let response = asked.map_err(|_| format!("no response within {} s", PATIENCE.as_secs()))?.map_err(text)?;
    EnrolmentResponse::decode(&response).map_err(|error| error.to_string())
}

async fn converse(port: &Port, make: &dyn Fn(&Binding) -> EnrolmentRequest) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "invalid host name in the token");
    let host = port.address.rsplit_once(':').map_or("", |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| invalid())?;
    let config = pinned_config(port).map_err(io::Error::other)?;
    let stream = TcpStream::connect(&port.address).await?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    let binding =
        connection.export_keying_material(Binding::default(), BINDING_LABEL, None).map_err(io::Error::other)?;
    let mut room = [0; REQUEST_BYTES_LIMIT];
    let request = make(&binding);
    let request = request.encode(&mut room).map_err(io::Error::other)?;
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, "the response is too long");
    let mut response = vec![0; frame_length(head, MESSAGE_BYTES_LIMIT).ok_or_else(too_long)?];
    stream.read_exact(&mut response).await?;
    Ok(response)
}
