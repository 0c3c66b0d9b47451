"""Rows whose cells are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping


class LazyRow(Mapping[str, str]):
    """Cells by column; each is read once, when it is first asked for."""

    def __init__(self, columns: tuple[str, ...], read: Callable[[str], str]) -> None:
        self._columns = columns
        self._read = read
        self._known: dict[str, str] = {}

    def __getitem__(self, column: str) -> str:
        if column not in self._known:
            if column not in self._columns:
                raise KeyError(column)
            self._known[column] = self._read(column)
        return self._known[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Replaced(Mapping[str, str]):
    """Cells of which some are others."""

    def __init__(self, cells: Mapping[str, str], others: Mapping[str, str]) -> None:
        self._cells = cells
        self._others = others

    def __getitem__(self, column: str) -> str:
        return self._others[column] if column in self._others else self._cells[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)
