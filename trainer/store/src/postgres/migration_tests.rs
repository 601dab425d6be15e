//! Databases of every earlier version → the current tables, with what was in them.

use super::schema::{MIGRATIONS, VERSION};
use crate::contract::TestStore;
use crate::testing::postgres::Database;
use crate::testing::problems;
use crate::{AuditFilter, Limits};

/// A database as version `version` of the tables left it, with an agent, a release and a job.
fn old_database(version: u32) -> Database {
    let database = Database::new();
    database.execute(
        "CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, migrated TIMESTAMPTZ NOT NULL DEFAULT now())",
    );
    for (number, script) in (1..=version).zip(MIGRATIONS) {
        database.execute(script);
        database.execute(&format!("INSERT INTO schema_versions (version) VALUES ({number})"));
    }
    database.execute(
        "INSERT INTO agents (name, last_seen_s) VALUES ('gw', 5);
         INSERT INTO releases (group_name, version, manifest_sha256, made_s, file) \
         VALUES ('home', 3, decode(repeat('07', 32), 'hex'), 6, 'home-3.lwr');
         INSERT INTO jobs (asked_s, who, state) VALUES (7, 'ann', 'waiting')",
    );
    database
}

#[test]
fn a_database_of_every_earlier_version_keeps_its_rows_and_records_actions() {
    if !Database::is_available() {
        return;
    }
    for version in 1..VERSION {
        let database = old_database(version);
        let handle = database.open(Limits::default()).handle().unwrap();
        assert_eq!(handle.version().unwrap(), VERSION);
        assert_eq!(problems(&handle), Vec::<String>::new(), "version {version}");
        assert_eq!(handle.agents().unwrap()[0].name, "gw");
        assert_eq!(handle.releases("home", 9).unwrap()[0].manifest_sha256, [7; 32]);
        assert_eq!(handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records, []);
        handle.assign_group("gw", Some("home"), "ann", 8).unwrap();
        handle.assign_jobs(&["home"], 8).unwrap();
        assert_eq!(handle.take_jobs("home").unwrap().map(|job| job.asked_s), Some(7));
        let check = handle.check_audit(None).unwrap();
        assert_eq!((check.entries, check.problems), (1, vec![]), "version {version}");
    }
}
