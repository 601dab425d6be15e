//! A decoded message → the little that the store and its queues need of it.

use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::{AgentName, Alert, Body, Message, Update};
use lapwing_shared::units::Timestamp;

/// A decoded message and the bytes that it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who sent it, by its topic.
    pub agent: AgentName,
    /// Number of the agent's run.
    pub run: u64,
    /// Number of the message in the run, 0 for the kinds that are not acknowledged.
    pub number: u64,
    /// What the store needs of what it says.
    pub content: Content,
    /// Its bytes, stored as they are.
    pub payload: Vec<u8>,
}

/// What the store needs of a message; small, since many wait in queues.
#[derive(Clone, Debug)]
pub enum Content {
    /// An alert.
    Alert(Box<Alert>),
    /// A sample batch.
    Samples {
        /// Schema of its rows.
        schema: SchemaId,
        /// How many rows it has.
        rows: u32,
        /// When the first and the last of its rows was made whose host was in an episode; nothing without such rows.
        suspects: Option<(Timestamp, Timestamp)>,
    },
    /// Counters.
    Health,
    /// What the agent is and does.
    Status,
    /// A step of an update.
    Update(Box<Update>),
}

impl Received {
    /// Keeps what the store needs of a decoded message.
    pub fn new(agent: AgentName, message: Message, payload: Vec<u8>) -> Self {
        let Message { run, number, body, .. } = message;
        let content = match body {
            Body::Alert(alert) => Content::Alert(Box::new(alert)),
            Body::Samples(samples) => {
                let suspects = || samples.rows.iter().filter(|row| row.in_episode).map(|row| row.at);
                let span = suspects().min().zip(suspects().max());
                Content::Samples { schema: samples.schema, rows: samples.rows.len() as u32, suspects: span }
            }
            Body::Health(_) => Content::Health,
            Body::Status(_) => Content::Status,
            Body::Update(update) => Content::Update(Box::new(update)),
        };
        Self { agent, run, number, content, payload }
    }

    /// True for the kinds that are stored one by one and acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        !matches!(self.content, Content::Health | Content::Status)
    }
}
