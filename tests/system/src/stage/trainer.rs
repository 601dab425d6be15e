//! A trainer's process, which does not outlive its test.

use std::process::{Child, Command, Stdio};

/// A trainer process; killed when dropped.
pub struct Trainer(Child);

impl Trainer {
    /// Starts it; its log goes to the test's standard error.
    pub fn start(program: &mut Command) -> Self {
        Self(program.stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// Kills it, as a power failure would.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asserts that it runs.
    pub fn assert_running(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the trainer exited");
    }

    /// Its process identifier.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
