//! Agent and trainer together: the demo, load, fuzzing, and a stage for tests of the agent's program.

pub mod demo;
pub mod fuzz;
pub mod identity;
pub mod load;
pub mod networks;
pub mod stage;
pub mod watch;
