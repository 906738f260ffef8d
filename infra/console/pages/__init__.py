"""The pages, one module each; importing them declares them."""

from infra.console.pages import deadletters, fleet, system, try_it, twin, type, types  # noqa: A004 - a page's name

PATHS = ("/twins", "/types", "/deadletters", "/system", "/try")
"""First parts of the paths of pages besides `/`."""

__all__ = ["PATHS", "deadletters", "fleet", "system", "try_it", "twin", "type", "types"]
