//! The seed inputs of the targets `signed_manifest`, `root_chain`, `rollout` and `update_state` → corpus/. Run it in tests/fuzz, by hand, when a
//! format changes: `cargo run --example make_seeds`.

use lapwing_shared::release::manifest::MANIFEST_BYTES;
use lapwing_shared::release::root::ROOT_BYTES;
use lapwing_shared::release::testing::{chain, manifest, root, root_key, signed, signed_root};
use lapwing_shared::release::update::{CHECKSUM_BYTES, HeldRelease, STATE_BYTES, UpdateState};
use lapwing_shared::rollout::message::ROLLOUT_BYTES;
use lapwing_shared::rollout::testing::{rollout, signed_rollout};
use std::error::Error;
use std::path::Path;

fn write(target: &str, name: &str, parts: &[&[u8]]) -> Result<(), Box<dyn Error>> {
    let folder = Path::new("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(name), parts.concat())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut room = vec![0; MANIFEST_BYTES];
    let encoded = manifest(3).encode(&mut room).map_err(|error| error.to_string())?;
    write("signed_manifest", "genuine", &[&[0], &signed(&manifest(3), 1)])?;
    write("signed_manifest", "replayed", &[&[0], &signed(&manifest(2), 1)])?;
    write("signed_manifest", "trusted-key", &[&[1], encoded])?;
    write("signed_manifest", "other-key", &[&[2], encoded])?;
    write("signed_manifest", "changed", &[&[3, 0, 80, 1, 4, 0, 9]])?;
    let key = lapwing_shared::release::testing::trusted("k1", 1);
    let line = key.iter().map(|key| format!("# a key\n{key}\n")).collect::<String>();
    write("signed_manifest", "key-file", &[&[4], line.as_bytes()])?;

    let mut rotated = root(3);
    rotated.roots[0] = root_key(8);
    let documents = [signed_root(&root(2), &[9]), signed_root(&rotated, &[9, 8])];
    write("root_chain", "genuine", &[&[0], &chain(&documents)])?;
    write("root_chain", "replayed", &[&[0], &chain(&[signed_root(&root(1), &[9])])])?;
    write("root_chain", "changed", &[&[1, 0, 120, 4, 1, 0, 9]])?;
    let mut room = [0; ROOT_BYTES];
    let document = root(2);
    let document = document.encode(&mut room).map_err(|error| error.to_string())?;
    write("root_chain", "root-key", &[&[2], document])?;
    write("root_chain", "other-key", &[&[3], document])?;

    let mut room = [0; ROLLOUT_BYTES];
    let genuine = rollout(8, 3);
    let frame = genuine.encode(&mut room).map_err(|error| error.to_string())?;
    write("rollout", "genuine", &[&[0], &signed_rollout(&genuine, 5)])?;
    write("rollout", "replayed", &[&[0], &signed_rollout(&rollout(6, 3), 5)])?;
    write("rollout", "changed", &[&[1, 70, 4, 90, 9]])?;
    write("rollout", "rollout-key", &[&[2], frame])?;
    write("rollout", "other-key", &[&[3], frame])?;

    let mut state = UpdateState::new("home".try_into()?);
    let release = |state: &UpdateState, version| HeldRelease { slot: state.spare_slot(), version, digest: [7; 32] };
    state.stage(release(&state, 1))?;
    state.confirm()?;
    state.stage(release(&state, 2))?;
    state.boot();
    state.refuse(9, [9; 32]);
    let mut room = [0; STATE_BYTES];
    let bytes = state.encode(&mut room).map_err(|error| error.to_string())?;
    let body = &bytes[..bytes.len() - CHECKSUM_BYTES];
    write("update_state", "on-trial", &[&[body.len() as u8], body, &[2, 0, 2, 0, 2, 0, 0, 5, 3, 0]])?;
    write("update_state", "new", &[&[0, 0, 1, 2, 0, 3, 0, 0, 2, 2, 0, 2, 0, 2, 0, 2, 0, 6, 1, 1, 8]])
}
