"""`make demo`: a block of rollup operations through one cloud and two edges on this machine, timed and verified."""
