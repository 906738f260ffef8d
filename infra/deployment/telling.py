"""What a deployment says on its way, and what is worth knowing before it is made."""

from collections.abc import Container, Iterable

from schemas.bundle import Bundle
from schemas.definition import Definition
from schemas.definition_file import FILE
from schemas.deployment import Deployment, HistoryItem
from schemas.errors import DefinitionError, Problem
from twins.renaming import is_older
from twins.succession import succession


class Telling:
    """Listens to a deployment; this one keeps what it hears to itself.

    Attributes:
        notes: What is worth knowing, no fault.
        is_written: Whether a switch was written: not when the version was in force already.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.is_written = False

    def stage(self, text: str) -> None:
        """Called when a part of the way is behind."""

    def note(self, text: str) -> None:
        """Called with what is worth knowing, before anything has changed."""
        self.notes.append(text)


def number_notes(
    definition: Definition, content: str, in_force: Deployment | None, past: Iterable[HistoryItem]
) -> list[str]:
    """What is odd about the version number of something that is to be deployed."""
    version, name = definition.version, str(definition.type_name)
    notes = []
    if same := [item for item in past if item.version == version and item.hash != content]:
        notes.append(
            f"version {version} was in force before with other content ({same[-1].hash[:12]}, now {content[:12]}):"
            " count version up, so that the history tells them apart"
        )
    if in_force is not None and is_older(version, in_force.version):
        notes.append(
            f"version {version} is older than {in_force.version}, which is in force:"
            f" `twinstream rollback {name}` goes back to the version before"
        )
    return notes


def route_notes(definition: Definition, deployed: Container[str]) -> list[str]:
    """Which types, among those that a definition's outputs are routed to, are not deployed."""
    routed = {route.type: path for path, route in definition.outputs.routes().items()}
    return [
        f"outputs.{path} is routed to {name}, which is not deployed: deploy that first, or what reaches it before"
        " becomes dead letters unknown_type"
        for name, path in routed.items()
        if name not in deployed and name != str(definition.type_name)
    ]


def succession_notes(definition: Definition, earlier: Definition | None) -> list[str]:
    """What does not go on from an earlier version, if there is one."""
    return succession(definition, earlier).notes if earlier is not None else []


def demand_succession(bundle: Bundle, earlier: Definition | None) -> None:
    """See that a bundle's migration fits what it goes on from, if anything.

    Raises:
        DefinitionError: with every fault, at its line.
    """
    if earlier is None:
        return
    reading = bundle.examine()
    faults = succession(bundle.definition(), earlier).faults
    if faults:
        raise DefinitionError(
            [Problem(FILE, reading.line(path), path, message, remedy) for path, message, remedy in faults]
        )
