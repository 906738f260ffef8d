"""What the output writer assembles by hand is what the message types encode."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from schemas import messages
from schemas.bundle import read_folder
from schemas.definition_file import read_definition
from schemas.messages import Cause, Command
from streams.processor import Lineage, Outcome
from twins.kernel.commands import SENT
from twins.layout import RowLayout
from twins.output import OutputWriter
from twins.rows import RowTable
from twins.traces import Traces

FOLDER = Path(__file__).parents[1] / "types" / "statistics"
LINEAGE = Lineage("cluster", "topic", 3)


@pytest.mark.parametrize(("kind", "value", "typed"), [("bool", 1.0, True), ("float", 0.1, 0.1), ("int", 7.0, 7)])
def test_command_is_the_encoded_message(kind: str, value: float, typed: messages.Value) -> None:
    bundle = read_folder(FOLDER)
    text = bundle.files["twin.yaml"].decode().replace("field: high, type: bool", f"field: high, type: {kind}")
    definition = type(bundle)({**bundle.files, "twin.yaml": text.encode()}, "").definition()
    writer = OutputWriter(definition, "a1b2", LINEAGE, RowLayout.of(definition), Traces("statistics", LINEAGE))
    outcome = Outcome()
    writer.commands(outcome, [(0, SENT, value, b"twin-1", 17, 1_700_000_000_000_000_000, 9, 5)])
    expected = Command(
        id=messages.command_id(
            cluster="cluster", topic_id="topic", partition=3, offset=17, twin="twin-1", name="valve"
        ),
        type="statistics",
        twin="twin-1",
        name="valve",
        value=typed,
        issued_ns=1_700_000_000_000_000_000,
        expires_ns=60_000_000_009,
        cause=Cause(partition=3, offset=17, definition="a1b2", parameters=5),
    )
    sent = messages.encode(expected)[:-1] + b',"status":"issued"}'
    assert outcome.outputs == {"twinstream.statistics.commands": [(b"twin-1", sent, ())]}
    assert msgspec.json.decode(sent, type=Command) == expected


def test_documents_of_new_twins_are_those_of_their_rows() -> None:
    text = (FOLDER / "twin.yaml").read_text()
    place = '  place: {type: string, default: "100 %d \\"id\\":1, %b"}\n'
    text = text.replace("parameters:\n", "parameters:\n" + place, 1)
    definition = read_definition(text)
    layout = RowLayout.of(definition)
    table = RowTable(layout)
    writer = OutputWriter(definition, "a1b2", LINEAGE, layout, Traces("statistics", LINEAGE))
    for twins in ([b"twin-1"], [b"twin-2", b"A_3"]):
        stamps = [1_700_000_000_000_000_000 + number for number in range(len(twins))]
        first = table.add_all(twins)
        slots = range(first, first + len(twins))
        table.rows["created_ns"][list(slots)] = stamps
        found, expected = Outcome(), Outcome()
        writer.new_documents(found, table, twins, stamps, np.arange(len(twins)))
        writer.documents(expected, table, slots, stamps)
        assert found.outputs == expected.outputs
        assert len(found.outputs["twinstream.statistics.metadata"]) == len(twins)
