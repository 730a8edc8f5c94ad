// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title @@TITLE@@
/// @notice Verifies many Groth16 proofs over BN254 under one key by one random linear combination, N + 3 pairings.
/// @dev Generated from a template for the key with digest @@DIGEST@@, whose alpha, gamma and delta are stored negated:
///      prod e(rho_i A_i, B_i) e(-s alpha, beta) e(sum rho_i X_i, -gamma) e(sum rho_i C_i, -delta) = 1, s = sum rho_i.
///      rho_0 = 1 and each other rho_i has 128 bits of keccak256(keccak256(key, all proofs and publics), i): whoever
///      searches for a batch with a false proof succeeds with probability 2^-128 a try (Bellare, Garay, Rabin, 1998).
///      An address without a precompile answers every call with success and no data: the answers' lengths are checked.
contract @@NAME@@ {
    /// Proofs and rows of public inputs differ in number, or there are none.
    error WrongCount();
    /// A public input is not below r.
    error PublicNotCanonical(uint256 proof, uint256 index);
    /// A point is not canonical, not on its curve, or not in its subgroup (or the chain has not the precompiles).
    error MalformedPoint();
    /// Some proof does not verify.
    error InvalidBatch();

    uint256 private constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    uint256 private constant KEY = @@DIGEST@@;

@@CONSTANTS@@

    /// @notice Returns if all proofs are valid, reverts otherwise.
    /// @param proofs for each proof A.x, A.y, B.x1, B.x0, B.y1, B.y0, C.x, C.y
    /// @param publics for each proof its public inputs
    function verifyBatch(uint256[8][] calldata proofs, uint256[@@PUBLICS@@][] calldata publics) external view {
        uint256 n = proofs.length;
        if (n == 0 || publics.length != n) revert WrongCount();
        bytes32 seed = keccak256(abi.encode(KEY, proofs, publics));
        uint256[] memory equation = new uint256[](6 * (n + 3));
        uint256[@@TERMS@@] memory sums;
        uint256[2] memory c;
        for (uint256 i = 0; i < n; i++) {
            uint256 rho = i == 0 ? 1 : uint256(keccak256(abi.encode(seed, i))) >> 128;
            _proof(equation, 6 * i, proofs[i], rho, c);
            sums[0] = addmod(sums[0], rho, R);
            for (uint256 j = 0; j < @@PUBLICS@@; j++) {
                uint256 x = publics[i][j];
                if (x >= R) revert PublicNotCanonical(i, j);
                sums[j + 1] = addmod(sums[j + 1], mulmod(rho, x, R), R);
            }
        }
        _key(equation, 6 * n, sums, c);
        bool wellFormed;
        uint256 holds;
        assembly ("memory-safe") {
            let length := mul(mload(equation), 32)
            wellFormed := staticcall(gas(), 8, add(equation, 32), length, add(equation, 32), 32)
            wellFormed := and(wellFormed, eq(returndatasize(), 32))
            holds := mload(add(equation, 32))
        }
        if (!wellFormed) revert MalformedPoint();
        if (holds != 1) revert InvalidBatch();
    }

    /// Writes (rho A, B) and adds rho C to the sum.
    function _proof(
        uint256[] memory equation,
        uint256 place,
        uint256[8] calldata proof,
        uint256 rho,
        uint256[2] memory c
    ) private view {
        uint256[2] memory a;
        _accumulate(a, proof[0], proof[1], rho);
        (equation[place], equation[place + 1]) = (a[0], a[1]);
        for (uint256 k = 2; k < 6; k++) equation[place + k] = proof[k];
        _accumulate(c, proof[6], proof[7], rho);
    }

    /// Writes the three pairs with the key's points of G2.
    function _key(
        uint256[] memory equation,
        uint256 place,
        uint256[@@TERMS@@] memory sums,
        uint256[2] memory c
    ) private view {
        uint256[2] memory point;
        _accumulate(point, ALPHA_X, MINUS_ALPHA_Y, sums[0]);
        (equation[place], equation[place + 1]) = (point[0], point[1]);
        (equation[place + 2], equation[place + 3], equation[place + 4], equation[place + 5]) = (BETA_X1, BETA_X0, BETA_Y1, BETA_Y0);
        place += 6;
        (point[0], point[1]) = (0, 0);
@@ACCUMULATE@@
        (equation[place], equation[place + 1]) = (point[0], point[1]);
        (equation[place + 2], equation[place + 3]) = (GAMMA_X1, GAMMA_X0);
        (equation[place + 4], equation[place + 5]) = (GAMMA_Y1, GAMMA_Y0);
        place += 6;
        (equation[place], equation[place + 1]) = (c[0], c[1]);
        (equation[place + 2], equation[place + 3]) = (DELTA_X1, DELTA_X0);
        (equation[place + 4], equation[place + 5]) = (DELTA_Y1, DELTA_Y0);
    }

    /// total += k * (px, py); refuses points that are not canonical or not on the curve.
    function _accumulate(uint256[2] memory total, uint256 px, uint256 py, uint256 k) private view {
        uint256[4] memory terms = [total[0], total[1], 0, 0];
        bool done;
        assembly ("memory-safe") {
            let operand := mload(0x40)
            mstore(operand, px)
            mstore(add(operand, 32), py)
            mstore(add(operand, 64), k)
            done := staticcall(gas(), 7, operand, 96, add(terms, 64), 64)
            done := and(done, eq(returndatasize(), 64))
            done := and(done, staticcall(gas(), 6, terms, 128, total, 64))
            done := and(done, eq(returndatasize(), 64))
        }
        if (!done) revert MalformedPoint();
    }
}
