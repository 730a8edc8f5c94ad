"""Stage 2 of an assembly: the circuit over Fr that verifies stage 1, proved with Groth16."""
