//! Arbitrary bytes as a stored update state, then as operations on it → after each one a state that can be stored, in
//! which the confirmed release is intact on disk and the highest confirmed version has not fallen.
//!
//! Byte 0: length of the stored state, which follows without its checksum. The rest: operations of two bytes.
#![no_main]

use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::update::{
    Boot, CHECKSUM_BYTES, HeldRelease, STATE_BYTES, Slot, TRIAL_BOOTS, UpdateState,
};
use libfuzzer_sys::fuzz_target;

/// The two slots as a disk would hold them.
#[derive(Default)]
struct Disk {
    a: Option<HeldRelease>,
    b: Option<HeldRelease>,
}

impl Disk {
    fn slot(&mut self, slot: Slot) -> &mut Option<HeldRelease> {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }
}

/// The stored state with a checksum that fits, so that its content is decoded.
fn stored(body: &[u8]) -> Option<UpdateState> {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&sha256(body)[..CHECKSUM_BYTES]);
    UpdateState::decode(&bytes).ok()
}

fn check(state: &UpdateState, disk: &mut Disk) {
    let mut room = [0; STATE_BYTES];
    let bytes = state.encode(&mut room).expect("every state fits its stored form");
    assert_eq!(UpdateState::decode(bytes).as_ref(), Ok(state));
    if let Some(confirmed) = state.confirmed {
        assert_eq!(*disk.slot(confirmed.slot), Some(confirmed), "the confirmed release was overwritten");
        assert_ne!(state.spare_slot(), confirmed.slot);
    }
    assert_eq!(state.in_use(), state.trial.map(|trial| trial.release).or(state.confirmed));
}

fn operate(state: &mut UpdateState, disk: &mut Disk, operation: u8, value: u8) {
    let version = u64::from(value);
    match operation % 7 {
        // The way of an agent that downloads a release.
        0 => {
            let release = HeldRelease { slot: state.spare_slot(), version, digest: [value; 32] };
            state.clear_trial();
            *disk.slot(release.slot) = Some(release);
            state.stage(release).expect("the spare slot is free");
        }
        1 => {
            let slot = state.confirmed.map_or(Slot::A, |confirmed| confirmed.slot);
            let refused = state.stage(HeldRelease { slot, version, digest: [value; 32] }).is_err();
            assert_eq!(refused, state.confirmed.is_some(), "staged over the confirmed release");
            if let Some(trial) = state.trial.filter(|_| !refused) {
                *disk.slot(slot) = Some(trial.release);
            }
        }
        2 => {
            let boots = state.trial.map(|trial| trial.boots);
            match state.boot() {
                Boot::Trial(_) => assert!(boots.is_some_and(|boots| boots < TRIAL_BOOTS)),
                Boot::RolledBack { .. } => assert!(boots == Some(TRIAL_BOOTS) && state.trial.is_none()),
                Boot::Confirmed(_) | Boot::Nothing => assert_eq!(boots, None),
            }
        }
        3 => {
            let trial = state.trial.map(|trial| trial.release);
            assert_eq!(state.confirm().ok(), trial);
            assert!(trial.is_none_or(|release| state.highest_confirmed >= release.version));
        }
        4 => drop(state.roll_back()),
        5 => state.refuse(version, [value; 32]),
        _ => {
            let group = if value % 2 == 0 { "home" } else { "work" };
            state.join_group(&group.try_into().expect("a group"));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first() else { return };
    let (body, operations) = rest.split_at(rest.len().min(usize::from(*length)));
    let mut state = stored(body).unwrap_or_else(|| UpdateState::new("home".try_into().expect("a group")));
    let mut disk = Disk::default();
    for release in [state.confirmed, state.trial.map(|trial| trial.release)].into_iter().flatten() {
        *disk.slot(release.slot) = Some(release);
    }
    check(&state, &mut disk);
    for operation in operations.chunks_exact(2) {
        let before = (state.group.clone(), state.highest_confirmed);
        operate(&mut state, &mut disk, operation[0], operation[1]);
        check(&state, &mut disk);
        let same_group = state.group == before.0;
        assert!(!same_group || state.highest_confirmed >= before.1, "the highest confirmed version fell");
    }
});
