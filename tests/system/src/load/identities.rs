//! Identities of the simulated agents: enrolled in the trainer's store, with certificates of its authority.

use super::LoadOptions;
use crate::identity::{client_config, enrol, token};
use lapwing_authority::Authority;
use lapwing_common::clock;
use lapwing_shared::enrolment::AgentKey;
use lapwing_store::StoreHandle;
use rustls::ClientConfig;
use std::sync::Arc;

/// Name in the broker's certificate.
pub(super) const HOST: &str = "localhost";

/// TLS of each agent; empty without an authority. A key always has the same identity, so that a load can be repeated.
///
/// # Errors
/// When store or authority cannot be used.
pub(super) fn configs(options: &LoadOptions) -> anyhow::Result<Vec<Arc<ClientConfig>>> {
    let (Some(folder), Some(store)) = (&options.authority, &options.store) else { return Ok(Vec::new()) };
    let authority = Authority::open(folder, None)?;
    let store = StoreHandle::open(store.as_path())?;
    let (trusted, now_s) = (authority.trusted_pem()?, clock::now_s());
    let token = token(&store, options.agents, None, now_s)?;
    let config = |id: u32| {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&id.to_be_bytes());
        let key = AgentKey::from_seed(&seed);
        client_config(&trusted, Some(enrol(&store, &authority, (&format!("load-{id}"), token), &key, now_s)?))
    };
    (0..options.agents).map(config).collect()
}
