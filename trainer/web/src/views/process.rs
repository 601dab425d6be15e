//! Roles, leases and problems of the process → lines for Prometheus and warnings.

use lapwing_fleet::{GroupProblem, ProcessState};
use std::fmt::Write;

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(process: &ProcessState, text: &mut String) {
    let mut by_role = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        if values.is_empty() {
            return;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP lapwing_trainer_{name} {help}\n# TYPE lapwing_trainer_{name} {kind}");
        for (role, value) in values {
            let _ = writeln!(text, "lapwing_trainer_{name}{{role=\"{role}\"}} {value}");
        }
    };
    let ProcessState { roles, leases, problems } = process;
    let of_role = |role: &str| problems.iter().filter(|problem| problem.role == role).count() as u64;
    let (held, failures) = leases
        .iter()
        .map(|lease| ((lease.name, u64::from(lease.is_held)), (lease.name, lease.failures)))
        .collect::<(Vec<_>, Vec<_>)>();
    let problems: Vec<_> = leases.iter().map(|lease| (lease.name, of_role(lease.name))).collect();
    let roles: Vec<_> = roles.iter().map(|role| (*role, 1)).collect();
    by_role("role", "gauge", "1 for each role of this process.", &roles);
    let help = "1 while this process has the lease of a role that one process carries out.";
    by_role("lease_held", "gauge", help, &held);
    by_role("lease_failures_total", "counter", "Times that the store could not be asked for a lease.", &failures);
    by_role("group_problems", "gauge", "Groups whose releases this process cannot make or publish now.", &problems);
}

/// Problems as sentences for the overview.
pub(crate) fn warnings(process: &ProcessState) -> impl Iterator<Item = String> {
    process.problems.iter().map(|GroupProblem { role, group, problem }| {
        if *role == "enroll" {
            return format!("The broker may admit revoked agents: its access list is not up to date: {problem}.");
        }
        let what = if *role == "publish" { "published" } else { "made" };
        format!("Releases of group {group} cannot be {what}: {problem}. The server tries again every minute.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_fleet::LeaseState;

    #[test]
    fn metrics_have_a_value_for_each_role_and_lease() {
        let leases = vec![
            LeaseState { name: "train", is_held: true, failures: 0 },
            LeaseState { name: "publish", is_held: false, failures: 3 },
        ];
        let mut text = String::new();
        let (role, group, problem) = ("publish", "home".into(), "release 7: damaged".into());
        let problems = vec![GroupProblem { role, group, problem }];
        let process = ProcessState { roles: vec!["train", "publish"], leases, problems };
        metrics(&process, &mut text);
        let expected =
            "Releases of group home cannot be published: release 7: damaged. The server tries again every minute.";
        assert_eq!(warnings(&process).collect::<Vec<_>>(), [expected]);
        for line in [
            "role{role=\"train\"} 1",
            "lease_held{role=\"train\"} 1",
            "lease_held{role=\"publish\"} 0",
            "lease_failures_total{role=\"publish\"} 3",
            "group_problems{role=\"publish\"} 1",
            "group_problems{role=\"train\"} 0",
        ] {
            assert!(text.contains(&format!("lapwing_trainer_{line}\n")), "{text}");
        }
        text.clear();
        metrics(&ProcessState::default(), &mut text);
        assert_eq!(text, "", "a server of predictions only has no roles");
    }
}
