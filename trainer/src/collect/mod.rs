//! Agents' messages from the broker → the store, and the word back that they are stored.
