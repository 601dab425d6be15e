//! Session ↔ cookie.
//!
//! Over TLS its name begins with `__Host-`: a browser takes such a cookie only from this host, with `Secure`, and for every
//! path. On the plain loopback it has another name and no `Secure`, which some browsers need there.

use axum::http::{HeaderMap, header};
use lapwing_people::{SESSION_S, Secret};

const SECURE_NAME: &str = "__Host-lapwing";
const PLAIN_NAME: &str = "lapwing-session";

const fn name(is_secure: bool) -> &'static str {
    if is_secure { SECURE_NAME } else { PLAIN_NAME }
}

fn cookie(is_secure: bool, value: &str, age_s: u64) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}", name(is_secure))
}

/// `Set-Cookie` of a new session.
pub(crate) fn session_cookie(is_secure: bool, session: &Secret) -> String {
    cookie(is_secure, &session.text(), SESSION_S)
}

/// `Set-Cookie` that removes it.
pub(crate) fn ended_cookie(is_secure: bool) -> String {
    cookie(is_secure, "", 0)
}

/// The session of a request. Two cookies of the name count as no session: another page may have set one of them.
pub(super) fn session_of(headers: &HeaderMap, is_secure: bool) -> Option<Secret> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name(is_secure)).map(|(_, value)| value);
    let session = Secret::parse(values.next()?)?;
    values.next().is_none().then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(lines: &[String], is_secure: bool) -> Option<Secret> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        session_of(&headers, is_secure)
    }

    #[test]
    fn a_cookie_is_read_only_by_its_own_name_and_once() {
        let secret = Secret::new([0xab; 32]);
        let text = secret.text();
        let plain = format!("lapwing-session={text}");
        let secure = format!("__Host-lapwing={text}");
        assert_eq!(read(&[format!("a=b; {plain}")], false), Some(secret.clone()));
        assert_eq!(read(std::slice::from_ref(&secure), true), Some(secret));
        assert_eq!(read(std::slice::from_ref(&plain), true), None, "set over plain HTTP by someone else");
        assert_eq!(read(&[secure], false), None);
        assert_eq!(read(&[plain.clone(), plain.clone()], false), None);
        assert_eq!(read(&[format!("{plain}; {plain}")], false), None);
        for value in ["", "x", &text[1..], &format!("{text}0")] {
            assert_eq!(read(&[format!("lapwing-session={value}")], false), None);
        }
    }

    #[test]
    fn a_cookie_of_tls_is_bound_to_its_host() {
        let secret = Secret::new([1; 32]);
        let cookie = session_cookie(true, &secret);
        let attributes = "; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(cookie, format!("__Host-lapwing={}{attributes}", secret.text()));
        assert!(!cookie.contains("Domain") && !session_cookie(false, &secret).contains("Secure"));
        assert!(ended_cookie(true).starts_with("__Host-lapwing=; Path=/; Max-Age=0;"));
    }
}
