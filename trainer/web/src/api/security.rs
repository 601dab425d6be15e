//! How callers prove who they are, in the OpenAPI document.

use utoipa::Modify;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

/// How callers prove who they are.
pub(super) struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("lw_…").build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        for (name, cookie) in [("session", "__Host-lapwing"), ("session-without-tls", "lapwing-session")] {
            components.add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie))));
        }
    }
}
