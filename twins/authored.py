"""Loading an author's functions from a twin type's folder. Only workers and `check` do this."""

import ast
import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from schemas.errors import DefinitionError, Problem
from schemas.left_out import is_left_out

_MESSAGE_LETTERS = 200


class AuthoredCode:
    """Functions of one folder; its modules are kept out of `sys.modules`, so that two folders never mix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._modules: dict[str, ModuleType] = {}
        # Libraries may be installed below it, such as in a virtual environment.
        inside = {Path(entry).resolve() for entry in sys.path if entry} - {self.folder}
        self._libraries = [entry for entry in inside if entry.is_relative_to(self.folder)]

    def function(self, target: str) -> Callable[..., Any]:
        """Find `file.py:name`.

        Raises:
            DefinitionError: the file or function does not exist, or importing it fails.
        """
        file, _, name = target.partition(":")
        found = getattr(self._module(file), name, None)
        if not isinstance(found, FunctionType):
            raise DefinitionError([Problem(file, 0, "", *self._no_function(file, name, found))])
        return found

    def _no_function(self, file: str, name: str, found: object) -> tuple[str, str]:
        """Message and remedy."""
        if hasattr(found, "py_func"):
            return f"{name} in {file} is compiled already", "remove its decorator: steps are compiled by themselves"
        if found is not None:
            return f"no function {name} in {file}: it is a {type(found).__name__}", f"define def {name}(…) there"
        return f"no function {name} in {file}", self._remedy(file, name)

    def _remedy(self, file: str, name: str) -> str:
        there = [key for key, value in vars(self._module(file)).items() if self.owns(value)]
        near = difflib.get_close_matches(name, there, 1)
        return f"write {near[0]}, or define {name} there" if near else f"define def {name}(…) there"

    def owns(self, function: Callable[..., Any]) -> bool:
        """Whether a function was written in this folder."""
        code = getattr(function, "__code__", None)
        return code is not None and bool(self._own(code.co_filename))

    def _own(self, file: str) -> str:
        """A file's path within the folder, `""` when it lies elsewhere, or in a library that is installed there."""
        path = Path(file)
        if not path.is_relative_to(self.folder) or any(map(path.is_relative_to, self._libraries)):
            return ""
        return path.relative_to(self.folder).as_posix()

    def _place(self, error: BaseException) -> tuple[str, int] | None:
        """The innermost line of the folder that an error went through."""
        found = None
        trace = error.__traceback__
        while trace is not None:
            if own := self._own(trace.tb_frame.f_code.co_filename):
                found = own, trace.tb_lineno
            trace = trace.tb_next
        return found

    def _module(self, file: str) -> ModuleType:
        if file not in self._modules:
            path = self.folder / file
            if not path.is_file():
                raise DefinitionError([Problem(file, 0, "", f"no file {file}", "create it, or mend its name")])
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
            where = self._own(error.filename or "") or file
            problem = Problem(where, error.lineno or 1, "", f"syntax error: {error.msg}", "mend this line")
            raise DefinitionError([problem]) from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's module may raise anything
            where, line = self._place(error) or (file, 1)
            said = " ".join(f"{type(error).__name__}: {error}".split())[:_MESSAGE_LETTERS].rstrip(": ")
            raise DefinitionError([Problem(where, line, "", f"import failed: {said}", _remedy_of(error))]) from None
        finally:
            sys.path.remove(str(self.folder))
            used = {name: own for name in sys.modules.keys() - before.keys() if (own := self._own_module(name))}
            for name in used:
                del sys.modules[name]
        for name, own in used.items():
            if is_left_out(self.folder, Path(own)):
                where, line = self._importing(name, [file, *used.values()]) or (file, 1)
                said = f"imports {own}, which is not deployed"
                raise DefinitionError(
                    [Problem(where, line, "", said, "give it a name that is no test's, and not hidden")]
                )
        return module

    def _own_module(self, name: str) -> str:
        """Path within the folder of a loaded module that came from there, `""` for any other."""
        origin = getattr(sys.modules[name], "__file__", None)
        return self._own(str(Path(origin).resolve())) if origin else ""

    def _importing(self, name: str, files: Iterable[str]) -> tuple[str, int] | None:
        """Where a module is imported by its name."""
        for file in files:
            for node in ast.walk(ast.parse((self.folder / file).read_bytes())):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                if name in names and isinstance(node, ast.stmt):
                    return file, node.lineno
        return None


def _remedy_of(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"install {error.name}, or mend its name"
    return "no step may end the process" if isinstance(error, SystemExit) else "mend it"
