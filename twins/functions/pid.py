"""PID controller with limits, anti-windup and bumpless transfer."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, State
from twins.functions.generated import function_from
from twins.functions.ranges import NotNegative, Number

Wirable = Literal["kp", "ki", "kd", "ti_s", "td_s", "lower", "upper"]


class PidConfig(Strict):
    """Settings of `pid`.

    Attributes:
        form: `parallel`: gains `kp`, `ki`, `kd`. `standard`: gain `kp`, times `ti_s`, `td_s`.
        action: What the actuator does to the value as the output rises.
        kp: Proportional gain, in output by value; also of the standard form.
        ki: Integral gain, in output by value and second.
        kd: Derivative gain, in output by value times seconds.
        ti_s: Integral time, ki = kp / ti_s; below 1e-9, such as 0, for no integral part.
        td_s: Derivative time, kd = kp · td_s.
        lower: Smallest output.
        upper: Largest output.
        initial: Integral part at the beginning, in the unit of the output.
        setpoint_weight: Share of the set-point in the proportional part; below 1 for less overshoot after its changes.
        filter_s: Time constant of the low pass that the derivative goes through.
        manual: Whether there are arguments `manual` and `manual_output`.
        wired: Settings that are arguments, so that they can be parameters of the twin, instead of constants.
    """

    form: Literal["parallel", "standard"] = "parallel"
    action: Literal["raises", "lowers"] = "raises"
    kp: NotNegative | None = None
    ki: NotNegative | None = None
    kd: NotNegative | None = None
    ti_s: NotNegative | None = None
    td_s: NotNegative | None = None
    lower: Number | None = None
    upper: Number | None = None
    initial: Number = 0.0
    setpoint_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    filter_s: NotNegative = 0.0
    manual: bool = False
    wired: Annotated[tuple[Wirable, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        others = ("ki", "kd") if self.form == "standard" else ("ti_s", "td_s")
        for name in others:
            if getattr(self, name) is not None or name in self.wired:
                message = f"{name} does not belong to the {self.form} form"
                raise ValueError(message)
        for name in ("kp", "lower", "upper"):
            if getattr(self, name) is None and name not in self.wired:
                message = f"{name} is missing: give a number, or name it under wired"
                raise ValueError(message)
        for name in self.wired:
            if getattr(self, name) is not None or self.wired.count(name) > 1:
                message = f"{name} is given twice: a number, or once under wired"
                raise ValueError(message)
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            message = f"lower ({self.lower}) must not be greater than upper ({self.upper})"
            raise ValueError(message)
        return self


def control(
    state: State,
    value: float,
    setpoint: float,
    manual: bool,  # noqa: FBT001
    manual_output: float,
    dt_s: float,
    kp: float,
    ki: float,
    kd: float,
    lower: float,
    upper: float,
    setpoint_weight: float,
    filter_s: float,
) -> float:
    """Give the output for one record; negative gains where the actuator lowers the value. See `pid`."""
    if not state.started:
        state.started = True
        state.previous = value
        state.output = kp * (setpoint_weight * setpoint - value) + state.integral
        state.manual = manual
        dt_s = 0.0
    elif dt_s > 0.0:
        state.derivative = (filter_s * state.derivative - kd * (value - state.previous)) / (filter_s + dt_s)
        state.previous = value
    rest = kp * (setpoint_weight * setpoint - state.previous) + state.derivative
    if manual:
        # An output that the operator has not touched since the switch stays what the controller left.
        state.held = manual_output == state.manual_output and (state.held or not state.manual)
        if not state.held:
            state.output = manual_output
    elif state.manual:
        state.integral = state.output - rest
    elif dt_s > 0.0:
        change = ki * (setpoint - state.previous) * dt_s
        # As far as the limit of the output, never further; what another part pushes beyond it is left alone.
        if change > 0.0:
            state.integral = max(state.integral, min(state.integral + change, upper - rest))
        else:
            state.integral = min(state.integral, max(state.integral + change, lower - rest))
        state.output = rest + state.integral
    state.output = min(max(state.output, lower), upper)
    state.manual = manual
    state.manual_output = manual_output
    return state.output  # type: ignore[no-any-return]


def _source(config: PidConfig, arguments: tuple[str, ...], constants: tuple[str, ...]) -> str:
    sign = "-" if config.action == "lowers" else ""
    gains = ["kp", "ki", "kd"]
    if config.form == "standard":
        gains = ["kp", "(kp / ti_s if ti_s >= 1e-9 else 0.0)", "kp * td_s"]
    mode = ["manual", "manual_output"] if config.manual else ["False", "0.0"]
    values = ["state", "value", "setpoint", *mode, "dt_s", *(f"{sign}{gain}" for gain in gains)]
    values += ["lower", "upper", "setpoint_weight", "filter_s"]
    names = ", ".join(["state", *arguments, *constants])
    return f"def pid({names}):\n    return _control({', '.join(values)})\n"


def _make(config: PidConfig) -> BoundStep:
    """Control a value by an actuator that can be set continuously.

    output = min(max(P + I + D, lower), upper), in the unit of the actuator, with the error e = setpoint - value:
    P = kp · (setpoint_weight · setpoint - value); I grows by ki · e · dt; D = kd · d(-value)/dt through a low pass with
    the time constant `filter_s`: D = (filter_s · D - kd · (value - previous)) / (filter_s + dt). The derivative is that
    of the measurement alone, so that a step of the set-point gives no kick. With `action: lowers` the gains count as
    negative. Standard form: ki = kp / ti_s, kd = kp · td_s.
    Anti-windup: I grows no further than to where the output meets its limit (conditional integration), also over a long
    interval, and leaves the limit with the first error of the other sign.
    Manual, with `manual: true`: the output is `manual_output` within the limits. Both switches are bumpless: after the
    one to manual the output holds until `manual_output` changes (with the same record, or later); after the one to
    automatic it begins where it was, because I is set so; without integral gain this offset stays.
    Of records of the same event time the first counts, values and set-points of the others, and of late ones, are
    passed over, but not a switch or a manual output. `setpoint` has the unit of `value`, `manual_output` that of the
    output, gains those that follow.
    Source: K. J. Åström, T. Hägglund, PID Controllers: Theory, Design, and Tuning, 2nd ed. (1995), chapter 3.
    """
    gains = ("kp", "ti_s", "td_s") if config.form == "standard" else ("kp", "ki", "kd")
    wired = tuple(name for name in (*gains, "lower", "upper") if name in config.wired)
    arguments = ("value", "setpoint", *(("manual", "manual_output") if config.manual else ()), "dt_s", *wired)
    constants: dict[str, Constant] = {
        name: getattr(config, name) or 0.0 for name in (*gains, "lower", "upper") if name not in config.wired
    }
    constants |= {"setpoint_weight": config.setpoint_weight, "filter_s": config.filter_s}
    source = _source(config, arguments, tuple(constants))
    return BoundStep(
        function=function_from(source, "pid", {"_control": control}),
        arguments=arguments,
        outputs={"output": StepOutput()},
        state={
            "started": StateField(type="bool"),
            "integral": StateField(initial=config.initial),
            "derivative": StateField(),
            "previous": StateField(),
            "output": StateField(),
            "manual": StateField(type="bool"),
            "manual_output": StateField(),
            "held": StateField(type="bool"),
        },
        constants=constants,
        units={"setpoint": "{value}"},
        places=dict.fromkeys(wired, "config.wired"),
        truths=("manual",) if config.manual else (),
    )


BUILT_IN = BuiltIn("pid", PidConfig, _make, _make.__doc__ or "", {"kp": 2.0, "ki": 0.05, "lower": 0.0, "upper": 100.0})
