"""The pages on HTTP and topics name everything that there is."""

from pathlib import Path

import pytest

from infra.http.problems import Kind
from schemas import topics
from schemas.headers import Kind as RecordKind
from schemas.messages import DeadLetter, Event, TwinDocument
from schemas.reasons import Reason

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_problem_is_documented_with_its_status(kind: Kind) -> None:
    lines = (DOCS / "http.md").read_text().splitlines()
    assert any(f"`{kind.slug}`" in line and line.startswith(f"| {kind.status} |") for line in lines)


@pytest.mark.parametrize("reason", Reason)
def test_every_dead_letter_reason_is_documented(reason: Reason) -> None:
    assert f"\n| `{reason}` |" in (DOCS / "topics.md").read_text()


def test_every_topic_header_and_key_is_documented() -> None:
    text = (DOCS / "topics.md").read_text()
    names = [*topics.TypeTopics("{type}").all(), topics.DEFINITIONS, topics.DEADLETTER, topics.LOGS, *RecordKind]
    for message in (DeadLetter, Event, TwinDocument):
        names += message.__struct_fields__
    assert [name for name in names if f"`{name}`" not in text and f'"{name}"' not in text] == []
