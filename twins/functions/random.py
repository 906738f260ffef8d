"""Random numbers that are the same at every replay: pure functions of a seed and a number, without any state.

A step takes the built-in argument `random_seed` and draws `uniform(random_seed, 0)`, `normal(random_seed, 1)` and so
on: the seed differs from record to record, from twin to twin and from step to step, and is the same again whenever the
record is stepped again. The functions give the same bits in a compiled step, in plain Python and in a notebook.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, Proc. SC11
(2011), Philox4x32-10.
"""

import math

_MASK = 0xFFFFFFFF
_MULTIPLIER_0, _MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

_DRAW = 0
_SEED = 1
"""Last word of the counter: draws and seeds never meet."""


def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Philox4x32-10: four words of 32 bits from a counter of four and a key of two.

    Compiled, products of two words wrap around to negative numbers; shifting and masking gives the same words.
    """
    for _ in range(_ROUNDS):
        product_0, product_1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        high_0, high_1 = (product_0 >> 32) & _MASK, (product_1 >> 32) & _MASK
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, product_1 & _MASK, high_0 ^ c3 ^ k1, product_0 & _MASK
        k0, k1 = (k0 + _WEYL_0) & _MASK, (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


def uniform(seed: int, k: int) -> float:
    """Draw number `k`: uniform in [0, 1), in steps of 2**-53.

    Args:
        seed: Any whole number of up to 64 bits, such as the argument `random_seed`.
        k: Any whole number: which draw of this seed.
    """
    w0, w1, _, _ = philox(k & _MASK, (k >> 32) & _MASK, 0, _DRAW, seed & _MASK, (seed >> 32) & _MASK)
    return _fraction(w0, w1)


def normal(seed: int, k: int) -> float:
    """Draw number `k`: normal with mean 0 and standard deviation 1.

    sqrt(-2 ln(1 - u)) cos(2 pi v), of two uniform numbers; not independent of `uniform` of the same seed and `k`.
    Source: G. E. P. Box, M. E. Muller, A Note on the Generation of Random Normal Deviates, Ann. Math. Stat. 29 (1958).

    Args:
        seed: As for `uniform`.
        k: As for `uniform`.
    """
    w0, w1, w2, w3 = philox(k & _MASK, (k >> 32) & _MASK, 0, _DRAW, seed & _MASK, (seed >> 32) & _MASK)
    radius = math.sqrt(-2.0 * math.log(1.0 - _fraction(w0, w1)))
    return radius * math.cos(2.0 * math.pi * _fraction(w2, w3))


def seed_of(identity: int, offset: int, salt: int) -> int:
    """What a step gets as `random_seed`: 63 bits.

    Args:
        identity: Hash of the twin's id, as its row has it.
        offset: Of the record in the input topic.
        salt: 32 bits that tell one step of the pipeline from another.
    """
    key_0, key_1 = identity & _MASK, (identity >> 32) & _MASK
    w0, w1, _, _ = philox(offset & _MASK, (offset >> 32) & _MASK, salt, _SEED, key_0, key_1)
    return ((w1 & 0x7FFFFFFF) << 32) | w0


def _fraction(high: int, low: int) -> float:
    """53 of the 64 bits of two words, as a number in [0, 1)."""
    return ((high >> 5) * 67108864.0 + (low >> 6)) / 9007199254740992.0
