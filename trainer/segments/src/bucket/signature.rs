//! A request to S3 → its headers with a signature (AWS Signature Version 4).

use lapwing_shared::release::digest::{Hex, sha256};
use sha2::{Digest, Sha256};

/// Block size of SHA-256.
const BLOCK: usize = 64;

/// Account that signs.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) key: String,
    pub(super) secret: String,
    /// Token of temporary credentials.
    pub(super) token: Option<String>,
    pub(super) region: String,
}

/// A request to sign.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Host, with the port unless it is the default one.
    pub(super) host: &'a str,
    /// Encoded path.
    pub(super) path: &'a str,
    /// Encoded parameters, ordered by name.
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

/// The headers of a request at `now_s`, besides `Host`.
pub(super) fn headers(request: &Request<'_>, credentials: &Credentials, now_s: u64) -> Vec<(&'static str, String)> {
    let (time, body) = (timestamp(now_s), Hex(&sha256(request.body)).to_string());
    let mut signed =
        vec![("host", request.host.to_owned()), ("x-amz-content-sha256", body.clone()), ("x-amz-date", time)];
    signed.extend(credentials.token.clone().map(|token| ("x-amz-security-token", token)));
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let Request { method, path, query, .. } = request;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body}");
    let (time, day) = (timestamp(now_s), timestamp(now_s).chars().take(8).collect::<String>());
    let scope = format!("{day}/{}/s3/aws4_request", credentials.region);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Hex(&sha256(canonical.as_bytes())));
    let mut key = hmac(format!("AWS4{}", credentials.secret).as_bytes(), day.as_bytes());
    for part in [credentials.region.as_bytes(), b"s3", b"aws4_request", to_sign.as_bytes()] {
        key = hmac(&key, part);
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credentials.key,
        Hex(&key)
    );
    signed.retain(|(name, _)| *name != "host");
    signed.push(("authorization", authorization));
    signed
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    let digest = sha256(key);
    let key = if key.len() > BLOCK { digest.as_slice() } else { key };
    block.iter_mut().zip(key).for_each(|(octet, key)| *octet = *key);
    let inner = Sha256::new().chain_update(block.map(|octet| octet ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|octet| octet ^ 0x5c)).chain_update(inner).finalize().into()
}

/// `YYYYMMDDTHHMMSSZ`.
fn timestamp(now_s: u64) -> String {
    let (days, second) = (now_s / 86_400, now_s % 86_400);
    // Days from 1 March 0000, in eras of 400 years (proleptic Gregorian calendar).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = (if month < 10 { month + 3 } else { month - 9 }, year + era * 400);
    let year = year + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_gregorian_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(seconds), expected);
        }
    }

    #[test]
    fn codes_are_those_of_rfc_4231() {
        let code = hmac(&[0x0b; 20], b"Hi There");
        assert_eq!(Hex(&code).to_string(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let code = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(Hex(&code).to_string(), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    /// Example of a list request in the documentation of Amazon S3, "Authenticating Requests: Using the Authorization
    /// Header".
    #[test]
    fn a_signature_is_the_documented_one() {
        let credentials = Credentials {
            key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
            region: "us-east-1".into(),
        };
        let request = Request {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "max-keys=2&prefix=J",
            body: b"",
        };
        let headers = headers(&request, &credentials, 1_369_353_600);
        let authorization = &headers.last().unwrap().1;
        let expected = "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(expected), "{authorization}");
    }
}
