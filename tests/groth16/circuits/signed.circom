pragma circom 2.0.0;

include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/eddsaposeidon.circom";
include "circomlib/circuits/mux1.circom";

// A signed message whose digest is a leaf of the tree with this root.
template Signed(depth) {
    signal input root;
    signal input key[2];
    signal input r8[2];
    signal input s;
    signal input message;
    signal input siblings[depth];
    signal input right[depth];
    signal output nullifier;

    component verifier = EdDSAPoseidonVerifier();
    verifier.enabled <== 1;
    verifier.Ax <== key[0];
    verifier.Ay <== key[1];
    verifier.R8x <== r8[0];
    verifier.R8y <== r8[1];
    verifier.S <== s;
    verifier.M <== message;

    component leaf = Poseidon(3);
    leaf.inputs[0] <== key[0];
    leaf.inputs[1] <== key[1];
    leaf.inputs[2] <== message;

    signal node[depth + 1];
    node[0] <== leaf.out;
    component mux[depth];
    component hash[depth];
    for (var i = 0; i < depth; i++) {
        right[i] * (right[i] - 1) === 0;
        mux[i] = MultiMux1(2);
        mux[i].c[0][0] <== node[i];
        mux[i].c[0][1] <== siblings[i];
        mux[i].c[1][0] <== siblings[i];
        mux[i].c[1][1] <== node[i];
        mux[i].s <== right[i];
        hash[i] = Poseidon(2);
        hash[i].inputs[0] <== mux[i].out[0];
        hash[i].inputs[1] <== mux[i].out[1];
        node[i + 1] <== hash[i].out;
    }
    root === node[depth];

    component mark = Poseidon(1);
    mark.inputs[0] <== s;
    nullifier <== mark.out;
}

component main {public [root]} = Signed(4);
