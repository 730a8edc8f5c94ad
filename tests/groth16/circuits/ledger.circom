pragma circom 2.2.0;

bus Account() {
    signal balance;
    signal nonce;
}

// Moves an amount between accounts; has buses, arrays of arrays, an assertion and a run-time log.
template Ledger(n) {
    input Account() from;
    input Account() to[2];
    signal input weights[n][2];
    signal input amount;
    signal output total;
    signal output left;

    assert(amount != 13);
    log("amount", amount);
    left <== from.balance - amount;
    signal sums[n + 1];
    sums[0] <== to[0].balance * to[1].nonce + from.nonce;
    for (var i = 0; i < n; i++) {
        sums[i + 1] <== sums[i] + weights[i][0] * weights[i][1];
    }
    signal square <== amount * amount;
    to[1].balance * to[0].nonce === square;
    total <== sums[n];
}

component main {public [amount]} = Ledger(3);
