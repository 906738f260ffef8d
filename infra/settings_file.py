"""Reading settings: one YAML file under the environment, every fault at once, each with its place."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pydantic
import yaml
from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource, SettingsError

from infra.put_file import PRIVATE, put_file
from infra.settings import ENV_DELIMITER, ENV_PREFIX, Settings
from schemas.errors import Problem, SetupError
from schemas.yaml_words import misread

CONFIG_VARIABLE = "TWINSTREAM_CONFIG"
ENVIRONMENT = "environment"
COMMAND_LINE = "command line"

Tree = dict[str, Any]


class ConfigurationError(SetupError):
    """A configuration with one or more faults.

    Attributes:
        problems: Every fault that was found.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def load(path: Path | None = None, overrides: Tree | None = None) -> Settings:
    """Read the settings: the file, over it the environment, over that `overrides`.

    Args:
        path: The YAML file; None takes the one that `TWINSTREAM_CONFIG` names, if any.
        overrides: Sections and keys from the command line.

    Raises:
        ConfigurationError: with every fault.
    """
    path = _chosen(path)
    file, lines, problems = _read_file(path) if path else ({}, {}, [])
    environment, env_problems = _read_environment()
    problems += env_problems
    merged = _merge(_merge(file, environment), overrides or {})
    try:
        settings = Settings.model_validate(merged)
    except pydantic.ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            if item["type"] == "invalid_key":
                continue  # a key that is no text; the walk through the file said so in better words
            keys = [str(key) for key in item["loc"]]
            if _holds(overrides or {}, keys):
                place = COMMAND_LINE, 0, ".".join(keys)
            else:
                place = _place(keys, environment, path, lines)
            problems.append(Problem(*place, *_explain(item["type"], item["msg"], keys)))
        settings = None
    if problems or settings is None:
        raise ConfigurationError(sorted(problems, key=lambda problem: (problem.file, problem.line)))
    return settings


def place_of(key: str, path: Path | None = None) -> tuple[str, int, str]:
    """Where settings that `load` could read have a key from: file or environment, line, and what it is called there."""
    path = _chosen(path)
    return _place(key.split("."), _read_environment()[0], path, _read_file(path)[1] if path else {})


def variable_of(keys: list[str]) -> str:
    """Name of the environment variable of a key path."""
    return ENV_PREFIX + ENV_DELIMITER.join(keys).upper()


def write_private(settings: Settings, path: Path) -> None:
    """Write all settings, secrets included, to a file that only its owner may read."""
    text = yaml.safe_dump(_plain(settings), sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    put_file(path, text, mode=PRIVATE)


def _chosen(path: Path | None) -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    return path or (Path(named) if named else None)


def _place(keys: list[str], environment: Tree, path: Path | None, lines: dict[str, int]) -> tuple[str, int, str]:
    if _holds(environment, keys):
        return ENVIRONMENT, 0, variable_of(keys)
    return str(path or "configuration"), _line(keys, lines), ".".join(keys)


def _read_file(path: Path) -> tuple[Tree, dict[str, int], list[Problem]]:
    """Content, line of every key path, and what is wrong with it."""
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        return {}, {}, [Problem(name, 0, "", f"can't be read: {error.strerror}", "name a file that can be read")]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return {}, {}, [Problem(name, line, "", f"no YAML: {error.problem}", "mend the syntax here or just above")]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"no YAML: {str(error).splitlines()[0]}"
        return {}, {}, [Problem(name, 0, "", message, "save it as UTF-8 text")]
    lines: dict[str, int] = {}
    problems = [Problem(name, lines[key], key, *fault) for key, fault in _walk(node, "", lines)]
    if content is None:
        content = {}
    if not isinstance(content, dict):
        known = ", ".join(Settings.model_fields)
        problems.append(Problem(name, 1, "", "expected a mapping", f"start with sections: {known}"))
        content = {}
    # A section without keys, `mqtt:` alone, is one that gets its defaults.
    sections = {key: {} if value is None else value for key, value in content.items() if isinstance(key, str)}
    return sections, lines, problems


def _read_environment() -> tuple[Tree, list[Problem]]:
    problems = []
    for variable in sorted(os.environ):
        section, delimiter, _ = variable.upper().removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)
        if not variable.upper().startswith(ENV_PREFIX) or not delimiter:
            continue
        if section.lower() not in Settings.model_fields:
            known = ", ".join(name.upper() for name in Settings.model_fields)
            problems.append(Problem(ENVIRONMENT, 0, variable, f"no section {section}", f"sections are: {known}"))
    try:
        return EnvSettingsSource(Settings)(), problems
    except SettingsError as error:
        problems.append(Problem(ENVIRONMENT, 0, "", str(error), "give lists and mappings as JSON"))
        return {}, problems


def _walk(node: yaml.Node | None, path: str, lines: dict[str, int]) -> list[tuple[str, tuple[str, str]]]:
    """Note the line of every key path; return what is wrong with keys: message and remedy."""
    faults: list[tuple[str, tuple[str, str]]] = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(index), value, value) for index, value in enumerate(node.value)]
    else:
        return faults
    for name, key, value in pairs:
        below = f"{path}.{name}" if path else name
        if below in lines:
            faults.append((below, ("key given twice", "remove one of the two")))
        elif key is not value and isinstance(key, yaml.ScalarNode) and (fault := misread(key)):
            faults.append((below, fault))
        lines[below] = key.start_mark.line + 1
        faults += _walk(value, below, lines)
    return faults


def _line(keys: list[str], lines: dict[str, int]) -> int:
    for length in range(len(keys), 0, -1):
        if line := lines.get(".".join(keys[:length])):
            return line
    return 0


def _holds(tree: Any, keys: list[str]) -> bool:  # noqa: ANN401
    """Whether a source gives the key; of a fault of a whole section, whether it gives any of it."""
    for key in keys:
        if not isinstance(tree, Mapping):
            return True
        if key not in tree:
            return False
        tree = tree[key]
    return True


def _merge(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _explain(kind: str, message: str, keys: list[str]) -> tuple[str, str]:
    message = message.removeprefix("Value error, ")
    if kind == "missing":
        return "is missing", "add it"
    if kind != "extra_forbidden":
        return message, ""
    known = _known_keys(keys[:-1])
    close = difflib.get_close_matches(keys[-1], known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}" if known else "remove it"
    return "no such key", remedy


def _known_keys(keys: list[str]) -> list[str]:
    """Keys of the model at a key path, as far as it can be followed."""
    model: type[BaseModel] = Settings
    for key in keys:
        if key.isdigit():
            continue
        field = model.model_fields.get(key)
        below = next((m for m in _models_in(field.annotation)), None) if field else None
        if below is None:
            return []
        model = below
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Settings as what YAML can hold."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
