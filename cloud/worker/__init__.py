"""A prover on a machine of its own: `hybrid-prover worker`. It holds leases of one cloud and keeps nothing but keys."""
