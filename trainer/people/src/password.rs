//! Passwords: what is accepted, and what is stored of them.
//!
//! Stored is a PHC string of Argon2id. Its parameters are the first of the OWASP Password Storage Cheat Sheet (19 MiB, two
//! passes, one lane); RFC 9106 describes the function. They are in the string, so that they can be raised later.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// Memory, KiB (OWASP).
const MEMORY_KIB: u32 = 19 * 1_024;
/// Passes (OWASP).
const PASSES: u32 = 2;
/// Lanes (OWASP).
const LANES: u32 = 1;
/// Length of a salt (RFC 9106, section 3.1).
pub const SALT_BYTES: usize = 16;
/// Fewest characters.
const CHARACTERS: usize = 12;
/// Most bytes: a limit on the work, far above any password.
const BYTES: usize = 1_024;
/// What a password is.
pub const PASSWORD_RULE: &str = "at least 12 characters; any characters, no other rules";

/// Compared with when a name is unknown, so that the answer takes as long: no password has this hash.
const UNKNOWN: &str = "$argon2id$v=19$m=19456,t=2,p=1$bGFwd2luZyB1bmtub3du$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password of {0} characters, expected {PASSWORD_RULE}")]
    Short(usize),
    /// Too long.
    #[error("a password of {0} bytes, expected at most {BYTES}")]
    Long(usize),
    /// It is the name.
    #[error("the password is the name; choose another one")]
    Name,
    /// The function failed, e.g. for want of memory.
    #[error("cannot hash the password: {0}")]
    Hash(String),
}

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword(pub String);

impl std::fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashedPassword")
    }
}

/// Checks a new password of a person.
///
/// # Errors
/// [`PasswordError`] with the rule that it breaks.
pub fn check_password(name: &str, password: &str) -> Result<(), PasswordError> {
    let characters = password.chars().count();
    match password.len() {
        bytes if bytes > BYTES => Err(PasswordError::Long(bytes)),
        _ if characters < CHARACTERS => Err(PasswordError::Short(characters)),
        _ if password.eq_ignore_ascii_case(name) => Err(PasswordError::Name),
        _ => Ok(()),
    }
}

/// Checks a new password, and returns what to store of it.
///
/// # Errors
/// As [`check_password`], or when the function fails.
pub fn hash_password(name: &str, password: &str, salt: [u8; SALT_BYTES]) -> Result<HashedPassword, PasswordError> {
    check_password(name, password)?;
    let failed = |error: &dyn std::fmt::Display| PasswordError::Hash(error.to_string());
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| failed(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash = argon2.hash_password_customized(password.as_bytes(), &salt, None, None, params);
    Ok(HashedPassword(hash.map_err(|error| failed(&error))?.to_string()))
}

/// Whether a password is the stored one. Without a stored one it is not, after the same work. Needs 19 MiB.
pub fn verify(password: &str, stored: Option<&HashedPassword>) -> bool {
    // A longer one was never stored.
    let password = password.get(..BYTES).map_or(password, |_| "");
    let text = stored.map_or(UNKNOWN, |stored| stored.0.as_str());
    let Ok(hash) = PasswordHash::new(text) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && stored.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_length_and_name_are_rules() {
        assert!(check_password("ann", "aaaaaaaaaaaa").is_ok() && check_password("ann", &"ä".repeat(128)).is_ok());
        assert_eq!(check_password("ann", "ääääääääääa"), Err(PasswordError::Short(11)));
        assert_eq!(check_password("ann", &"a".repeat(1_025)), Err(PasswordError::Long(1_025)));
        assert_eq!(check_password("ann@example.org", "Ann@example.org"), Err(PasswordError::Name));
    }

    #[test]
    fn a_stored_password_is_argon2id_with_the_parameters_of_owasp() {
        let stored = hash_password("ann", "correct horse", [7; SALT_BYTES]).unwrap();
        assert!(stored.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.0);
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct horsf", Some(&stored)) && !verify("", Some(&stored)));
        let other = hash_password("ann", "correct horse", [8; SALT_BYTES]).unwrap();
        assert_ne!(stored.0, other.0);
        assert!(!format!("{stored:?}").contains("argon2id$"));
    }

    #[test]
    fn an_unknown_name_costs_a_whole_computation_and_a_damaged_hash_is_refused() {
        let hash = PasswordHash::new(UNKNOWN).unwrap();
        let stored = hash_password("ann", "correct horse", [7; SALT_BYTES]).unwrap();
        let known = PasswordHash::new(&stored.0).unwrap();
        assert_eq!((hash.algorithm, hash.params), (known.algorithm, known.params));
        assert_eq!(hash.hash.map(|output| output.len()), known.hash.map(|output| output.len()));
        assert!(!verify("correct horse", None) && !verify("", None));
        assert!(!verify("x", Some(&HashedPassword("x".into()))));
    }
}
