"""The row of one twin: a NumPy record, its bytes in the changelog, and what it says.

A changelog value is: 8 bytes layout fingerprint, the row's bytes, then the twin's tags and texts as JSON.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition, stale_field
from schemas.outputs import CommandOutput
from schemas.quantity import Scalar
from schemas.step import StateField, Step
from streams.processor import RESERVED_KEY_PREFIX
from twins.row_format import RowFormat, packed
from twins.texts import tags_of, text_of

if TYPE_CHECKING:
    from twins.functions.built_in import BoundStep

LAYOUT_KEY_PREFIX = RESERVED_KEY_PREFIX + b"layout/"
FINGERPRINT_BYTES = 8

QUARANTINED = 1
"""Bit of `status`: no record is stepped until the request `release`."""

STALE = 2
"""Bit of `status`: what the twin knows is too old."""

DRIFTING = 4
"""Bit of `status`: the twin and its plant drift apart."""

STATUSES = ("ok", "stale", "drifting", "quarantined")
"""What a twin may be, in words."""

ISSUED_DEPTH = 8
"""Commands of each name that a row remembers: the last that may still be acknowledged."""

NOT_ISSUED = 0xFFFFFFFF
"""In place of an offset where fewer commands were issued."""

_HEADER: list[tuple[str, str]] = [
    ("identity", "i8"),  # hash of its id
    ("revision", "i8"),  # changes of the twin so far
    ("parameter_revision", "i8"),  # changes of its parameters so far
    ("event_time_ns", "i8"),  # of the latest accepted record
    ("offset", "i8"),  # of the last record in the input topic that changed the row
    ("records", "i8"),  # accepted so far
    ("created_ns", "i8"),  # arrival of the record that created it
    ("boot", "i8"),  # hash of the device's boot that `seq` and `window` belong to
    ("seq", "i8"),  # highest accepted counter, -1 for none
    ("window", "i8"),  # bit k: counter seq - k was accepted
    ("payload", "i8"),  # hash of the last payload that has a device time and no counter, 0 for none
    (
        "account_key",
        "i8",
    ),  # hash of source and boot of `account_seq`; bit 0: 0 came, too
    ("account_seq", "i8"),  # highest counter that came of it, refused or not
    ("status", "i8"),
]

RATED = ("rated_key", "rated_first_ns", "rated_came", "rated_expected")
"""Of messages without a counter: hash of their source, arrival of the first, how many came, and were expected."""

_Place = tuple[str, int, tuple[str, ...]]
_STATE_TYPES = {"float": "f8", "int": "i8", "bool": "?"}


@dataclass(slots=True)
class TwinState:
    """A row for people: plain Python values by name."""

    version: str
    revision: int
    parameter_revision: int
    event_time_ns: int
    offset: int
    status: str
    inputs: dict[str, Scalar | None] = field(default_factory=dict)
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Scalar | None] = field(default_factory=dict)
    parameters: dict[str, Scalar] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RowLayout:
    """Fields of a type's rows.

    Attributes:
        definition: What the rows belong to.
        states: State of each step, built-ins' included, by step name.
        dtype: NumPy record. `i_`, `p_` and `o_` prefix inputs, parameters and outputs, `s_` the state of a step, `e_`
            an event's last condition, `c_` and `t_` a command's last value and its event time, `a_` the offsets (low 32
            bits, latest first) of the records that led to its last commands; `set` marks the parameters that somebody
            set. `account_` is of the loss account (`twins.account`). Only where the definition asks: `rated_` likewise,
            `u_` the time of an input's last own value, `line_ns` that of the last line, `ticked` whether the twin was
            there at the partition's last tick, `untold` whether an outdated record brought metadata, `r_` which of a
            command's limits were told since something holds it back, `l_` the value that was sent last, whatever was
            reset since, `k_` which of its last commands still wait to be confirmed (bit 0: the latest), and `d_` until
            when.
    """

    definition: Definition
    states: dict[str, dict[str, StateField]]
    dtype: np.dtype[np.void]

    @classmethod
    def of(cls, definition: Definition) -> "RowLayout":
        """Layout of a definition's rows; needs no code of its author."""
        states = {step.name: step_state(step) for step in definition.pipeline}
        fields: list[Any] = list(_HEADER)
        if definition.steps_on_ticks:
            fields += [("ticked", "?")]
        if definition.expected_rate_hz:
            fields += [(name, "i8") for name in RATED]
        if definition.outputs.timeseries.when == "interval":
            fields += [("line_ns", "i8")]
        if definition.leaves_untold:
            fields += [("untold", "?")]
        fields += [(f"i_{name}", "f8") for name in definition.inputs]
        fields += [(f"u_{name}", "i8") for name in definition.timed_inputs]
        fields += [(f"p_{name}", "f8") for name in definition.numbers]
        if definition.numbers:
            fields += [("set", packed([(name, "u1") for name in definition.numbers]))]
        fields += [(f"o_{name}", "f8") for name in definition.fields()]
        fields += [(f"s_{name}", _state_dtype(state)) for name, state in states.items() if state]
        fields += [(f"e_{name}", "?") for name in definition.outputs.events]
        for name, command in definition.outputs.commands.items():
            fields += _command_fields(name, command)
        return cls(definition, states, packed(fields))

    @cached_property
    def format(self) -> RowFormat:
        """What the bytes mean, for those who have no definition."""
        parameters, migration = self.definition.parameters, self.definition.migration
        choices = {name: item.choices for name, item in parameters.items() if item.choices}
        texts, version = tuple(self.definition.texts), self.definition.version
        return RowFormat(self.dtype, choices, migration.state, migration.parameters, version, texts)

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the numbers of a field are called, for those fields of which people are told names."""
        found = {}
        for step in self.definition.pipeline:
            given = _bound(step)
            for output, field_name in zip(given.outputs if given else (), step.outputs, strict=False):
                if given and output in given.names:
                    found[field_name] = given.names[output]
        return found

    @cached_property
    def _state_names(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The same of the state of each step that has such."""
        bound = {step.name: _bound(step) for step in self.definition.pipeline}
        return {
            name: {item: given.names[item] for item in given.state if item in given.names}
            for name, given in bound.items()
            if given is not None and given.names
        }

    @cached_property
    def _parameters(self) -> np.dtype[np.void]:
        """A row seen as its parameters alone."""
        view: np.dtype[np.void] = self.dtype[[f"p_{name}" for name in self.definition.numbers]]
        return view

    @cached_property
    def description(self) -> bytes:
        """The format as JSON, from which rows can be read without the definition."""
        return self.format.describe()

    @cached_property
    def fingerprint(self) -> bytes:
        """Hash of the description."""
        return hashlib.blake2b(self.description, digest_size=FINGERPRINT_BYTES).digest()

    def new_row(self, twin: bytes = b"") -> NDArray[np.void]:
        """One row of a twin, of nobody yet unless named, that has seen nothing, shape (1,)."""
        row = np.zeros(1, self.dtype)
        row["identity"] = identity(twin)
        row["seq"] = -1
        for name in self.dtype.names or ():
            if name[:2] in {"i_", "o_", "c_", "l_"}:
                row[name] = np.nan
            elif name.startswith("a_"):
                row[name] = NOT_ISSUED
        for name, parameter in self.definition.numbers.items():
            row[f"p_{name}"] = parameter.encode(parameter.default)
        self.reset_steps(row)
        return row

    def reset_steps(self, row: NDArray[np.void]) -> None:
        """Start every step of a row anew: state, outputs, event conditions and commands, status but for old inputs.

        What devices were told last, and when, stays: no reset leads around a command's limits.
        """
        for step, state in self.states.items():
            for name, declared in state.items():
                row[f"s_{step}"][name] = declared.initial
        kept = {f"o_{name}" for name in self.definition.implied()}
        for name in self.dtype.names or ():
            if name.startswith(("o_", "c_")) and name not in kept:
                row[name] = np.nan
            elif name.startswith(("e_", "r_")):
                row[name] = 0
        stale = any(row[f"o_{stale_field(name)}"][0] == 1.0 for name in self.definition.stale_inputs)
        row["status"] = row["status"] & QUARANTINED | (STALE if stale else 0)

    def status(self, bits: int) -> str:
        """A row's status in words: `quarantined` before `drifting` before `stale` before `ok`."""
        if bits & QUARANTINED:
            return "quarantined"
        # What an earlier definition noted holds no more where this one knows no such status.
        if not self.definition.has_status or not bits:
            return "ok"
        return "drifting" if bits & DRIFTING else "stale"

    def encode(self, row: bytes, tags: bytes) -> bytes:
        """Changelog value of a row's bytes and its tags as JSON."""
        return self.fingerprint + row + tags

    def describe(self, value: bytes) -> TwinState:
        """Read a changelog value.

        Raises:
            ValueError: the value has another layout.
        """
        rows, stored = self.split(value)
        (numbers,) = self.numbers(rows)
        # All at once, as for the numbers.
        revision, parameter_revision, event_time_ns, offset, status, *others = rows.view(self._told).tolist()[0]
        left = iter(others)
        return TwinState(
            version=self.definition.version,
            revision=revision,
            parameter_revision=parameter_revision,
            event_time_ns=event_time_ns,
            offset=offset,
            status=self.status(status),
            inputs={name: _plain(next(left), kind) for name, kind in self._inputs},
            outputs={name: _plain(next(left), kind, names) for name, kind, names in self._outputs},
            state={step: _state(next(left), places) for step, places in self._places.items()},
            parameters=self.parameters(numbers, stored),
            tags=tags_of(stored),
        )

    @cached_property
    def _told(self) -> np.dtype[np.void]:
        """A row seen as what people are told of it, in this order, but for its parameters."""
        header = ["revision", "parameter_revision", "event_time_ns", "offset", "status"]
        values = [*(f"i_{name}" for name, _ in self._inputs), *(f"o_{name}" for name, *_ in self._outputs)]
        view: np.dtype[np.void] = self.dtype[[*header, *values, *(f"s_{step}" for step in self._places)]]
        return view

    @cached_property
    def _inputs(self) -> list[tuple[str, str]]:
        """Name and type of each input."""
        return [(name, declared.type) for name, declared in self.definition.inputs.items()]

    @cached_property
    def _outputs(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Name and type of each output, and what its numbers are called."""
        fields = self.definition.fields()
        return [(name, declared.type, self.names.get(name, ())) for name, declared in fields.items()]

    @cached_property
    def _places(self) -> dict[str, list[_Place]]:
        """Of each step that has any: its state's names, where each is among the step's values, and names of its own."""
        found = {}
        for step, state in self.states.items():
            if state:
                called, stored = self._state_names.get(step, {}), self.dtype[f"s_{step}"].names or ()
                found[step] = [(name, stored.index(name), called.get(name, ())) for name in state]
        return found

    def numbers(self, rows: NDArray[np.void]) -> list[tuple[float, ...]]:
        """(n,) numbers that n rows hold as parameters, in the definition's order."""
        if not self.definition.numbers:
            return [()] * len(rows)
        # All at once: a field of a NumPy record by itself takes half a microsecond.
        found: list[tuple[float, ...]] = rows.view(self._parameters).tolist()
        return found

    def parameters(self, numbers: tuple[float, ...], stored: Mapping[str, str]) -> dict[str, Scalar]:
        """Parameter values of what `numbers` gives for a row, and of what is stored beside it."""
        found: dict[str, Scalar] = dict(zip(self.definition.numbers, numbers, strict=True))
        for name, decode in self._decoders:
            found[name] = decode(found[name])
        for name, item in self.definition.texts.items():
            found[name] = text_of(stored, name, item)
        return found

    @cached_property
    def _decoders(self) -> list[tuple[str, Callable[[Any], Scalar]]]:
        """How the numbers become values of those parameters that are no floats."""
        return [(name, item.decode) for name, item in self.definition.numbers.items() if item.type != "float"]

    def split(self, value: bytes) -> tuple[NDArray[np.void], dict[str, str]]:
        """Row of a changelog value, shape (1,), and the tags and texts beside it.

        Raises:
            ValueError: the value has another layout.
        """
        end = FINGERPRINT_BYTES + self.dtype.itemsize
        if value[:FINGERPRINT_BYTES] != self.fingerprint or len(value) < end:
            message = f"row has layout {value[:FINGERPRINT_BYTES].hex()}, not {self.fingerprint.hex()}"
            raise ValueError(message)
        tags = msgspec.json.decode(value[end:], type=dict[str, str]) if len(value) > end else {}
        return np.frombuffer(value, self.dtype, count=1, offset=FINGERPRINT_BYTES), tags


def identity(twin: bytes) -> int:
    """Hash of a twin's id that fits an int64; 0 of none."""
    if not twin:
        return 0
    return int.from_bytes(hashlib.blake2b(twin, digest_size=8).digest(), "little", signed=True)


def step_state(step: Step) -> dict[str, StateField]:
    """State of a step: declared by the author, or by the built-in."""
    bound = _bound(step)
    return step.state if bound is None else bound.state


def _bound(step: Step) -> "BoundStep | None":
    """A built-in with its settings, None for a function of the folder."""
    if ":" in step.step:
        return None
    from twins.functions.registry import BUILT_INS  # noqa: PLC0415 - the registry's models import definitions

    return BUILT_INS[step.step].bind(step.config)


def _state(values: tuple[Any, ...], places: list[_Place]) -> dict[str, Any]:
    """State of a step by name: numbers, what they are called, or lists of them."""
    found = {}
    for name, place, called in places:
        value = values[place]
        found[name] = named(value.tolist() if isinstance(value, np.ndarray) else value, called)
    return found


def named(value: Any, names: tuple[str, ...]) -> Any:  # noqa: ANN401
    """A number as what it is called, if it is called anything."""
    return names[int(value)] if names and 0 <= value < len(names) else value


def _command_fields(name: str, command: CommandOutput) -> list[Any]:
    fields: list[Any] = [(f"c_{name}", "f8"), (f"t_{name}", "i8"), (f"a_{name}", "u4", (ISSUED_DEPTH,))]
    if command.when is None and (limits := limits_of(command)):
        fields.append((f"r_{name}", packed([(limit, "u1") for limit in limits])))
    if remembers_sent(command):
        fields.append((f"l_{name}", "f8"))
    if command.confirm is not None:
        fields += [(f"k_{name}", "i8"), (f"d_{name}", "i8", (ISSUED_DEPTH,))]
    return fields


def limits_of(command: CommandOutput) -> tuple[str, ...]:
    """Names of what may refuse a command, as they are asked."""
    declared = {
        "range": command.range is not None,
        "max_rate": command.max_rate is not None,
        "min_interval": round(command.min_interval_s * 1e9) > 0,
    }
    interlocks = (f"interlock_{name}" for name in command.interlocks)
    return (*(limit for limit, given in declared.items() if given), *interlocks)


def remembers_sent(command: CommandOutput) -> bool:
    """Whether rows keep the value that was sent last over a reset."""
    return command.max_rate is not None or command.min_interval_s > 0 or command.confirm is not None


def _state_dtype(state: dict[str, StateField]) -> np.dtype[np.void]:
    # Numba has no nested arrays of booleans; bytes do.
    fields: list[Any] = [
        (name, "u1" if item.shape and item.type == "bool" else _STATE_TYPES[item.type], item.shape)
        for name, item in state.items()
    ]
    return packed(fields)


def _plain(number: Any, kind: str, names: tuple[str, ...] = ()) -> Scalar | None:  # noqa: ANN401
    value = float(number)
    if value != value:  # noqa: PLR0124 - not yet known
        return None
    if names:
        return str(named(int(value), names))
    return bool(value) if kind == "bool" else int(value) if kind == "int" else value
