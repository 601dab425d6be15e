//! Flow records → CSV: one line per record, in the order in which they were made.

use crate::output::{FieldAddress, OutputError, Protocol, Sink};
use lapwing_shared::flow::record::{Direction, EndReason, FlowRecord};
use std::io::{self, Write};
use std::path::Path;

/// First line of the file. Times are seconds since the epoch, octets are the network layer's, frame octets the wire's.
pub(crate) const HEADER: &str = "start_s,end_s,duration_s,network,protocol,vlan,source,source_port,destination,\
destination_port,icmp_type,icmp_code,forward_packets,reverse_packets,forward_octets,reverse_octets,\
forward_frame_octets,reverse_frame_octets,forward_payload_octets,reverse_payload_octets,forward_tcp_flags,\
reverse_tcp_flags,handshake_us,earlier_records,end_reason";

/// Writes flow records.
pub(crate) struct RecordWriter {
    sink: Sink,
}

impl RecordWriter {
    /// Creates the file and writes [`HEADER`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self, OutputError> {
        let mut sink = Sink::create(path)?;
        sink.write(|writer| writeln!(writer, "{HEADER}"))?;
        Ok(Self { sink })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&mut self, record: &FlowRecord) -> Result<(), OutputError> {
        self.sink.write(|writer| write_record(writer, record))
    }

    /// Flushes the buffer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.sink.flush()
    }
}

fn write_record(writer: &mut dyn Write, record: &FlowRecord) -> io::Result<()> {
    let (forward, reverse) = (&record.forward, &record.reverse);
    let duration = record.duration();
    write!(
        writer,
        "{},{},{}.{:09},{},{},{},{},{},{},{},{},{},",
        record.start,
        record.end,
        duration.0 / 1_000_000_000,
        duration.0 % 1_000_000_000,
        record.network as u8,
        Protocol(record.network, record.protocol),
        record.vlan,
        FieldAddress(record.network, record.source),
        record.source_port,
        FieldAddress(record.network, record.destination),
        record.destination_port,
        record.icmp.0,
        record.icmp.1,
    )?;
    let counts: [fn(&Direction) -> u64; 4] = [
        |direction| u64::from(direction.packets),
        |direction| direction.network_octets,
        |direction| direction.frame_octets,
        |direction| direction.payload_octets,
    ];
    for count in counts {
        write!(writer, "{},{},", count(forward), count(reverse))?;
    }
    write!(writer, "{},{},", forward.tcp_flags, reverse.tcp_flags)?;
    if let Some(handshake) = record.handshake {
        write!(writer, "{}", handshake.0 / 1000)?;
    }
    writeln!(writer, ",{},{}", record.earlier_records, reason(record.reason))
}

fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Idle => "idle",
        EndReason::Active => "active",
        EndReason::EndDetected => "end",
        EndReason::Forced => "forced",
        EndReason::LackOfResources => "resources",
    }
}
