"""Finding the lines that a server refuses, with a server that is a function."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.influx.client import RejectedError
from connectors.influx.refusals import PlacedLine, write_lines
from connectors.stores import NOWHERE


class Server:
    """Refuses lines with `bad` (syntax: nothing is taken), `odd` (types: the others are) and `mute` (says nothing)."""

    def __init__(self) -> None:
        self.stored: set[bytes] = set()
        self.posts = 0

    async def post(self, body: bytes) -> None:
        self.posts += 1
        lines = body.split(b"\n")
        bad = [line.decode() for line in lines if b"bad" in line]
        if bad:
            raise RejectedError("\n".join(f"unable to parse '{line}': missing fields" for line in bad))
        odd = [line for line in lines if b"odd" in line]
        self.stored.update(line for line in lines if b"odd" not in line and b"mute" not in line)
        if any(b"mute" in line for line in lines):
            message = "no"
            raise RejectedError(message)
        if odd:
            message = f'partial write: field type conflict: input field "f" is type integer dropped={len(odd)}'
            raise RejectedError(message)


@given(st.lists(st.sampled_from(["good", "good", "good", "bad: it's", "odd", "mute"]), max_size=40))
async def test_exactly_the_refused_lines_come_back_and_all_others_are_written(kinds: list[str]) -> None:
    lines = [PlacedLine(NOWHERE, f"{kind} {number}".encode()) for number, kind in enumerate(kinds)]
    server = Server()
    refusals = await write_lines(lines, server.post)
    good = {line.raw for line in lines if line.raw.startswith(b"good")}
    assert server.stored == good
    assert sorted(refusal.raw for refusal in refusals) == sorted(line.raw for line in lines if line.raw not in good)
    assert all(refusal.detail for refusal in refusals)


async def test_quoted_lines_cost_two_posts_however_many_they_are() -> None:
    server = Server()
    lines = [PlacedLine(NOWHERE, f"{'bad' if n % 3 else 'good'} {n}".encode()) for n in range(3000)]
    assert len(await write_lines(lines, server.post)) == 2000
    assert server.posts == 2


async def test_lines_that_are_all_dropped_cost_one_post() -> None:
    server = Server()
    assert len(await write_lines([PlacedLine(NOWHERE, b"odd %d" % n) for n in range(3000)], server.post)) == 3000
    assert server.posts == 1
