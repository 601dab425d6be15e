//! Behaviour of what runs on the router.
