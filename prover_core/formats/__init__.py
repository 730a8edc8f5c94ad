"""iden3's files: `.r1cs`, `.wtns`, `.zkey`, `.ptau` and snarkjs's JSON. Provers never import this package."""
