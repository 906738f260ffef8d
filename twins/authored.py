"""Loading an author's functions from a twin type's folder. Only workers and `check` do this."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from schemas.errors import DefinitionError, Problem


class AuthoredCode:
    """Functions of one folder; its modules are kept out of `sys.modules`, so that two folders never mix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._modules: dict[str, ModuleType] = {}

    def function(self, target: str) -> Callable[..., Any]:
        """Find `file.py:name`.

        Raises:
            DefinitionError: the file or function does not exist, or importing it fails.
        """
        file, _, name = target.partition(":")
        found = getattr(self._module(file), name, None)
        if not isinstance(found, FunctionType):
            raise DefinitionError([Problem(file, 0, "", f"no function {name}", f"define def {name}(…) in {file}")])
        return found

    def owns(self, function: Callable[..., Any]) -> bool:
        """Whether a function was written in this folder."""
        code = getattr(function, "__code__", None)
        return code is not None and Path(code.co_filename).is_relative_to(self.folder)

    def _module(self, file: str) -> ModuleType:
        if file not in self._modules:
            path = self.folder / file
            if not path.is_file():
                raise DefinitionError([Problem(file, 0, "", "no such file", "create it or mend the pipeline's step")])
            self._modules[file] = self._import(file, path)
        return self._modules[file]

    def _import(self, file: str, path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise DefinitionError([Problem(file, 0, "", "is no Python file", "name a .py file")])
        module = importlib.util.module_from_spec(spec)
        before = dict(sys.modules)
        sys.path.insert(0, str(self.folder))
        try:
            spec.loader.exec_module(module)
        except SyntaxError as error:
            line, message = error.lineno or 0, error.msg
            raise DefinitionError([Problem(file, line, "", f"syntax error: {message}", "mend this line")]) from None
        except Exception as error:  # noqa: BLE001 - an author's module may raise anything
            problem = Problem(file, _line_in(error, path), "", f"import failed: {error!r}", "mend or install it")
            raise DefinitionError([problem]) from None
        finally:
            sys.path.remove(str(self.folder))
            for name, loaded in list(sys.modules.items()):
                origin = getattr(loaded, "__file__", None)
                if name not in before and origin and Path(origin).resolve().is_relative_to(self.folder):
                    del sys.modules[name]
        return module


def _line_in(error: BaseException, path: Path) -> int:
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
