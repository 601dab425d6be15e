//! Numbers of a gate → texts.

/// A count and what it refers to; `None` if there is nothing to refer to.
pub fn share(count: f64, of: f64) -> Option<String> {
    (of != 0.0).then(|| format!("{} / {}", number(count), number(of)))
}

/// A count without decimals, any other number with at most three.
pub fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_no_decimals() {
        assert_eq!(share(3.0, 3.833_333).as_deref(), Some("3 / 3.833"));
        assert_eq!((share(0.0, 100.0).as_deref(), share(0.0, 0.0)), (Some("0 / 100"), None));
        assert_eq!((number(0.2), number(1e-9), number(100.0)), ("0.2".into(), "0".into(), "100".into()));
    }
}
