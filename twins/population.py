"""The twins that live in one partition: who belongs there, new ones, and what is derived from their rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.errors import InvalidNameError
from schemas.names import check_twin_id
from schemas.partitioning import partition_of
from schemas.reasons import Reason
from streams.block import Block
from streams.processor import Lineage, Outcome
from twins.ids import NO_SLOT
from twins.layout import RowLayout
from twins.lines import LineWriter
from twins.output import OutputWriter
from twins.rows import RowTable

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.step import StepOutput

_UNDECLARED = (Reason.UNKNOWN_TWIN, "the type provisions declared twins only: create it with PUT or twins create")


class Population:
    """Rows of one partition, with the beginnings of their lines.

    Attributes:
        table: The rows.
        lines: Writes the time series of the rows.
        tags: Names of those that lines bear.
        expected_rate_hz: How many messages per second each sends, 0 where that is not known.
    """

    def __init__(
        self, definition: Definition, layout: RowLayout, lineage: Lineage, partitions: int, output: OutputWriter
    ) -> None:
        self.table = RowTable(layout)
        declared: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}
        booleans = {name for name, item in declared.items() if item.type == "bool"}
        self.lines = LineWriter(str(definition.type_name), definition.outputs.timeseries.fields, booleans)
        self.tags = definition.outputs.timeseries.tags
        self.expected_rate_hz = definition.expected_rate_hz
        self._partition = lineage.partition
        self._partitions = partitions
        self._output = output
        self._undeclared = _UNDECLARED if definition.provision == "declared" else None

    def find(
        self, block: Block, refused: dict[int, tuple[Reason, str]], received_ns: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.int64]:
        """Rows of the senders of n records; twins that were never heard of get one, unless they are refused.

        Args:
            block: The records.
            refused: Reason and detail by index; those whose senders are no twins here are added.
            received_ns: (n,) arrival.
            outcome: Takes the new twins' documents.

        Returns:
            (n,) int64, `NO_SLOT` for refused records.
        """
        slots = self.table.find(block.data, block.places)
        slots[list(refused)] = NO_SLOT
        unknown = [index for index in np.flatnonzero(slots == NO_SLOT).tolist() if index not in refused]
        known = self.table.slots
        keys = block.keys(unknown)
        made: dict[bytes, int] = {}
        for index, key in zip(unknown, keys, strict=True):
            if key in known or key in made:
                continue
            if (refusal := self.wrong_key(key) or self._undeclared) is not None:
                refused[index] = refusal
            else:
                made[key] = index
        if made:
            twins, indices = list(made), list(made.values())
            arrived_ns = received_ns[indices].tolist()
            self._create_all(dict(zip(twins, arrived_ns, strict=True)))
            self._output.new_documents(outcome, self.table, twins, arrived_ns, block.offsets[indices])
        slots[unknown] = [known.get(key, NO_SLOT) for key in keys]
        return slots

    def wrong_key(self, key: bytes) -> tuple[Reason, str] | None:
        """Why no twin of this partition is called so, None when one may be."""
        try:
            twin = check_twin_id(key.decode(errors="replace"))
        except InvalidNameError as error:
            return Reason.INVALID_NAME, str(error)
        wanted = self.partition_of(twin)
        if wanted != self._partition:
            detail = f"{twin} belongs into partition {wanted} (murmur2 of the id, as Java clients compute it)"
            return Reason.WRONG_PARTITION, detail
        return None

    def partition_of(self, twin: str) -> int:
        """Partition that a twin lives in."""
        return partition_of(twin, self._partitions)

    def create(self, key: bytes, received_ns: int) -> int:
        """Make a row for a new twin; return its slot."""
        return self._create_all({key: received_ns})

    def _create_all(self, made: Mapping[bytes, int]) -> int:
        """Make rows for new twins, by id and arrival, one behind the other; return the first one's slot."""
        twins = list(made)
        first = self.table.add_all(twins)
        self.table.rows["created_ns"][first : first + len(twins)] = list(made.values())
        self.lines.prefixes.add_all(first, twins)
        return first

    def begin(self, earlier: "Population | None" = None) -> None:
        """Fix how all lines begin; where `earlier` has the same rows, and the same tags in its lines, as it did."""
        if earlier is not None and earlier.tags == self.tags:
            self.lines.prefixes = earlier.lines.prefixes
            return
        self.table.begin()
        index = self.table.index
        self.lines.prefixes.set_all(index.text, index.bounds)
        if self.tags:
            for slot, tags in enumerate(self.table.tags):
                if tags:
                    self.set_prefix(slot)

    def set_prefix(self, slot: int) -> None:
        """Fix how the lines of a row begin, after its tags changed."""
        tags = self.table.tags[slot]
        wanted = {name: tags[name] for name in self.tags if name in tags}
        self.lines.prefixes.set(slot, self.table.ids[slot].decode(), wanted)
