"""The command line `hybrid-prover`; every command lives in a module of its own and loads only when it is called."""
