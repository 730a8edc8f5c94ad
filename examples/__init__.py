"""Workloads that show the prover at work; each is a package of its own."""
