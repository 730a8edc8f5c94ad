"""Assemblies of assemblies: from the public inputs of the outermost proof to every leaf at the bottom.

An outer assembly's leaves are inner assemblies, and all that it says of one is its row: a key digest, a count, a digest
of publics. That is true of an inner assembly over any key whatever, one that its maker can forge under included. So a
row has to be opened: whoever checks computes it from the inner leaves' key and publics, down to leaves under keys that
are expected. Then one proof is verified, the outermost; inner proofs are not needed. See docs/assembly-security.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..backend import Backend
from ..errors import VerificationError
from ..groth16 import Proof, VerificationKey, verify
from ..types import Digest
from .assemble import assembly_publics
from .shape import Shape
from .wrap.statement import Chain


@dataclass(frozen=True, slots=True)
class Contents:
    """What an assembly is said to hold, level by level."""

    shape: Shape
    vk: VerificationKey
    """Of its leaves: where these are assemblies, their wrap's."""
    leaves: tuple[tuple[int, ...] | Contents, ...]
    """Each leaf's public signals, or what it holds in turn."""
    chain: Chain | None = None

    def publics(self) -> tuple[int, ...]:
        """The assembly's public inputs; an inner assembly's are its row in the outer one.

        `InvalidInputError` if publics do not fit a shape or a key, or break a chain. Half a second a new key.
        """
        rows = [leaf.publics() if isinstance(leaf, Contents) else leaf for leaf in self.leaves]
        return assembly_publics(self.shape, self.vk, rows, self.chain)

    def bottom(self) -> Iterator[tuple[VerificationKey, tuple[int, ...]]]:
        """(key, public signals) of every leaf that is no assembly, in order."""
        for leaf in self.leaves:
            if isinstance(leaf, Contents):
                yield from leaf.bottom()
            else:
                yield self.vk, leaf


def verify_levels(
    wrap_vk: VerificationKey,
    contents: Contents,
    proof: Proof,
    backend: Backend,
    *,
    keys: Sequence[VerificationKey],
    inner: Sequence[VerificationKey] = (),
) -> None:
    """Returns if `proof`, under wrap_vk, shows that a proof is known for each of `contents.bottom()`.

    `keys` are those of the leaf circuits that the caller expects, `inner` the wraps' of inner levels where they are not
    wrap_vk; all, and wrap_vk, from where the caller trusts them. `contents` may be the prover's: a key in it that is
    none of these is refused. `VerificationError` for that (`field` = the leaf, as `leaves[1].leaves[0]`) and if the
    proof fails; `InvalidInputError` as `Contents.publics`.
    """
    wraps = {vk.digest for vk in (wrap_vk, *inner)}
    _check_keys(contents, {vk.digest for vk in keys}, wraps, "")
    verify(wrap_vk, proof, list(contents.publics()), backend)


def _check_keys(contents: Contents, keys: Collection[Digest], wraps: Collection[Digest], path: str) -> None:
    digest = contents.vk.digest
    for i, leaf in enumerate(contents.leaves):
        place = f"{path}leaves[{i}]"
        if isinstance(leaf, Contents):
            if digest not in wraps:
                raise VerificationError("an assembly under a key that is not a trusted wrap's", field=place)
            _check_keys(leaf, keys, wraps, f"{place}.")
        elif digest not in keys:
            what = "an assembly whose own leaves are not given" if digest in wraps else "a leaf under an unexpected key"
            raise VerificationError(what, field=place)
