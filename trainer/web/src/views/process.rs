//! Roles and leases of the process → lines for Prometheus.

use lapwing_fleet::ProcessState;
use std::fmt::Write;

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(process: &ProcessState, text: &mut String) {
    let mut gauge = |name: &str, help: &str, label: &str, values: &[(&str, bool)]| {
        if values.is_empty() {
            return;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP lapwing_trainer_{name} {help}\n# TYPE lapwing_trainer_{name} gauge");
        for (value, is_set) in values {
            let _ = writeln!(text, "lapwing_trainer_{name}{{{label}=\"{value}\"}} {}", u8::from(*is_set));
        }
    };
    let roles: Vec<_> = process.roles.iter().map(|role| (*role, true)).collect();
    let leases: Vec<_> = process.leases.iter().map(|lease| (lease.name, lease.is_held)).collect();
    gauge("role", "1 for each role of this process.", "role", &roles);
    gauge("lease_held", "1 while this process has the lease of a role that one process carries out.", "role", &leases);
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_fleet::LeaseState;

    #[test]
    fn metrics_have_a_value_for_each_role_and_lease() {
        let leases = vec![LeaseState { name: "train", is_held: true }, LeaseState { name: "publish", is_held: false }];
        let mut text = String::new();
        metrics(&ProcessState { roles: vec!["train", "publish"], leases }, &mut text);
        for line in ["role{role=\"train\"} 1", "lease_held{role=\"train\"} 1", "lease_held{role=\"publish\"} 0"] {
            assert!(text.contains(&format!("lapwing_trainer_{line}\n")), "{text}");
        }
        text.clear();
        metrics(&ProcessState::default(), &mut text);
        assert_eq!(text, "", "a server of predictions only has no roles");
    }
}
