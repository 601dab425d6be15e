//! People who use the web page and the API → roles, passwords, sessions, tokens and limits on attempts.
//!
//! Nothing here reads a clock, random numbers or a store: they are arguments.
#![forbid(unsafe_code)]

mod name;
mod password;
mod role;
mod secret;
mod session;
mod throttle;

pub use name::{NAME_CHARS, PERSON_RULE, parse_person};
pub use password::{HashedPassword, PASSWORD_RULE, PasswordError, SALT_BYTES, check_password, hash_password, verify};
pub use role::{PERMISSIONS, Permission, Role};
pub use secret::{SECRET_BYTES, Secret, TOKEN_PREFIX};
pub use session::{IDLE_S, LINK_S, MAX_PEOPLE, MAX_SESSIONS, MAX_TOKEN_S, MAX_TOKENS, SESSION_S, USED_STEP_S, is_live};
pub use throttle::{ATTEMPTS, Throttle, WINDOW_S};
