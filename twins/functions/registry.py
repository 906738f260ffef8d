"""The built-in steps by name. A new one is a module of its own and one word here."""

from twins.functions import (
    exponential_average,
    kalman_filter,
    on_off_controller,
    running_statistics,
    threshold,
    weighted_average,
)
from twins.functions.built_in import BuiltIn

BUILT_INS: dict[str, BuiltIn] = {
    module.BUILT_IN.name: module.BUILT_IN
    for module in (
        exponential_average,
        kalman_filter,
        on_off_controller,
        running_statistics,
        threshold,
        weighted_average,
    )
}
