"""Generated from protos/hybrid_prover/v1 by tools/generate_stubs.py; do not edit."""
