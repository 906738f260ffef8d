"""What a caller may do, and with which twins."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.names import check_twin_id, parse_type


class Scope(StrEnum):
    """What a token permits; none includes another, but `admin` includes all."""

    READ = "read"
    """See twins, types, history, dead letters and figures, and follow the stream."""
    REQUEST = "request"
    """Send requests, create twins, change parameters and tags."""
    DEPLOY = "deploy"
    """Put versions of types into force, send dead letters once more."""
    ADMIN = "admin"
    """Everything: also tokens, the audit trail, and removing dead letters."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The types and twins that a caller may work with; without any of both it is all of them.

    Attributes:
        types: Qualified names: every twin of these.
        twins: `{type}/{id}`: single twins of other types.
    """

    types: frozenset[str] = frozenset()
    twins: frozenset[str] = frozenset()

    @property
    def unlimited(self) -> bool:
        """Whether nothing is held back."""
        return not self.types and not self.twins

    def sees_all_of(self, type_name: str) -> bool:
        """Whether every twin of a type is granted."""
        return self.unlimited or type_name in self.types

    def sees(self, type_name: str, twin: str) -> bool:
        """Whether a twin is granted."""
        return self.sees_all_of(type_name) or f"{type_name}/{twin}" in self.twins

    def sees_of(self, type_name: str) -> bool:
        """Whether the type, or some twin of it, is granted."""
        return self.sees_all_of(type_name) or any(twin.startswith(f"{type_name}/") for twin in self.twins)

    def twins_of(self, type_name: str) -> list[str]:
        """Ids of the single twins of a type, in order."""
        prefix = f"{type_name}/"
        return sorted(twin.removeprefix(prefix) for twin in self.twins if twin.startswith(prefix))

    @staticmethod
    def of(types: Iterable[str], twins: Iterable[str]) -> "Grants":
        """Check names.

        Raises:
            InvalidNameError: a name is outside the grammar.
        """
        types, twins = frozenset(types), frozenset(twins)
        for name in types:
            parse_type(name)
        for name in twins:
            type_name, _, twin = name.partition("/")
            parse_type(type_name)
            check_twin_id(twin)
        return Grants(types, twins)


UNLIMITED = Grants()
