//! Feature schemas of a batch ↔ the table of schemas, whose size is limited.

use super::connection::Connection;
use super::schema::Lock;
use super::session::{Queried, Session};
use crate::committed::MAX_SCHEMAS;
use crate::error::StoreError;
use crate::received::{Content, Received};
use lapwing_shared::features::SchemaId;
use lapwing_shared::features::schema::schema_id;
use std::collections::HashMap;

/// Adds the schemas of a batch to the table, as far as the limit allows, and those of the table to `known`.
///
/// # Errors
/// When the database cannot be written.
pub(super) fn register(
    connection: &mut Connection,
    known: &mut HashMap<SchemaId, i64>,
    batch: &[Received],
) -> Result<(), StoreError> {
    let mut unknown: Vec<SchemaId> = Vec::new();
    for received in batch {
        if let Content::Samples(samples) = &received.content
            && samples.rows > 0
            && !known.contains_key(&samples.schema)
            && !unknown.contains(&samples.schema)
            && (unknown.len() <= MAX_SCHEMAS || samples.schema == schema_id())
        {
            unknown.push(samples.schema);
        }
    }
    if unknown.is_empty() || (known.len() >= MAX_SCHEMAS && !unknown.contains(&schema_id())) {
        return Ok(());
    }
    *known = connection.write(|session| add(session, &unknown))?;
    Ok(())
}

/// Adds schemas; returns those of the table.
fn add(session: &mut Session, wanted: &[SchemaId]) -> Queried<HashMap<SchemaId, i64>> {
    session.lock(Lock::Registration)?;
    let stored = read(session)?;
    let mut count = stored.len();
    let mut new: Vec<&[u8]> = Vec::new();
    for schema in wanted.iter().filter(|schema| !stored.contains_key(*schema)) {
        if count < MAX_SCHEMAS || *schema == schema_id() {
            new.push(schema);
            count += 1;
        }
    }
    session.execute("INSERT INTO schemas (sha256) SELECT unnest($1::bytea[])", &[&new])?;
    read(session)
}

fn read(session: &mut Session) -> Queried<HashMap<SchemaId, i64>> {
    let rows = session.query("SELECT sha256, id FROM schemas", &[])?;
    let mut schemas = HashMap::new();
    for row in &rows {
        // The table has no others.
        if let Ok(schema) = SchemaId::try_from(row.try_get::<_, &[u8]>(0)?) {
            schemas.insert(schema, row.try_get(1)?);
        }
    }
    Ok(schemas)
}
