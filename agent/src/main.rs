//! Command line of the agent.

fn main() {}
