"""Topic filters and binding keys with named parts: matching, and what to subscribe to."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

ROOT = "twins"
"""First word of every address of our own."""

EXCHANGE = "twinstream"
"""Our own AMQP exchange."""

DEVICES_EXCHANGE = "twinstream.devices"
"""What comes in alone: devices with rights of their own publish here, where no other device's queue is bound."""

REST = "#"

_NAMED = re.compile(r"\{([a-z]+)\}")
_BRACES = re.compile(r"[{}]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a protocol writes addresses.

    Attributes:
        separator: Between words.
        one: The wildcard for exactly one word; `#` stands for any number of words in both protocols.
        rest_is_last: Whether `#` may only end a pattern.
    """

    separator: str
    one: str
    rest_is_last: bool


MQTT = Dialect("/", "+", rest_is_last=True)
AMQP = Dialect(".", "*", rest_is_last=False)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A filter such as `twins/{type}/{id}/telemetry`.

    Attributes:
        words: Each a literal, a wildcard or `{part}`.
    """

    dialect: Dialect
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, dialect: Dialect, parts: Collection[str]) -> "Pattern":
        """Read a pattern whose named parts are among `parts`.

        Raises:
            ValueError: with every fault of the pattern.
        """
        words = tuple(text.split(dialect.separator))
        faults = [] if text else ["must not be empty"]
        named = [match[1] for word in words if (match := _NAMED.fullmatch(word))]
        faults += [f"{{{name}}} is not among {_braced(parts)}" for name in named if name not in parts]
        faults += [f"{{{name}}} stands there twice" for name in sorted(set(named)) if named.count(name) > 1]
        for word in words:
            if _BRACES.search(word) and not _NAMED.fullmatch(word):
                faults.append(f"{word!r}: a named part is a whole word between two {dialect.separator!r}")
            elif len(word) > 1 and (dialect.one in word or REST in word):
                faults.append(f"{word!r}: a wildcard is a whole word between two {dialect.separator!r}")
        if dialect.rest_is_last and REST in words[:-1]:
            faults.append("# may only be the last word")
        if faults:
            message = f"{text!r}: {'; '.join(faults)}"
            raise ValueError(message)
        return cls(dialect, words)

    @property
    def text(self) -> str:
        """The pattern as written."""
        return self.dialect.separator.join(self.words)

    @property
    def parts(self) -> frozenset[str]:
        """Names of the named parts."""
        return frozenset(word[1:-1] for word in self.words if word[0:1] == "{")

    @property
    def filter(self) -> str:
        """What the broker is asked for: named parts become the wildcard for one word."""
        return self.dialect.separator.join(_plain(self))

    def match(self, address: str) -> dict[str, str] | None:
        """The named parts of `address`, None when it does not match."""
        return _match(self.words, address.split(self.dialect.separator), self.dialect.one)

    def covers(self, other: "Pattern") -> bool:
        """Whether everything that matches `other` matches this; for patterns with `#` at the end only."""
        return _covers(_plain(self), _plain(other), self.dialect.one)

    def overlaps(self, other: "Pattern") -> bool:
        """Whether some address matches both; for patterns with `#` at the end only."""
        return _overlap(_plain(self), _plain(other), self.dialect.one)


def _plain(pattern: Pattern) -> list[str]:
    return [pattern.dialect.one if word[0:1] == "{" else word for word in pattern.words]


def _match(words: Sequence[str], address: Sequence[str], one: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if word == REST:
            for taken in range(len(address) - index + 1):
                below = _match(words[index + 1 :], address[index + taken :], one)
                if below is not None:
                    return found | below
            return None
        if index >= len(address):
            return None
        if word[0:1] == "{":
            found[word[1:-1]] = address[index]
        elif word not in (one, address[index]):
            return None
    return found if len(words) == len(address) else None


def _covers(wide: Sequence[str], narrow: Sequence[str], one: str) -> bool:
    if not wide or wide[0] == REST:
        return bool(wide) or not narrow
    if not narrow or narrow[0] == REST or wide[0] not in (one, narrow[0]):
        return False
    return _covers(wide[1:], narrow[1:], one)


def _overlap(a: Sequence[str], b: Sequence[str], one: str) -> bool:
    if REST in (*a[:1], *b[:1]):
        return True
    if not a or not b:
        return not a and not b
    return (one in (a[0], b[0]) or a[0] == b[0]) and _overlap(a[1:], b[1:], one)


def _braced(parts: Collection[str]) -> str:
    return ", ".join(f"{{{part}}}" for part in sorted(parts))
