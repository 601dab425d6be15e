//! Whole tables of the database ↔ rows of a copy.

use super::PostgresHandle;
use super::fields::dollars;
use super::insert::copy;
use super::maintenance::{SIZES_OF_AGENTS, check_tables, stored_sizes};
use super::session::{Queried, Session};
use super::{errors, partitions, tally};
use crate::cell::{Cell, VALUE_BYTES, key_text};
use crate::copied_tables::{COPIED_FROM, TABLES, Table, UNFINISHED};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::statements::{DELETE_SETTING, SET_SETTING, SETTING};
use crate::traits::{CopyEnd, CopyState};
use postgres::Row;
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use std::error::Error;

/// Tables whose ids the database draws itself.
const IDENTITIES: [&str; 10] = [
    "agents",
    "schemas",
    "episodes",
    "jobs",
    "enrolment_tokens",
    "identities",
    "campaigns",
    "api_tokens",
    "incidents",
    "notes",
];
/// Column by which messages are partitioned.
const RECEIVED_S: &str = "received_s";

/// What is wrong with a value of a column of this type; `None`: nothing.
fn misfit(cell: &Cell, of: &Type) -> Option<String> {
    let fits = match (cell, of) {
        (Cell::Null, _) => true,
        (Cell::Integer(number), &Type::BOOL) => matches!(number, 0 | 1),
        (Cell::Integer(number), &Type::INT2) => i16::try_from(*number).is_ok(),
        (Cell::Integer(number), &Type::INT4) => i32::try_from(*number).is_ok(),
        (Cell::Integer(_), &Type::INT8) | (Cell::Text(_), &Type::TEXT) | (Cell::Bytes(_), &Type::BYTEA) => true,
        (Cell::Real(number), &Type::FLOAT8) => !number.is_nan(),
        _ => false,
    };
    let found = || match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => format!("the number {number}"),
        Cell::Real(number) => format!("the number {number}"),
        Cell::Text(_) => "a text".to_owned(),
        Cell::Bytes(_) => "bytes".to_owned(),
    };
    (!fits).then(|| format!("{}, expected a value of the type {of}", found()))
}

impl ToSql for Cell {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, of) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Integer(number), &Type::BOOL) => (*number != 0).to_sql(of, out),
            (Self::Integer(number), &Type::INT2) => i16::try_from(*number)?.to_sql(of, out),
            (Self::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(of, out),
            (Self::Integer(number), _) => number.to_sql(of, out),
            (Self::Real(number), _) => number.to_sql(of, out),
            (Self::Text(text), _) => text.to_sql(of, out),
            (Self::Bytes(bytes), _) => bytes.to_sql(of, out),
        }
    }

    /// [`misfit`] has compared the types.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The value of a column, or what is wrong with it.
fn cell(row: &Row, place: usize) -> Queried<Result<Cell, String>> {
    let of = row.columns().get(place).map_or(Type::UNKNOWN, |column| column.type_().clone());
    let cell = match of {
        Type::FLOAT8 => row.real_or_null(place)?.map(Cell::Real),
        Type::TEXT => row.text_or_null(place)?.map(Cell::Text),
        Type::BYTEA => row.bytes_or_null(place)?.map(Cell::Bytes),
        _ => row.integer_or_null(place)?.map(Cell::Integer),
    };
    let cell = cell.unwrap_or(Cell::Null);
    let found = match cell.bytes() {
        bytes if bytes > VALUE_BYTES => Some(format!("{bytes} bytes, more than {VALUE_BYTES}")),
        _ => misfit(&cell, &of),
    };
    Ok(found.map_or(Ok(cell), Err))
}

/// Parameters of a statement.
fn parameters(cells: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect()
}

/// A row to copy into a table.
fn values(row: &[Cell]) -> Vec<Box<dyn ToSql + Sync + '_>> {
    row.iter().map(|cell| Box::new(cell) as Box<dyn ToSql + Sync + '_>).collect()
}

impl PostgresHandle {
    /// The error of a value.
    fn invalid(&self, table: &Table, row: &[Cell], place: usize, found: String) -> StoreError {
        StoreError::Value {
            store: self.url().to_string(),
            table: table.name,
            row: key_text(row.split_at_checked(table.key).map_or(row, |(key, _)| key)),
            column: table.column(place),
            found,
        }
    }

    fn cells(&self, table: &Table, rows: &[Row]) -> Result<Vec<Vec<Cell>>, StoreError> {
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let mut cells = Vec::with_capacity(row.len());
            for place in 0..row.len() {
                let cell = cell(row, place).map_err(|error| errors::querying(&self.url(), error, false))?;
                let cell = cell.map_err(|found| self.invalid(table, &cells, place, found))?;
                cells.push(cell);
            }
            page.push(cells);
        }
        Ok(page)
    }

    /// Compares values with the types of their columns; returns the types and the times of receipt.
    fn check_cells(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(Vec<Type>, Vec<i64>), StoreError> {
        let (columns, mut times) = (table.all_columns(), Vec::new());
        let text = format!("SELECT {} FROM {} LIMIT 0", columns.join(", "), table.name);
        let types = self.read(|session| session.column_types(&text))?;
        for row in rows {
            for (place, (cell, of)) in row.iter().zip(&types).enumerate() {
                if let Some(found) = misfit(cell, of) {
                    return Err(self.invalid(table, row, place, found));
                }
                match cell {
                    Cell::Integer(at_s) if columns.get(place) == Some(&RECEIVED_S) => {
                        if !partitions::is_time(*at_s) {
                            return Err(self.invalid(table, row, place, format!("the time {at_s}")));
                        }
                        times.push(*at_s);
                    }
                    _ => {}
                }
            }
        }
        Ok((types, times))
    }
}

/// Continues the ids that the database draws after those of the rows.
fn continue_ids(session: &mut Session) -> Queried<()> {
    let mut ids: Vec<(String, String)> = IDENTITIES
        .iter()
        .map(|table| (format!("pg_get_serial_sequence('{table}', 'id')"), format!("(SELECT max(id) FROM {table})")))
        .collect();
    ids.push(("'alert_ids'".into(), "(SELECT max(id) FROM alerts)".into()));
    ids.push(("'update_ids'".into(), "(SELECT max(id) FROM updates)".into()));
    // A position in the order of arrival is never used again, although its batch is in a segment or gone.
    let arrivals = Counter::SegmentArrivals.name();
    let newest = format!(
        "greatest((SELECT max(id) FROM samples), (SELECT max(last_arrival) FROM segments), \
         (SELECT sum(value)::bigint FROM counters WHERE name = '{arrivals}'))"
    );
    ids.push(("'sample_ids'".into(), newest));
    for (sequence, highest) in ids {
        let text = format!("SELECT setval({sequence}, id) FROM (SELECT {highest} AS id) AS highest WHERE id > 0");
        session.query(&text, &[])?;
    }
    Ok(())
}

/// Computes the sizes of agents and of all tables, which retention needs.
fn compute_sizes(session: &mut Session) -> Queried<()> {
    let text = format!(
        "UPDATE agents SET stored_sample_bytes = s.sample_bytes, stored_sample_rows = s.sample_rows, \
         stored_alerts = s.alerts, stored_updates = s.updates FROM ({SIZES_OF_AGENTS}) AS s WHERE agents.id = s.id"
    );
    session.execute(&text, &[])?;
    let [sample_bytes, sample_rows, sample_batches, alerts, updates] = stored_sizes(session)?;
    let sizes = tally::Sizes { sample_bytes, sample_rows, sample_batches, alerts, updates };
    session.execute("DELETE FROM counters WHERE name LIKE 'stored-%'", &[])?;
    let mut tally = tally::Tally::default();
    tally.add_sizes(&sizes, 1);
    tally.write(session)
}

impl CopyEnd for PostgresHandle {
    fn rows_after(&self, table: &Table, key: Option<&[Cell]>) -> Result<Vec<Vec<Cell>>, StoreError> {
        let text = dollars(&table.select_postgres(key.is_some()));
        let rows = self.read(|session| session.query(&text, &parameters(key.unwrap_or_default())))?;
        self.cells(table, &rows)
    }

    fn row_count(&self, table: &Table) -> Result<u64, StoreError> {
        let text = format!("SELECT count(*) FROM {}", table.postgres());
        Ok(self.read(|session| session.row(&text, &[], |row| row.unsigned(0)))?.unwrap_or(0))
    }

    fn last_key(&self, table: &Table) -> Result<Option<Vec<Cell>>, StoreError> {
        let text = table.last_key(table.postgres());
        let rows = self.read(|session| session.query(&text, &[]))?;
        Ok(self.cells(table, &rows)?.pop())
    }

    fn add_rows(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let (types, times) = self.check_cells(table, rows)?;
        let text = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.all_columns().join(", "));
        self.write(|session| {
            partitions::create_for(session, table.name, &times)?;
            copy(session, &text, &types, rows.iter().map(|row| values(row)))
        })
    }

    fn table_problems(&self) -> Result<Vec<String>, StoreError> {
        self.snapshot(check_tables)
    }

    fn copy_state(&self) -> Result<Option<CopyState>, StoreError> {
        let of = |name: &str| self.read(|session| session.row(&SETTING, &[&name], |row| row.text(0)));
        let (source, unfinished) = (of(COPIED_FROM)?, of(UNFINISHED)?);
        let state = |source| CopyState { source, is_complete: unfinished.is_none() };
        Ok(source.and_then(|source| source.parse().ok()).map(state))
    }

    fn begin_copy(&self, source: u64) -> Result<(), StoreError> {
        self.write(|session| {
            let text = "UPDATE counters SET value = $1 WHERE name = 'store-id' AND shard = 0";
            session.execute(text, &[&source.cast_signed()])?;
            session.change(&SET_SETTING, &[&COPIED_FROM, &source.to_string()])?;
            session.change(&SET_SETTING, &[&UNFINISHED, &"1"]).map(drop)
        })
    }

    fn settle_copy(&self) -> Result<(), StoreError> {
        self.write(|session| {
            continue_ids(session)?;
            // Without statistics, the next statements and the first queries of `serve` would read whole tables.
            session.batch(&format!("ANALYZE {}", TABLES.each_ref().map(|table| table.name).join(", ")))?;
            compute_sizes(session)
        })
    }

    fn end_copy(&self) -> Result<(), StoreError> {
        self.write(|session| session.change(&DELETE_SETTING, &[&UNFINISHED]).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use crate::contract::TestStore;
    use crate::copied_tables::{OTHER_COLUMNS, OTHER_TABLES, TABLES};
    use crate::testing::postgres::Database;
    use crate::testing::{Folder, alert, received};
    use crate::{Limits, Store, StoreCopy, StoreError};
    use lapwing_shared::messages::AlertState;
    use std::collections::BTreeSet;

    #[test]
    fn every_table_and_column_of_the_schema_is_copied_or_listed_as_not_copied() {
        if !Database::is_available() {
            return;
        }
        let database = Database::new();
        drop(database.open(Limits::default()));
        let text = "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns AS c \
                    JOIN pg_class AS t ON t.oid = to_regclass(quote_ident(c.table_name)) \
                    WHERE c.table_schema = current_schema() AND c.is_generated = 'NEVER' AND NOT t.relispartition";
        let rows = database.client().query(text, &[]).unwrap();
        let found = rows.iter().map(|row| (row.get(0), row.get(1)));
        let is_other = |(table, column): &(String, String)| {
            OTHER_TABLES.iter().any(|(name, _)| name == table)
                || OTHER_COLUMNS.iter().any(|(name, of, _)| name == table && of == column)
        };
        let found: BTreeSet<(String, String)> = found.filter(|one| !is_other(one)).collect();
        let columns = |table: &'static crate::copied_tables::Table| {
            table.all_columns().into_iter().map(|column| (table.name.into(), column.into()))
        };
        let copied: BTreeSet<(String, String)> = TABLES.iter().flat_map(columns).collect();
        assert_eq!(found, copied, "add new tables and columns to copied_tables.rs");
    }

    #[test]
    fn values_that_a_column_does_not_accept_are_named_and_not_copied() {
        if !Database::is_available() {
            return;
        }
        for (change, expected) in [
            ("UPDATE alerts SET flows = 'many'", "the column flows has a text, expected a value of the type int8"),
            ("UPDATE alerts SET state = 70000", "the row (1) of the table alerts"),
            (
                "UPDATE alerts SET role = 70000",
                "the column role has the number 70000, expected a value of the type int2",
            ),
            ("UPDATE alerts SET host = 'localhost'", "the column host has a text, expected a value of the type bytea"),
            ("UPDATE alerts SET received_s = 999999999999", "the column received_s has the time 999999999999"),
        ] {
            let folder = Folder::new();
            let message = alert(1, 1, 5, AlertState::Opened, (1, 2));
            let mut store = Store::open(folder.store(), Limits::default()).unwrap();
            store.commit(&[received("gw", &message)], 5).unwrap();
            let changed = rusqlite::Connection::open(folder.store()).unwrap().execute(change, []).unwrap();
            assert_eq!(changed, 1);
            drop(store);
            let database = Database::create_at(Database::server_url().unwrap());
            let copy = StoreCopy::open(&folder.store().into(), &database.url(), None).unwrap();
            let error = copy.run(&mut |_| true).unwrap_err().to_string();
            assert!(error.contains(expected), "{change}: {error}");
        }
    }

    #[test]
    fn a_copy_and_other_writers_exclude_each_other_and_readers_stay() {
        if !Database::is_available() {
            return;
        }
        let (database, folder) = (Database::new(), Folder::new());
        let mut store = database.open(Limits::default());
        let open = || StoreCopy::open(&database.url(), &folder.store().into(), None);
        let reader = crate::StoreHandle::open_reading(database.url()).unwrap();
        assert!(matches!(open().err().unwrap(), StoreError::Shared { .. }));
        store.commit(&[received("gw", &alert(1, 1, 5, AlertState::Opened, (1, 2)))], 5).unwrap();
        drop(store);
        let copy = open().unwrap();
        let error = Store::open(database.url(), Limits::default()).err().unwrap();
        assert!(matches!(error, StoreError::BeingCopied { .. }) && error.is_temporary(), "{error}");
        assert_eq!(reader.agents().unwrap().len(), 1);
        copy.run(&mut |_| true).unwrap().unwrap();
        drop(copy);
        drop(database.open(Limits::default()));
    }
}
