"""The built-in steps by name. A new one is a module of its own and one line here."""

from twins.functions import exponential_average, running_statistics
from twins.functions.built_in import BuiltIn

BUILT_INS: dict[str, BuiltIn] = {
    module.BUILT_IN.name: module.BUILT_IN for module in (exponential_average, running_statistics)
}
