pragma circom 2.0.0;

// A leaf that this repository's own circuits know nothing of: new = old^3 + secret, secret below 2^32.
template Running() {
    signal input old;
    signal input secret;
    signal output next;
    signal bits[32];
    signal square;
    var sum = 0;
    for (var i = 0; i < 32; i++) {
        bits[i] <-- (secret >> i) & 1;
        bits[i] * (bits[i] - 1) === 0;
        sum += bits[i] * (1 << i);
    }
    sum === secret;
    square <== old * old;
    next <== square * old + secret;
}

component main {public [old]} = Running();
