"""Elements of our own: their appearance is in `static`, what they show is pushed by the server."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements import echart as _echart  # noqa: F401 - registers the library that curves.js draws with

Row = dict[str, Any]
"""Cells by column; `key` tells rows apart."""


class Moment(Element, component="static/moment.js", dependencies=["static/console_format.js"]):
    """A time in the viewer's zone; the exact one on hover.

    Args:
        time_ns: UTC nanoseconds; None shows a dash.
        ago: Show how long ago it is, and keep that true.
    """

    def __init__(self, time_ns: int | None, *, ago: bool = False) -> None:
        super().__init__()
        self._props["ns"] = _digits(time_ns)
        self._props["ago"] = ago

    def show(self, time_ns: int | None) -> None:
        """Show another time."""
        digits = _digits(time_ns)
        if digits != self._props["ns"]:
            self._props["ns"] = digits
            self.update()


class DataTable(Element, component="static/data_table.js", dependencies=["static/console_format.js"]):
    """A table with real headers.

    Args:
        caption: What it lists, for screen readers.
        columns: `key`, `label` and `kind` of each: `text`, `code`, `link`, `status`, `time`, `ago`, `number`, `chips`,
            `yes`, `actions` or `level`; `sortable`, `unit`, `narrow` (left out on phones) as wanted.
        rows: What it shows at first.
        empty: What to say, and to do, when there are none.
        sort: Key of the column that it is sorted by.
    """

    def __init__(
        self,
        caption: str,
        columns: Sequence[Mapping[str, Any]],
        rows: Iterable[Row] = (),
        *,
        empty: str = "",
        sort: str = "",
        descending: bool = False,
        selectable: bool = False,
    ) -> None:
        super().__init__()
        self._props["caption"] = caption
        self._props["columns"] = [dict(column) for column in columns]
        self._props["rows"] = tuple(rows)
        self._props["empty"] = empty
        self._props["sort"] = sort
        self._props["descending"] = descending
        self._props["selectable"] = selectable

    def show(self, rows: Iterable[Row]) -> None:
        """Show other rows; the same ones are not pushed again."""
        wanted = tuple(rows)
        if wanted == self._props["rows"]:
            return
        # A tuple, since NiceGUI would watch every cell of a list; and pushed once, by itself.
        with self._props.suspend_updates():
            self._props["rows"] = wanted
        self.run_method("show", wanted)

    def show_empty(self, text: str) -> None:
        """Say something else where there are no rows."""
        if text != self._props["empty"]:
            self._props["empty"] = text
            self.update()

    def sorted_by(self, key: str, *, descending: bool) -> None:
        """Mark the column that the rows are sorted by."""
        self._props["sort"] = key
        self._props["descending"] = descending
        self.update()


class Curves(
    Element,
    component="static/curves.js",
    dependencies=["static/console_format.js", "static/mark_lines.js"],
):
    """Curves over time in panels that move together, with marks.

    Args:
        panels: `title`, `unit` and `series` of each; a series has `field`, `label`, `kind` (`line` or `state`).
        label: What they show, for screen readers.
        keep: Most points of a curve; the oldest go first.
    """

    def __init__(self, panels: Sequence[Mapping[str, Any]], *, label: str, keep: int = 4000) -> None:
        super().__init__()
        self._props["panels"] = [dict(panel) for panel in panels]
        self._props["label"] = label
        self._props["keep"] = keep

    def show(self, points: Mapping[str, Any], *, span_ms: float) -> None:
        """Show a stretch of history: `time_ms`, `value` and, of buckets, `low` and `high` by field."""
        self.run_method("show", dict(points), span_ms)

    def refine(self, points: Mapping[str, Any], start_ms: float, stop_ms: float) -> None:
        """Show a part of the history closer; as for `show`."""
        self.run_method("refine", dict(points), start_ms, stop_ms)

    def append(self, time_ms: float, values: Mapping[str, float | None]) -> None:
        """Add a point to each curve."""
        self.run_method("append", time_ms, dict(values))

    def show_marks(self, marks: Sequence[Mapping[str, Any]]) -> None:
        """Add marks: `id`, `time_ms`, `name`, `severity`, `text`."""
        self.run_method("mark", list(marks))


class LiveValues(Element, component="static/live_values.js", dependencies=["static/console_format.js"]):
    """Names and present values with their units, changed in place.

    Args:
        caption: What they are, for screen readers.
        items: `key`, `label`, `unit` and `hint` of each.
    """

    def __init__(self, caption: str, items: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> None:
        super().__init__()
        self._props["caption"] = caption
        self._props["items"] = [dict(item) for item in items]
        self._props["values"] = dict(values)

    def show(self, values: Mapping[str, Any]) -> None:
        """Show other values; the same ones are not pushed again."""
        wanted = dict(values)
        if wanted == self._props["values"]:
            return
        with self._props.suspend_updates():
            self._props["values"] = wanted
        self.run_method("show", wanted)


class StatusMark(Element, component="static/status_mark.js"):
    """A status by shape, colour and word."""

    def __init__(self, status: str) -> None:
        super().__init__()
        self._props["status"] = status

    def show(self, status: str) -> None:
        """Show another one."""
        if status != self._props["status"]:
            self._props["status"] = status
            self.update()


def heading(text: str, level: int = 2) -> Element:
    """A heading."""
    with ui.element(f"h{level}") as element:
        element.classes(f"ts-h{level}")
        ui.element("span").props["innerText"] = text
    return element


def card(title: str) -> Element:
    """A part of a page with a heading; enter it to fill it."""
    with ui.element("section").classes("ts-card") as element:
        element.props["aria-label"] = title
        text(title, "h2", "ts-h2")
    return element


def text(content: str, tag: str = "span", classes: str = "") -> ui.label:
    """Plain text in a tag of its own."""
    label = ui.label(content)
    label.tag = tag
    return label.classes(classes)


def _digits(time_ns: int | None) -> str:
    # JavaScript's numbers can't hold nanoseconds.
    return "" if time_ns is None else str(time_ns)
