//! Nanoseconds per packet of the flow table at several fill levels and with colliding keys; and the path from frame to
//! flow record over a capture, for counting instructions.
//!
//! `cargo bench -p lapwing-shared --bench flow_table --profile dev` prints the table. `… -- read FILE PASSES` iterates
//! PASSES times over a plain little-endian Ethernet pcap file; `lookup` also parses and looks up each packet's flow;
//! `path` also meters and exports records. `… -- fill PERCENT PASSES` meters packets of known flows in a table of this
//! fill level, 20,000 per pass. The difference of two instruction counts with different PASSES excludes the start-up.

use lapwing_shared::flow::key::FlowKey;
use lapwing_shared::flow::lru::{Key, KeyedHash, LruTable};
use lapwing_shared::flow::record::{FlowRecord, FlowSink, FlowStart};
use lapwing_shared::flow::table::{FlowTable, FlowTableConfig};
use lapwing_shared::packet::{LinkType, Packet, decode};
use lapwing_shared::units::{Nanos, Timestamp};
use std::hint::black_box;
use std::time::Instant;

const CAPACITY: usize = 16_384;
const PACKETS: u32 = 20_000;
const ROUNDS: usize = 100;

struct Discard;

impl FlowSink for Discard {
    fn started(&mut self, flow: &FlowStart) {
        black_box(flow);
    }
    fn ended(&mut self, record: impl FnOnce() -> FlowRecord) {
        black_box(&record());
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Number(u64);

impl Key<1> for Number {
    fn words(&self) -> [u64; 1] {
        [self.0]
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [word, file, passes] if word == "read" => read(file, passes.parse().expect("a number of passes")),
        [word, file, passes] if word == "path" => path(file, passes.parse().expect("a number of passes")),
        [word, file, passes] if word == "lookup" => lookup(file, passes.parse().expect("a number of passes")),
        [word, percent, passes] if word == "fill" => {
            let held = CAPACITY as u32 * percent.parse::<u32>().expect("a share in percent") / 100;
            let mut table = filled(held);
            (0..passes.parse::<u32>().expect("a number of passes")).for_each(|_| hits(&mut table, held));
        }
        _ => tables(),
    }
}

/// Meters packets of flows spread over the table.
fn hits(table: &mut FlowTable, held: u32) {
    (0..PACKETS).for_each(|n| table.meter(&udp(n.wrapping_mul(7919) % held), &mut Discard));
}

fn tables() {
    println!("flow table of {CAPACITY}, ns per packet: known flow, new flow (evicts if full)");
    for percent in [1, 50, 99, 100] {
        let held = (CAPACITY * percent / 100) as u32;
        let hit = best(|| {
            let mut table = filled(held);
            clocked(|| hits(&mut table, held))
        });
        let new = best(|| {
            let mut table = filled(held);
            let room = (CAPACITY as u32 - held).min(PACKETS);
            let packets = if percent == 100 { PACKETS } else { room.clamp(1, 160) };
            clocked(|| (0..packets).for_each(|n| table.meter(&udp(1 << 20 | n), &mut Discard))) * f64::from(PACKETS)
                / f64::from(packets)
        });
        println!("{percent:4} %  hit {:6.1}  new {:6.1}", each(hit), each(new));
    }
    println!("index only, 8,192 keys that collide under seed 0, ns per lookup");
    let keys = colliding(0, 8192);
    for (label, seed) in [("seed 0, known to the attacker", 0), ("another seed", 0x5eed), ("a third seed", 77)] {
        println!("{label:33} {:8.1}", each(best(|| lookups(&keys, seed))));
    }
    let sequential: Vec<Number> = (0..8192).map(Number).collect();
    println!("{:33} {:8.1}", "sequential keys, another seed", each(best(|| lookups(&sequential, 0x5eed))));
}

fn each(seconds: f64) -> f64 {
    seconds * 1e9 / f64::from(PACKETS)
}

/// Minimum over several rounds, because the machine may be shared.
fn best(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn clocked(work: impl FnOnce()) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn filled(held: u32) -> FlowTable {
    let config = FlowTableConfig { capacity: CAPACITY, idle_timeout: Nanos::from_secs(600), ..Default::default() };
    let mut table = FlowTable::new(&config);
    (0..held).for_each(|n| table.meter(&udp(n), &mut Discard));
    table
}

/// A decoded UDP packet of the flow with this number.
fn udp(flow: u32) -> Packet {
    let mut frame = [0; 42];
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17]);
    frame[26..30].copy_from_slice(&(0x0a00_0000 | flow).to_be_bytes());
    frame[30..38].copy_from_slice(&[192, 0, 2, 1, 0x9c, 0x40, 0x23, 0x28]);
    decode(LinkType::Ethernet, Timestamp::from_nanos(1), &frame, 60).expect("the bench's own frame is well formed")
}

/// Keys whose hashes have equal low 15 bits under `seed`: one run in the index of a table for 16,384.
fn colliding(seed: u64, count: usize) -> Vec<Number> {
    let hash = KeyedHash::<1>::new(seed);
    (0..).map(Number).filter(|key| hash.hash(&key.words()) & 0x7fff == 0).take(count).collect()
}

fn lookups(keys: &[Number], seed: u64) -> f64 {
    let mut table: LruTable<Number, u64, 1> = LruTable::new(CAPACITY, seed);
    for key in keys {
        black_box(table.find_or_insert(key));
    }
    // A known seed makes lookups thousands of times slower: fewer of them are enough.
    let asked = if seed == 0 { 2_000 } else { PACKETS };
    let seconds = clocked(|| {
        for n in 0..asked as usize {
            black_box(table.find(&keys[n * 61 % keys.len()]));
        }
    });
    seconds * f64::from(PACKETS) / f64::from(asked)
}

fn read(file: &str, passes: u32) {
    let data = std::fs::read(file).expect("a readable capture");
    let mut packets = 0_u64;
    for _ in 0..passes {
        each_frame(&data, |_, frame, _| {
            black_box(frame);
            packets += 1;
        });
    }
    println!("{packets} packets");
}

fn path(file: &str, passes: u32) {
    let data = std::fs::read(file).expect("a readable capture");
    let mut table = FlowTable::new(&FlowTableConfig::default());
    for _ in 0..passes {
        each_packet(&data, |packet| table.meter(packet, &mut Discard));
        table.flush(&mut Discard);
    }
    println!("{} packets, {} records", table.counters().packets, table.counters().records);
}

fn lookup(file: &str, passes: u32) {
    let data = std::fs::read(file).expect("a readable capture");
    let mut table: LruTable<FlowKey, u64, 5> = LruTable::new(CAPACITY, 0);
    let (mut packets, mut flows) = (0_u64, 0_u64);
    for _ in 0..passes {
        each_packet(&data, |packet| {
            let (key, _) = FlowKey::of(packet);
            let slot = table.find(&key).unwrap_or_else(|| {
                flows += 1;
                if table.is_full() {
                    table.remove(table.oldest().expect("a full table has an oldest entry"));
                }
                table.find_or_insert(&key).expect("room was made").0
            });
            table.touch(slot);
            packets += 1;
        });
    }
    println!("{packets} packets, {flows} flow insertions");
}

fn each_packet(data: &[u8], mut take: impl FnMut(&Packet)) {
    each_frame(data, |at, frame, wire_octets| {
        if let Ok(packet) = decode(LinkType::Ethernet, at, frame, wire_octets) {
            take(&packet);
        }
    });
}

fn each_frame(data: &[u8], mut take: impl FnMut(Timestamp, &[u8], u32)) {
    let mut rest = &data[24..];
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let at = Timestamp::from_nanos(u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * 1000);
        let (frame, next) = behind.split_at(field(8) as usize);
        take(at, frame, field(12));
        rest = next;
    }
}
