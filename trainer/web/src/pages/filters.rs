//! Filters of the templates.

#![expect(unreachable_pub, reason = "what askama generates is public")]

use askama::filters::Safe;
use lapwing_common::format::count;
use std::fmt::Display;

/// Text → HTML, in which what stands between backticks is code. Everything else is escaped.
#[askama::filter_fn]
pub(super) fn code(text: impl Display, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    let mut html = String::new();
    for (number, part) in text.to_string().split('`').enumerate() {
        let part = askama::filters::escape(part, askama::filters::Html)?;
        html += &if number % 2 == 1 { format!("<code>{part}</code>") } else { part.to_string() };
    }
    Ok(Safe(html))
}

/// A number with its digits in groups of three.
#[askama::filter_fn]
pub(super) fn grouped(number: &u64, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(count(*number))
}

#[cfg(test)]
mod tests {
    use super::super::filters;
    use askama::Template;

    #[derive(Template)]
    #[template(source = "{{ text|code }}", ext = "html")]
    struct Line {
        text: &'static str,
    }

    #[test]
    fn text_between_backticks_is_code_and_all_of_it_is_escaped() {
        let shown = |text| Line { text }.render().unwrap();
        assert_eq!(shown("run `a <b>` & `c`."), "run <code>a &#60;b&#62;</code> &#38; <code>c</code>.");
        assert_eq!(shown("<i> ` x"), "&#60;i&#62; <code> x</code>");
    }
}
