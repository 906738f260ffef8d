"""The built-in steps by name. A new one is a module of its own and one word here."""

from twins.functions import (
    change_of_value,
    dead_band,
    exponential_average,
    extended_kalman_filter,
    first_order_lag,
    innovation_monitor,
    integrator,
    kalman_filter,
    linear_calibration,
    lookup_table,
    on_off_controller,
    pid,
    rate_limiter,
    rate_of_change,
    running_statistics,
    staleness,
    state_machine,
    state_space,
    threshold,
    unit_conversion,
    weighted_average,
    window_statistics,
)
from twins.functions.built_in import BuiltIn

BUILT_INS: dict[str, BuiltIn] = {
    module.BUILT_IN.name: module.BUILT_IN
    for module in (
        change_of_value,
        dead_band,
        exponential_average,
        extended_kalman_filter,
        first_order_lag,
        innovation_monitor,
        integrator,
        kalman_filter,
        linear_calibration,
        lookup_table,
        on_off_controller,
        pid,
        rate_limiter,
        rate_of_change,
        running_statistics,
        staleness,
        state_machine,
        state_space,
        threshold,
        unit_conversion,
        weighted_average,
        window_statistics,
    )
}
