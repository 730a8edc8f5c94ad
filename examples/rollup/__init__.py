"""A small rollup: signed operations on a Poseidon Merkle state, cut into segments that are proved in parallel."""
