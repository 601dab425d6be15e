//! Requests → responses over a socket; responses → check against the OpenAPI document.
#![allow(clippy::unwrap_used, missing_docs, reason = "test support; names say what it does")]

use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Sends a request; returns status, head in lower case, and body.
pub(crate) fn fetch(address: SocketAddr, method: &str, path: &str, host: &str, body: &str) -> (u16, String, String) {
    let (status, head, body) = send(address, &format!("{method} {path}"), &[("Host", host)], body);
    (status, head.to_ascii_lowercase(), body)
}

/// Sends a request with these headers; returns status, head and body.
pub(crate) fn send(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that rejects the request may close the connection early.
    let _ = stream.write_all(body.as_bytes());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// Sends a request; returns status and JSON body.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Json) {
    let (status, _, body) = fetch(address, method, path, &address.to_string(), body);
    (status, serde_json::from_str(&body).unwrap_or(Json::String(body)))
}

/// Checks a value against a schema of the document: types, references, required and unknown members, list items.
fn fits(document: &Json, schema: &Json, value: &Json, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).ok_or(format!("{at}: missing {reference}"))?;
        return fits(document, schema, value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => return Ok(()),
    };
    let is = |of: &str| match of {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    };
    if !types.iter().any(|of| is(of)) {
        return Err(format!("{at}: {value}, expected {types:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        value.get(name).ok_or(format!("{at}: {name} is missing"))?;
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, member) in members {
            let schema = properties.get(name).ok_or(format!("{at}: {name} is not documented"))?;
            fits(document, schema, member, &format!("{at}.{name}"))?;
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(document, &schema["items"], item, &format!("{at}[{index}]"))?;
    }
    Ok(())
}

pub fn documented(document: &Json, path: &str, method: &str, (status, body): &(u16, Json)) -> Result<(), String> {
    let pointer =
        format!("/paths/{}/{method}/responses/{status}/content/application~1json/schema", path.replace('/', "~1"));
    let schema = document.pointer(&pointer).ok_or(format!("{pointer} is not documented"))?;
    fits(document, schema, body, "body")
}
