"""Pure proving over BN254: fields, curves, circuits, witnesses, Groth16. No network, no clock, no global state."""
