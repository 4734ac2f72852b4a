"""The limits that ruff cannot hold. Agents and programs rot by growing; these numbers make growth a decision."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 400
MAX_CONSTRUCTOR_PARAMETERS = 7
MAX_SCREEN_LINES = 80
CHECKED = ("acp_agent", "scripts", "tests")
# The loop's mind: whoever reads it must see all of it at once.
ONE_SCREEN = {"acp_agent/agent/decide.py": "next_action"}


def breaches(root: Path) -> Iterator[str]:
    """Every limit that a Python file below `root` breaks, as `file:line: what and by how much`."""
    for folder in CHECKED:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text, name)
            lines = len(text.splitlines())
            if lines > MAX_FILE_LINES:
                yield f"{name}:1: {lines} lines, at most {MAX_FILE_LINES} are allowed"
            yield from _wide_constructors(name, tree)
            yield from _names_bound_again(name, tree)
            if name in ONE_SCREEN:
                yield from _long_function(name, tree, ONE_SCREEN[name])
            if folder == "acp_agent" and path.name == "__init__.py":
                yield from _code_in_package(name, tree)


def _wide_constructors(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (count := _constructor_parameters(node)) > MAX_CONSTRUCTOR_PARAMETERS:
            limit = MAX_CONSTRUCTOR_PARAMETERS
            yield f"{name}:{node.lineno}: {node.name} has {count} constructor parameters, at most {limit} are allowed"


def _constructor_parameters(node: ast.ClassDef) -> int:
    """Parameters of `__init__`, or required fields of a dataclass that is not frozen: a frozen one is a noun."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            arguments = item.args
            return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any("dataclass" in decorator and "frozen=True" not in decorator for decorator in decorators):
        required = [item for item in node.body if isinstance(item, ast.AnnAssign) and item.value is None]
        return sum("ClassVar" not in ast.unparse(item) for item in required)
    return 0


def _long_function(name: str, tree: ast.Module, function: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_SCREEN_LINES:
                yield f"{name}:{node.lineno}: {function} has {lines} lines, at most {MAX_SCREEN_LINES} fit one screen"
            return
    yield f"{name}:1: {function} is missing"


def _names_bound_again(name: str, tree: ast.Module) -> Iterator[str]:
    """Names of the module that are bound twice: the second takes the place of the first without a word."""
    lines: dict[str, int] = {}
    for node in tree.body:
        for bound in _bound_names(node):
            if bound in lines:
                yield f"{name}:{node.lineno}: {bound} is bound again, first in line {lines[bound]}"
            lines.setdefault(bound, node.lineno)


def _bound_names(node: ast.stmt) -> list[str]:
    """What a statement binds, but for `_`, which says that nobody will ask for it, and the overloads of a function."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            is_overload = any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
            found = [] if is_overload else [node.name]
        case ast.Assign():
            targets = [part for target in node.targets for part in ast.walk(target)]
            found = [part.id for part in targets if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        case ast.AnnAssign(target=ast.Name(id=bound), value=ast.expr()):
            found = [bound]
        case _:
            found = []
    return [bound for bound in found if bound != "_"]


def _code_in_package(name: str, tree: ast.Module) -> Iterator[str]:
    """A package's `__init__` is its page of the architecture: code in it would run for whoever imports a neighbour."""
    for node in tree.body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_version = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
        if not is_text and not is_version:
            yield f"{name}:{node.lineno}: code in a package's __init__"


def main() -> int:
    """Print every breach; 1 if there is any."""
    found = list(breaches(ROOT))
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
