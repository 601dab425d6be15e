//! A message that is too large for the broker → a smaller one, and the rest.

use lapwing_shared::messages::{Body, Message, Samples};

/// The part to send in place of the message, if it can be cut, and the body of a second message with the rest of its rows.
///
/// An alert loses its rows, which the trainer classifies it by; it says everything else without them. Samples are halved:
/// each half weighs as much as its share of the rows.
pub(super) fn cut(message: Message) -> (Option<Message>, Option<Body>) {
    let Message { run, number, sent_s, body } = message;
    let part = |body| Some(Message { run, number, sent_s, body });
    match body {
        Body::Alert(mut alert) if !alert.rows.is_empty() => {
            alert.rows.clear();
            (part(Body::Alert(alert)), None)
        }
        Body::Samples(samples) if samples.rows.len() > 1 => {
            let (first, second) = halves(&samples);
            (part(Body::Samples(first)), Some(Body::Samples(second)))
        }
        _ => (None, None),
    }
}

fn halves(samples: &Samples) -> (Samples, Samples) {
    let middle = samples.rows.len() / 2;
    let seen = u64::from(samples.flows_seen) * middle as u64 / samples.rows.len() as u64;
    let half =
        |rows: &[_], flows_seen| Samples { schema: samples.schema, flows_seen, rows: rows.iter().cloned().collect() };
    let (first, second) = samples.rows.split_at(middle);
    (half(first, seen as u32), half(second, samples.flows_seen - seen as u32))
}
