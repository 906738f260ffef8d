"""Plain words of YAML that are no text, though they look like one."""

import yaml

_MEANINGS = {"bool": "a boolean", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}
"""What YAML 1.1 takes a plain word for: `on`, `off`, `yes` and `no` are booleans."""


def misread(word: yaml.ScalarNode) -> tuple[str, str] | None:
    """Message and remedy for a word that YAML takes for something else than text, None for a text."""
    meaning = _MEANINGS.get(word.tag.rpartition(":")[2])
    return (f"{word.value} is {meaning} in YAML, not a text", f'quote it: "{word.value}"') if meaning else None
