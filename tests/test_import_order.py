"""A module imports only from the rows above it and from its own package; `easynlp` is imported in `app/` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import easynlp_fashionklip

PACKAGE = "easynlp_fashionklip"
HOST = "easynlp"
ROOT = Path(easynlp_fashionklip.__file__).parent
ROWS = (
    ("", "errors", "freezing", "config", "records"),  # "" is the package itself: its version
    ("data", "metrics", "distributed", "index"),
    ("graph", "losses"),
    ("models",),  # whose texts know the concepts of a graph
    ("evaluation", "training", "inference"),
    ("app",),
    ("cli",),
)
ROW_OF = {part: row for row, parts in enumerate(ROWS) for part in parts}


def part_of(module: str) -> str:
    """`easynlp_fashionklip.graph.store` -> `graph`; the package itself -> ``."""
    return f"{module}.".split(".")[1]


def imported_modules(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of every import, wherever it stands: in functions and under TYPE_CHECKING too.

    `from a import b` counts as `a.b` for `a` our top package, where `b` may be a module, and as `a` elsewhere.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            if base != PACKAGE:
                yield node.lineno, base
            else:
                names = (alias.name for alias in node.names)
                yield from ((node.lineno, f"{base}.{name}" if name in ROW_OF else base) for name in names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def violations(module: str, imports: Iterable[tuple[int, str]]) -> list[str]:
    """One sentence for each import that the table forbids `module`."""
    part = part_of(module)
    if part not in ROW_OF:
        return [f"{module}: {part!r} is not in the table of rows"]
    found = []
    for line, name in imports:
        if name.split(".")[0] == HOST and part != "app":
            found.append(f"{module}, line {line}: only app/ may import {name}")
        if name.split(".")[0] != PACKAGE or part_of(name) == part:
            continue
        row, other = ROW_OF[part], ROW_OF.get(part_of(name), len(ROWS))
        if other > row or other == row > 0:
            found.append(f"{module} (row {row}), line {line}: may not import {name} (row {other})")
    return found


def check(source: str, module: str, is_package: bool = False) -> list[str]:
    return violations(module, imported_modules(source, module, is_package))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_keeps_the_order() -> None:
    paths = sorted(ROOT.rglob("*.py"))
    assert len(paths) > 20
    found = [
        sentence
        for path in paths
        for sentence in check(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("config", "from easynlp_fashionklip.errors import InputError"),
        ("graph.store", "from easynlp_fashionklip.graph.format import VERSION"),
        ("graph.store", "from . import format"),
        ("graph.store", "from easynlp_fashionklip import distributed, metrics, __version__"),
        ("losses.cva", "import easynlp_fashionklip.config"),
        ("training.task", "from easynlp_fashionklip.graph import ConceptGraph"),
        ("app.data", "import easynlp.core"),
        ("app.data", "from easynlp_fashionklip.training import task"),
        ("cli", "from easynlp_fashionklip.app.launch import launch"),
        ("metrics", "import numpy as np\nfrom easynlp_something import x"),
    ],
)
def test_what_the_table_allows(module: str, source: str) -> None:
    assert check(source, f"{PACKAGE}.{module}") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from easynlp_fashionklip.metrics import best_ranks"),  # a lower row
        ("data.pairs", "import easynlp_fashionklip.graph.store"),
        ("metrics", "from easynlp_fashionklip import distributed"),  # the same row
        ("losses.cva", "from easynlp_fashionklip import graph"),
        ("losses.cva", "from easynlp_fashionklip.models import zoo"),
        ("losses.cva", "from ..graph import store"),
        ("losses.cva", "from .. import graph"),
        ("graph.store", "if TYPE_CHECKING:\n    from easynlp_fashionklip.models.zoo import Zoo"),
        ("training.task", "def f():\n    from easynlp_fashionklip.evaluation import protocols"),
        ("training.task", "importlib.import_module('easynlp_fashionklip.app.model')"),
        ("app.data", "from easynlp_fashionklip.cli import easynlp_main"),
        ("models.zoo", "import easynlp.core.trainer as trainer"),  # the host
        ("cli", "def f():\n    from easynlp.cli import main"),
        ("losses.cva", "from easynlp_fashionklip.brand_new import x"),  # unknown to the table
        ("brand_new", "import os"),
    ],
)
def test_what_the_table_forbids(module: str, source: str) -> None:
    assert len(check(source, f"{PACKAGE}.{module}")) == 1


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert check("from .store import ConceptGraph", f"{PACKAGE}.graph", is_package=True) == []
    assert check("from . import metrics", PACKAGE, is_package=True) != []
