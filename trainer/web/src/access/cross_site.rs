//! Headers of a request → whether a page of another site may have sent it.

use axum::http::{HeaderMap, HeaderName, Method, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request says about where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A page of this server, the user, or a method that changes nothing.
    Own,
    /// Nothing: no browser of the last years sent it.
    Unknown,
    /// A page of another site.
    Foreign,
}

/// Whether a method changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The only value of a header; `Err` if there are several, or it is not text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() { Err(()) } else { value.to_str().map(Some).map_err(drop) }
}

/// By `Sec-Fetch-Site`, which browsers send and pages cannot set, otherwise by `Origin`, which must name the host of the
/// request.
pub(crate) fn claim(method: &Method, headers: &HeaderMap) -> Claim {
    if is_safe(method) {
        return Claim::Own;
    }
    match (only(headers, &FETCH_SITE), only(headers, &header::ORIGIN), only(headers, &header::HOST)) {
        (Ok(Some("same-origin" | "none")), ..) => Claim::Own,
        (Ok(None), Ok(Some(origin)), Ok(Some(host))) if is_origin_of(origin, host) => Claim::Own,
        (Ok(None), Ok(None), _) => Claim::Unknown,
        _ => Claim::Foreign,
    }
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| !authority.is_empty() && authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, lines: &[(&'static str, &'static str)]) -> Claim {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        claim(method, &headers)
    }

    #[test]
    fn a_request_that_changes_something_says_that_it_comes_from_here() {
        let host = ("host", "fleet.example:8480");
        let post = |lines: &[(&'static str, &'static str)]| of(&Method::POST, &[&[host], lines].concat());
        for own in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            &[("origin", "http://fleet.example:8480")],
            &[("origin", "https://FLEET.example:8480")],
        ] {
            assert_eq!(post(own), Claim::Own, "{own:?}");
        }
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://fleet.example:8480")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://fleet.example")],
            &[("origin", "http://fleet.example:8480.evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "fleet.example:8480")],
            &[("origin", "http://fleet.example:8480"), ("origin", "http://evil.example")],
        ] {
            assert_eq!(post(foreign), Claim::Foreign, "{foreign:?}");
        }
        assert_eq!(post(&[]), Claim::Unknown);
        for method in [Method::DELETE, Method::PUT, Method::PATCH] {
            assert_eq!(of(&method, &[host, ("sec-fetch-site", "cross-site")]), Claim::Foreign);
        }
        assert_eq!(of(&Method::GET, &[host, ("sec-fetch-site", "cross-site")]), Claim::Own);
    }
}
