//! Lives and numbers of sessions, tokens and links.

/// A session ends after this time without a request, seconds.
pub const IDLE_S: u64 = 12 * 3_600;
/// A session ends after this time, seconds.
pub const SESSION_S: u64 = 7 * 86_400;
/// The last use of a session or a token is stored at most once in this time, seconds.
pub const USED_STEP_S: u64 = 60;
/// A link is valid for this time, seconds.
pub const LINK_S: u64 = 3_600;
/// Longest life of a token, seconds.
pub const MAX_TOKEN_S: u64 = 2 * 365 * 86_400;
/// People at most.
pub const MAX_PEOPLE: u32 = 1_000;
/// Sessions of a person at most; the next one ends the one that was used least recently.
pub const MAX_SESSIONS: u32 = 20;
/// Tokens of a person at most.
pub const MAX_TOKENS: u32 = 20;

/// Whether a session still counts. After the clock was set back, it lasts until its end by its creation.
pub const fn is_live(created_s: u64, used_s: u64, now_s: u64) -> bool {
    now_s.saturating_sub(created_s) < SESSION_S && now_s.saturating_sub(used_s) < IDLE_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_idle_or_old() {
        assert!(is_live(100, 100, 100) && is_live(100, 100, 50));
        assert!(is_live(0, 0, IDLE_S - 1) && !is_live(0, 0, IDLE_S));
        assert!(is_live(0, SESSION_S - 1, SESSION_S - 1) && !is_live(0, SESSION_S, SESSION_S));
    }
}
