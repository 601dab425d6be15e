//! Arbitrary bytes as a token, or as a message of the enrolment port → a value that round-trips, or an error.
#![no_main]

use lapwing_shared::enrolment::{
    CertificateRequest, EnrolmentRequest, EnrolmentResponse, MESSAGE_BYTES_LIMIT, REQUEST_BYTES_LIMIT, Token,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = EnrolmentRequest::decode(input) {
        let mut room = vec![0; REQUEST_BYTES_LIMIT];
        let bytes = request.encode(&mut room).expect("a decoded request encodes");
        assert_eq!(EnrolmentRequest::decode(bytes).as_ref(), Ok(&request));
        let _ = CertificateRequest::parse(&request.certificate_request);
    }
    let _ = CertificateRequest::parse(input);
    if let Ok(response) = EnrolmentResponse::decode(input) {
        let mut room = vec![0; MESSAGE_BYTES_LIMIT];
        let bytes = response.encode(&mut room).expect("a decoded response encodes");
        assert_eq!(EnrolmentResponse::decode(bytes).as_ref(), Ok(&response));
    }
    if let Some(token) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Token>().ok()) {
        assert_eq!(token.text().as_bytes(), input, "a token has one spelling");
    }
});
