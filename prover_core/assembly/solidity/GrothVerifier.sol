// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title @@TITLE@@
/// @notice Verifies one Groth16 proof over BN254 with @@PUBLICS@@ public inputs, for the key with digest @@DIGEST@@.
/// @dev Generated from a template; the key's constants alpha, gamma and delta are stored negated, so that the equation is
///      e(A, B) e(-alpha, beta) e(X, -gamma) e(C, -delta) = 1 with X = IC_0 + sum of x_j IC_j.
///      The precompiles (EIP-196, EIP-197) refuse coordinates that are not below q, points off their curves, and points
///      of the twist outside the subgroup; public inputs must be below r, which is checked here.
///      An address without a precompile answers every call with success and no data: the answers' lengths are checked.
contract @@NAME@@ {
    /// A public input is not below r.
    error PublicNotCanonical(uint256 index);
    /// A point is not canonical, not on its curve, or not in its subgroup (or the chain has not the precompiles).
    error MalformedPoint();
    /// The pairing equation does not hold.
    error InvalidProof();

    uint256 private constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

@@CONSTANTS@@

    /// @notice Returns if the proof is valid, reverts otherwise.
    /// @param proof A.x, A.y, B.x1, B.x0, B.y1, B.y0, C.x, C.y
    /// @param publics the public inputs, in the circuit's order
    function verify(uint256[8] calldata proof, uint256[@@PUBLICS@@] calldata publics) external view {
        uint256[24] memory equation;
        _copyProof(equation, proof);
        (equation[12], equation[13]) = _publicPoint(publics);
        uint256 holds;
        bool wellFormed;
        assembly ("memory-safe") {
            wellFormed := staticcall(gas(), 8, equation, 768, equation, 32)
            wellFormed := and(wellFormed, eq(returndatasize(), 32))
            holds := mload(equation)
        }
        if (!wellFormed) revert MalformedPoint();
        if (holds != 1) revert InvalidProof();
    }

    /// X = IC_0 + sum of x_j IC_j: one multiplication and one addition a public input.
    function _publicPoint(uint256[@@PUBLICS@@] calldata publics) private view returns (uint256, uint256) {
        uint256[2] memory total = [IC_0_X, IC_0_Y];
@@ACCUMULATE@@
        return (total[0], total[1]);
    }

    /// total += x * (px, py)
    function _accumulate(uint256[2] memory total, uint256 px, uint256 py, uint256 x, uint256 index) private view {
        if (x >= R) revert PublicNotCanonical(index);
        uint256[4] memory terms = [total[0], total[1], px, py];
        bool done;
        assembly ("memory-safe") {
            let operand := mload(0x40)
            mstore(operand, px)
            mstore(add(operand, 32), py)
            mstore(add(operand, 64), x)
            done := staticcall(gas(), 7, operand, 96, add(terms, 64), 64)
            done := and(done, eq(returndatasize(), 64))
            done := and(done, staticcall(gas(), 6, terms, 128, total, 64))
            done := and(done, eq(returndatasize(), 64))
        }
        if (!done) revert MalformedPoint();
    }

    function _copyProof(uint256[24] memory equation, uint256[8] calldata proof) private pure {
        for (uint256 i = 0; i < 6; i++) equation[i] = proof[i];
        (equation[6], equation[7]) = (ALPHA_X, MINUS_ALPHA_Y);
        (equation[8], equation[9], equation[10], equation[11]) = (BETA_X1, BETA_X0, BETA_Y1, BETA_Y0);
        (equation[14], equation[15], equation[16], equation[17]) = (GAMMA_X1, GAMMA_X0, GAMMA_Y1, GAMMA_Y0);
        (equation[18], equation[19]) = (proof[6], proof[7]);
        (equation[20], equation[21], equation[22], equation[23]) = (DELTA_X1, DELTA_X0, DELTA_Y1, DELTA_Y0);
    }
}
