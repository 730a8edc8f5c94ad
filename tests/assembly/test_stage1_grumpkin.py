"""Grumpkin, Poseidon and structured scalars: native against plain Python, and against what nobody here wrote."""

from __future__ import annotations

import random

import pytest

from prover_core.assembly import grumpkin
from prover_core.assembly.engine import Engine, engine, hash_to_curve
from prover_core.assembly.fields import CUBE_ROOT_Q, CUBE_ROOT_R, frobenius
from prover_core.assembly.grumpkin import add, multiply, negate, on_curve
from prover_core.assembly.transcript import RareChallengeError, Transcript
from prover_core.assembly.weights import (
    DIGIT_OFFSET,
    eq_vector,
    lane_scalar,
    odd_value,
    two_words,
    unit_value,
    word_digits,
)
from prover_core.errors import InvalidInputError
from prover_core.native import _native
from prover_core.reference.curve import G1
from prover_core.reference.field import to_limbs
from prover_core.reference.poseidon import permute
from prover_core.types import Q, R

BASE = (1, 17631683881184975370165255887551781615748388533673675138860)
"""Grumpkin's generator in Aztec's Barretenberg and in noble-curves."""


@pytest.fixture(scope="module")
def native() -> Engine:
    return engine()


def test_the_published_generator_has_order_q() -> None:
    assert on_curve(BASE)
    assert multiply(BASE, Q - 1) == negate(BASE)
    assert multiply(BASE, Q) is None


def test_endomorphisms_close_the_cycle() -> None:
    assert pow(CUBE_ROOT_Q, 3, Q) == 1 != CUBE_ROOT_Q
    assert pow(CUBE_ROOT_R, 3, R) == 1 != CUBE_ROOT_R
    assert multiply(BASE, CUBE_ROOT_Q) == (CUBE_ROOT_R * BASE[0] % R, BASE[1])
    image = G1.multiply(G1.generator, CUBE_ROOT_R)
    assert (image.x, image.y) == (CUBE_ROOT_Q * G1.generator.x % Q, G1.generator.y)
    assert all(b == 0 for _, b in frobenius(2))


def test_generators_are_the_first_on_the_curve(native: Engine) -> None:
    tags = [f"test {i}" for i in range(20)]
    for tag, p in zip(tags, hash_to_curve(tags), strict=True):
        assert on_curve(p)
        assert p[1] <= (R - 1) // 2
        for x in grumpkin.candidates(tag):
            if x == p[0]:
                break
            assert pow(x**3 - 17, (R - 1) // 2, R) == R - 1
    points = native.generator_points(2)
    assert len({*points, native.value_generator}) == 2 * 96 + 1
    assert native.generator_points(4)[:192] == points


def test_sums_against_plain_python(native: Engine) -> None:
    rng = random.Random(1)
    points = native.generator_points(2)
    edge = [0, 1, 2, Q - 1, Q - 2, 127, 128, 129, 255, 256, 1 << 253, (1 << 253) + 128, Q >> 1]
    scalars = edge + [rng.randrange(Q) for _ in range(7)]
    expected = None
    for p, k in zip(points, scalars, strict=False):
        expected = add(expected, multiply(p, k))
    assert native.sum(list(zip(points, scalars, strict=False))) == expected
    assert native.generator_sums(2, scalars, [0]) == [expected]
    assert native.sum([], scalars + [0] * (192 - len(scalars))) == expected
    strided = native.generator_sums(2, scalars[:4], [5, 6], 90)
    assert strided == [
        add(multiply(points[i], a), multiply(points[i + 90], b)) for i, a, b in ((5, 0, 1), (6, 2, Q - 1))
    ]


def test_sums_are_complete(native: Engine) -> None:
    """Equal, opposite and cancelling terms."""
    p = native.value_generator
    assert native.sum([(p, 5), (p, Q - 5)]) is None
    assert native.sum([(p, 3), (p, 3)]) == multiply(p, 6)
    assert native.sum([(p, 3), (negate(p) or p, 3)]) is None
    assert native.sum([(p, 0)]) is None
    many = native.sum([(p, 7)] * 40)
    assert many == multiply(p, 280)


def test_native_border_refuses_nonsense(native: Engine) -> None:
    p = native.value_generator
    with pytest.raises(ValueError, match="modulus"):
        native.sum([(p, Q)])
    with pytest.raises(ValueError, match="modulus"):
        native.sum([((p[0] + R, p[1]), 1)])
    with pytest.raises(ValueError, match="leaves the generators"):
        native.generator_sums(2, [1, 1], [192])
    with pytest.raises(ValueError, match="divide"):
        native.generator_sums(2, [1, 1, 1], [0, 1])
    with pytest.raises(ValueError, match="constants"):
        _native.Poseidon(to_limbs([1, 2, 3]), to_limbs([1, 2, 3, 4]), 8, 56)


def test_poseidon_is_the_reference(native: Engine) -> None:
    rng = random.Random(2)
    for state in ([0] * 17, [R - 1] * 17, [rng.randrange(R) for _ in range(17)]):
        assert native.permute(state) == permute(state)


def test_digit_words() -> None:
    rng = random.Random(3)
    for word in (0, (1 << 128) - 1, rng.getrandbits(128)):
        digits = word_digits(word)
        assert set(digits) <= {-3, -1, 1, 3}
        assert sum(d << 2 * i for i, d in enumerate(digits)) == 2 * word - DIGIT_OFFSET
        scalar = 2
        for d in reversed(digits):
            s0 = 1 if d > 0 else -1
            scalar = 2 * scalar + s0 + (d - 2 * s0) * CUBE_ROOT_R
        assert lane_scalar(word) == scalar % R


def test_two_words_cover_the_field() -> None:
    rng = random.Random(4)
    for y in [0, 1, R - 1, R // 2, *(rng.randrange(R) for _ in range(200))]:
        low, high = two_words(y)
        assert 0 <= low < 1 << 128
        assert 0 <= high < 1 << 128
        assert (lane_scalar(low) + (lane_scalar(high) << 64) - y) % R == 0


def test_unit_weights() -> None:
    units = [1, -1, CUBE_ROOT_Q, -CUBE_ROOT_Q, CUBE_ROOT_Q**2, -(CUBE_ROOT_Q**2)]
    rng = random.Random(5)
    digits = [rng.randrange(6) for _ in range(49)]
    assert unit_value(digits) == sum(3**i * units[d] for i, d in enumerate(digits)) % Q
    assert len({unit_value([a, b, c]) for a in range(6) for b in range(6) for c in range(6)}) == 216


def test_odd_values_and_eq() -> None:
    assert [odd_value((h, 2)) for h in range(4)] == [-3, -1, 1, 3]
    point = [3, 10, 12]
    table = eq_vector(point)
    for i, value in enumerate(table):
        expected = 1
        for t, x in enumerate(point):
            expected = expected * (x if i >> t & 1 else 1 - x) % Q
        assert value == expected


class TestTranscript:
    """The sponge by itself."""

    @staticmethod
    def start(native: Engine, *elements: int) -> Transcript:
        t = Transcript(permutation=native.permute)
        t.absorb(elements)
        return t

    def test_lengths_and_order_of_challenges(self, native: Engine) -> None:
        a, b = self.start(native, 1, 2, 3), self.start(native, 1, 2, 3)
        one = a.challenges(3)
        assert [bits for _, bits in one] == [128, 125, 128]
        assert all(0 <= v < 1 << bits for v, bits in one)
        assert b.integers(1) + b.integers(2) == [v for v, _ in one]
        h = self.start(native, 1, 2, 3).squeeze()
        assert one[0][0] == h & (1 << 128) - 1
        assert one[1][0] == h >> 128 & (1 << 125) - 1

    def test_units_are_the_digits_of_one_element(self, native: Engine) -> None:
        h = self.start(native, 4).squeeze()
        first, second = self.start(native, 4).units(2)
        assert h - sum(d * 6**i for i, d in enumerate((*first, *second))) in (0, 6**98)
        assert self.start(native, 4).units(1) == [first]

    def test_absorbing_forgets_a_waiting_challenge(self, native: Engine) -> None:
        a = self.start(native, 1)
        a.integers(1)
        a.absorb([5])
        b = self.start(native, 1)
        b.squeeze()
        b.absorb([5])
        assert a.integers(1) == b.integers(1)

    def test_every_element_and_its_place_count(self, native: Engine) -> None:
        base = [7] * 40
        seen = {self.start(native, *base).squeeze()}
        for i in range(40):
            changed = [*base[:i], 8, *base[i + 1 :]]
            seen.add(self.start(native, *changed).squeeze())
        assert len(seen) == 41

    def test_integers_are_packed_without_loss(self, native: Engine) -> None:
        values = [Q - 1, 0, 5, 1 << 253]
        t = Transcript(permutation=native.permute)
        t.absorb_integers(values)
        number = sum(v << 254 * i for i, v in enumerate(values))
        again = self.start(native, *[number >> at & (1 << 253) - 1 for at in range(0, 4 * 254, 253)])
        assert t.squeeze() == again.squeeze()

    def test_elements_near_the_modulus_are_refused(self) -> None:
        t = Transcript(permutation=lambda state: [R - 1] * 17)
        t.absorb([1])
        with pytest.raises(RareChallengeError):
            t.challenges(1)
        with pytest.raises(RareChallengeError):
            t.units(1)
        assert t.squeeze() == R - 1


def test_sizes_that_make_no_shape() -> None:
    from prover_core.assembly.shape import Shape, fitting

    for bad in ((0, 1, 2), (1, -1, 2), (1, 1, 3), (1, 1, 1), (1, 0, 8), (1 << 20, 1, 8)):
        with pytest.raises(InvalidInputError):
            Shape(*bad)
    shape = fitting(64, 2)
    assert (shape.chunk, shape.groups, shape.group_bits, shape.blocks, shape.generators) == (8, 70, 7, 9, 768)
    assert (fitting(1, 0).chunk, fitting(20, 2).chunk, fitting(400, 2).chunk) == (2, 4, 16)
