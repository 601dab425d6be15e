//! The `int8` engine: runs the one network encoding that releases carry, without allocation.
