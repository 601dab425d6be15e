//! Random changes to ONNX artifacts → the agent's ONNX engine, which rejects them or runs them, and never panics, hangs
//! or uses unbounded memory.
//!
//! `lapwing-fuzz-onnx [SECONDS [SEED]]`; default: 15 seconds, a random seed. `lapwing-fuzz-onnx FILE` runs one input
//! again. Half of the inputs have changed bytes; the other half are changed after decoding, so that they remain ONNX.
//! The libFuzzer targets (tests/fuzz) need coverage instrumentation; building tract with it would take longer than all
//! tests, so this program uses the build of the tests. An input that fails is written to the temporary folder.

use fastrand::Rng;
use lapwing_agent::detector::{Engine, TractEngine};
use lapwing_common::clock;
use lapwing_pipeline::quantize::onnx;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::Inference;
use lapwing_system_tests::networks;
use prost::Message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use tract_onnx::pb;

/// Time limit for one input: thousands of times what it needs, since the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Limit of peak resident memory, KiB: about twenty times what the largest artifact needs.
const RESIDENT_KIB: u64 = 2 * 1024 * 1024;
/// Boundary values of lengths, shapes and types.
const EDGE_VALUES: [i64; 12] = [-1, 0, 1, 2, 3, 47, 255, 65_535, 1 << 31, 1 << 40, i64::MAX, i64::MIN];

fn main() -> ExitCode {
    if let Some(input) = std::env::args_os().nth(1).and_then(|path| std::fs::read(path).ok()) {
        println!("{}", if is_accepted(&input) { "accepted" } else { "rejected" });
        return ExitCode::SUCCESS;
    }
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(seconds), Ok(seed)) =
        (arguments.next().unwrap_or(Ok(15)), arguments.next().unwrap_or_else(|| Ok(fastrand::u64(..))))
    else {
        eprintln!("usage: lapwing-fuzz-onnx [SECONDS [SEED]], or lapwing-fuzz-onnx FILE");
        return ExitCode::FAILURE;
    };
    let (input_sender, input_receiver) = sync_channel(0);
    let (result_sender, result_receiver) = sync_channel(0);
    std::thread::spawn(move || run_inputs(&input_receiver, &result_sender));
    let mut rng = Rng::with_seed(seed);
    let seeds: Vec<Vec<u8>> = networks::all().iter().map(|named| onnx::encode(&named.network)).collect();
    let end = clock::after(Duration::from_secs(seconds));
    let (mut inputs, mut accepted) = (0_u64, 0_u64);
    while clock::monotonic() < end {
        let input = changed(&mut rng, &seeds);
        let failure = match input_sender.send(input.clone()).map(|()| result_receiver.recv_timeout(LIMIT)) {
            Ok(Ok(Some(was_accepted))) => {
                (inputs, accepted) = (inputs + 1, accepted + u64::from(was_accepted));
                continue;
            }
            Ok(Err(RecvTimeoutError::Timeout)) => "took longer than 60 s",
            _ => "panicked",
        };
        return failed(failure, seed, &input);
    }
    let resident = resident_kib();
    println!(
        "fuzz: onnx ran {inputs} inputs in {seconds} s, {accepted} accepted, peak memory {resident} KiB, seed {seed}"
    );
    if resident > RESIDENT_KIB || accepted == 0 || accepted == inputs {
        eprintln!("fuzz: onnx: expected at most {RESIDENT_KIB} KiB, and both accepted and rejected inputs");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn failed(failure: &str, seed: u64, input: &[u8]) -> ExitCode {
    let path = std::env::temp_dir().join(format!("lapwing-fuzz-{seed}.onnx"));
    let written = std::fs::write(&path, input);
    eprintln!("fuzz: onnx, seed {seed}: an input {failure}; written to {} ({written:?})", path.display());
    ExitCode::FAILURE
}

/// Sends for each input whether the engine accepted it, or nothing after a panic.
fn run_inputs(inputs: &Receiver<Vec<u8>>, results: &std::sync::mpsc::SyncSender<Option<bool>>) {
    for input in inputs {
        let accepted = catch_unwind(AssertUnwindSafe(|| is_accepted(&input))).ok();
        if results.send(accepted).is_err() {
            return;
        }
    }
}

fn is_accepted(input: &[u8]) -> bool {
    let Ok(mut engine) = TractEngine::load(input) else { return false };
    let rows = [[0; FEATURES], [127; FEATURES], [-127; FEATURES]];
    // An error is a valid result: it ends a trial.
    let _ = engine.run_batch(&rows, &mut [Inference::default(); 3]);
    true
}

fn changed(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).cloned().unwrap_or_default();
    if rng.bool()
        && let Ok(mut model) = pb::ModelProto::decode(bytes.as_slice())
    {
        for _ in 0..rng.u32(1..4) {
            change_model(rng, &mut model);
        }
        bytes = model.encode_to_vec();
        if rng.u8(..4) > 0 {
            return bytes;
        }
    }
    for _ in 0..rng.u32(1..5) {
        change_bytes(rng, &mut bytes, seeds);
    }
    bytes
}

fn change_bytes(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    if bytes.is_empty() {
        return bytes.push(rng.u8(..));
    }
    // Names and shapes are at both ends of the file: change these as often as the weights between them.
    let place = match rng.u8(..4) {
        0 => rng.usize(..bytes.len().min(64)),
        1 => bytes.len() - 1 - rng.usize(..bytes.len().min(512)),
        _ => rng.usize(..bytes.len()),
    };
    let length = rng.usize(..=64.min(bytes.len() - place));
    match rng.u8(..7) {
        0 => bytes[place] ^= 1 << rng.u8(..8),
        1 => bytes[place] = rng.u8(..),
        2 => bytes.truncate(place),
        3 => drop(bytes.drain(place..place + length)),
        4 => bytes.extend_from_within(place..place + length),
        // A varint of ten bytes, where a length or a number may be.
        5 => drop(bytes.splice(place..place, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
        _ => {
            let other = rng.choice(seeds).map_or(&[][..], Vec::as_slice);
            let from = rng.usize(..=other.len());
            bytes.truncate(place);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn change_model(rng: &mut Rng, model: &mut pb::ModelProto) {
    let edge_value = |rng: &mut Rng| rng.choice(EDGE_VALUES).unwrap_or(0);
    let Some(graph) = &mut model.graph else { return };
    match rng.u8(..12) {
        0 => model.opset_import.iter_mut().for_each(|opset| opset.version = rng.i64(-2..40)),
        1 => model.ir_version = edge_value(rng),
        2 => rng.shuffle(&mut graph.node),
        3 => graph.node.extend(rng.choice(&graph.node).cloned()),
        4 => drop((!graph.node.is_empty()).then(|| graph.node.remove(rng.usize(..graph.node.len())))),
        5 => graph.initializer.extend(rng.choice(&graph.initializer).cloned()),
        6 => drop(
            (!graph.initializer.is_empty()).then(|| graph.initializer.remove(rng.usize(..graph.initializer.len()))),
        ),
        7 | 8 => {
            let count = graph.initializer.len().max(1);
            if let Some(tensor) = graph.initializer.get_mut(rng.usize(..count)) {
                change_tensor(rng, tensor);
            }
        }
        9 | 10 => {
            let names: Vec<String> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
            let count = graph.node.len().max(1);
            if let Some(node) = graph.node.get_mut(rng.usize(..count)) {
                change_node(rng, node, &names);
            }
        }
        _ => {
            let edges = graph.input.iter_mut().chain(&mut graph.output);
            edges.for_each(|edge| edge.name = ["input", "latent", "reconstruction", ""][rng.usize(..4)].into());
        }
    }
}

fn change_tensor(rng: &mut Rng, tensor: &mut pb::TensorProto) {
    let edge_value = rng.choice(EDGE_VALUES).unwrap_or(0);
    match rng.u8(..6) {
        0 => tensor.dims.push(edge_value),
        1 => tensor.dims.iter_mut().for_each(|size| *size = edge_value),
        2 => tensor.data_type = rng.i32(-1..20),
        3 => tensor.raw_data.truncate(rng.usize(..=tensor.raw_data.len())),
        4 => tensor.data_location = Some(rng.i32(-1..3)),
        _ => tensor.raw_data.iter_mut().for_each(|byte| *byte = rng.u8(..)),
    }
}

fn change_node(rng: &mut Rng, node: &mut pb::NodeProto, names: &[String]) {
    const OPERATORS: [&str; 6] = ["QLinearConv", "QLinearMatMul", "Conv", "Loop", "If", ""];
    let inputs = node.input.len().max(1);
    match rng.u8(..5) {
        0 => node.op_type = rng.choice(OPERATORS).unwrap_or_default().into(),
        1 => {
            if let (Some(input), Some(name)) = (node.input.get_mut(rng.usize(..inputs)), rng.choice(names)) {
                input.clone_from(name);
            }
        }
        2 => node.input.truncate(rng.usize(..=node.input.len())),
        3 => node.output = vec![node.input.first().cloned().unwrap_or_default()],
        _ => {
            let ints = vec![rng.choice(EDGE_VALUES).unwrap_or(0); rng.usize(..3)];
            let name = ["kernel_shape", "strides", "group", "pads", "dilations"][rng.usize(..5)].into();
            node.attribute.push(pb::AttributeProto { name, ints, ..Default::default() });
        }
    }
}

/// Peak resident memory, KiB (proc_pid_status(5)).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
