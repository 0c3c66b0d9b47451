"""What the documents tell users to type is understood by the program, and every parameter is documented."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from easynlp_fashionklip.app.arguments import MODES, peek
from easynlp_fashionklip.cli import _parser
from easynlp_fashionklip.config import AppConfig, parse_user_defined_parameters
from easynlp_fashionklip.models.zoo import ZOO

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "configs" / "README.md")
REQUIREMENTS = {"constraints.txt", "no-deps.txt"}
PARAMETER_FILES = sorted(path for path in (ROOT / "configs").glob("*.txt") if path.name not in REQUIREMENTS)


def bash_lines(path: Path) -> Iterator[str]:
    """Commands of the Markdown file's bash blocks, continuation lines joined."""
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())


def commands(program: str) -> list[list[str]]:
    """Arguments of every documented call of a program."""
    lines = (shlex.split(line, comments=True) for path in DOCUMENTS for line in bash_lines(path))
    return [words[1:] for words in lines if words[:1] == [program]]


def parameter_row(field: Field[Any]) -> str:
    """The line of the README's table that documents a key."""
    kind = get_type_hints(AppConfig)[field.name]
    default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    choices = f" ({', '.join(f'`{one}`' for one in get_args(kind))})" if get_origin(kind) is Literal else ""
    meaning = field.metadata["help"].replace("<", r"\<") + choices
    return f"| `{field.name}` | {f'`{default}`' if default else ''} | {meaning} |"


def test_every_parameter_has_its_line_in_the_readme() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    table = text.split("<!-- parameters:begin -->")[1].split("<!-- parameters:end -->")[0].strip().splitlines()
    assert table[2:] == [parameter_row(field) for field in fields(AppConfig)]


def test_every_mode_is_shown() -> None:
    assert {peek(argv).mode for argv in commands("easynlp")} == set(MODES)


@pytest.mark.parametrize("argv", commands("easynlp"), ids=lambda argv: " ".join(argv)[:60])
def test_easynlp_commands_are_understood(argv: list[str]) -> None:
    known = _easynlp_flags()
    flags = peek(argv)
    assert flags.app_name == "fashionklip"
    assert flags.tables and (flags.first_sequence or flags.second_sequence)
    assert flags.given <= known
    if "$(" not in (flags.user_defined_parameters or ""):
        parse_user_defined_parameters(flags.user_defined_parameters)


def _easynlp_flags() -> set[str]:
    source = pytest.importorskip("easynlp.utils.arguments").__file__
    return set(re.findall(r"['\"]--([\w-]+)['\"]", Path(source).read_text(encoding="utf-8")))


@pytest.mark.parametrize("argv", commands("fashionklip"), ids=" ".join)
def test_fashionklip_commands_are_understood(argv: list[str]) -> None:
    assert callable(_parser().parse_args(argv).action)


def test_the_quickstart_builds_and_shows_a_graph() -> None:
    assert [argv[:2] for argv in commands("fashionklip")] == [["graph", "build"], ["graph", "show"]]


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_ready_parameter_sets_are_accepted(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    config = parse_user_defined_parameters("\n".join(lines))
    assert config.pretrain_model_name_or_path
    assert f"`{path.name}`" in DOCUMENTS[1].read_text(encoding="utf-8")


def test_every_zoo_model_is_named_with_its_licence() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    for name in ZOO:
        assert f"| `{name}` |" in text


def test_links_lead_to_files_of_the_repository() -> None:
    for path in (*DOCUMENTS, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
