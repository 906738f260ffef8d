"""How many twins have each status."""

from support.http_api import Api

from twins.layout import LAYOUT_KEY_PREFIX, QUARANTINED, RowLayout

TOPIC = "twinstream.box.state"


def test_twins_are_counted_by_status_whatever_layout_their_rows_have() -> None:
    api = Api()
    states = api.states
    for name in ("a", "b"):
        api.row(name)
    api.row("c", status=QUARANTINED)
    assert states.statuses("box") == {"ok": 2, "stale": 0, "drifting": 0, "quarantined": 1}
    layout = RowLayout.of(api.catalogue.deployed["box"].definition)
    earlier = b"earlier." + layout.new_row().tobytes()
    states.apply([api.record(TOPIC, LAYOUT_KEY_PREFIX + b"earlier.".hex().encode(), layout.description)])
    states.apply([api.record(TOPIC, b"d", earlier)])
    assert states.statuses("box") == {"ok": 3, "stale": 0, "drifting": 0, "quarantined": 1}
    states.apply([api.record(TOPIC, b"e", b"unknown." + layout.new_row().tobytes())])
    assert states.statuses("box") == {"ok": 3, "stale": 0, "drifting": 0, "quarantined": 1}
    assert states.statuses("nobody") == {"ok": 0, "stale": 0, "drifting": 0, "quarantined": 0}
