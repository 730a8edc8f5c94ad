"""The cloud aggregator: takes chunks, finishes proofs, verifies batches, stores results."""
