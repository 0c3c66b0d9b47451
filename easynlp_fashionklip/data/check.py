"""The check before a run: every row once, bad ones named, counted, and fatal or left out."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from easynlp_fashionklip.config import DuplicateIds, OnBadRow
from easynlp_fashionklip.data.images import check_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

ROWS_A_TASK = 64
TASKS_AHEAD = 4
NAMED_BAD_ROWS = 20

BAD_ROW, EMPTY_TEXT, EMPTY_ID, BAD_PICTURE, DUPLICATE_ID = (
    "unreadable row",
    "empty text",
    "empty product id",
    "unusable picture",
    "duplicate product id",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used: where, of what kind, and the sentence for the user."""

    position: int
    reason: str
    message: str


class _RowChecker:
    """Checks ranges of rows, from several threads at once, and notes the keys of every readable row."""

    def __init__(self, table: PairTable, decode: bool) -> None:
        self.table = table
        self.product_keys = np.zeros(len(table), np.int64)
        self.text_keys = np.zeros(len(table), np.int64)
        self._decode = decode

    def check(self, rows: range) -> list[BadRow]:
        """The bad ones among `rows`, in order."""
        return [bad for position in rows if (bad := self._check_row(position)) is not None]

    def _check_row(self, position: int) -> BadRow | None:
        table = self.table
        try:
            cells = table.cells(position)
            self.product_keys[position], self.text_keys[position] = table.keys_of(position, cells)
            text, product_id = table.text_of(cells), table.product_id_of(position, cells)
        except InputError as error:
            return BadRow(position, BAD_ROW, str(error))
        if table.text_column is not None and not text.strip():
            return self._bad_cell(position, EMPTY_TEXT, table.text_column, "the text is empty; write one")
        if table.product_id_column is not None and not product_id:
            return self._bad_cell(position, EMPTY_ID, table.product_id_column, "the product id is empty; give one")
        try:
            picture = table.image_of(position, cells)
            if picture is not None:
                check_image(picture, decode=self._decode)
        except InputError as error:
            return BadRow(position, BAD_PICTURE, str(error))
        return None

    def _bad_cell(self, position: int, reason: str, column: str, what: str) -> BadRow:
        where = f"{self.table.where(position)}, column {column!r}"
        return BadRow(position, reason, f"{where}: {what}, or pass on_bad_row=skip to leave such rows out.")


def _bad_rows(checker: _RowChecker, workers: int, progress: bool | None) -> Iterator[BadRow]:
    """Bad rows in file order, a bounded number of tasks ahead."""
    total = len(checker.table)
    tasks = iter(range(start, min(start + ROWS_A_TASK, total)) for start in range(0, total, ROWS_A_TASK))
    pending: deque[tuple[range, Future[list[BadRow]]]] = deque()
    description = f"checking {checker.table.catalogue.path.name}"
    disable = None if progress is None else not progress
    pool = ThreadPoolExecutor(max(1, workers))
    with tqdm(total=total, desc=description, unit=" rows", disable=disable) as bar:
        try:
            while True:
                while len(pending) < TASKS_AHEAD * max(1, workers) and (rows := next(tasks, None)) is not None:
                    pending.append((rows, pool.submit(checker.check, rows)))
                if not pending:
                    return
                rows, future = pending.popleft()
                yield from future.result()
                bar.update(len(rows))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _duplicates(table: PairTable, keys: np.ndarray, positions: np.ndarray) -> Iterator[BadRow]:
    """Among these positions (ascending), rows that repeat the product id of an earlier one, in order."""
    if table.product_id_column is None or len(positions) < 2:
        return
    order = np.argsort(keys[positions], kind="stable")
    ranked = keys[positions][order]
    repeats = np.flatnonzero(ranked[1:] == ranked[:-1]) + 1
    firsts = np.searchsorted(ranked, ranked[repeats], side="left")
    later, first = positions[order[repeats]], positions[order[firsts]]
    for i in np.argsort(later):
        if table.catalogue_row(int(later[i])) == table.catalogue_row(int(first[i])):
            continue  # captions or pictures of one row
        # Equal keys of different ids are next to impossible, but a message must never claim a duplicate wrongly.
        if table.product_id(int(later[i])) == table.product_id(int(first[i])):
            yield _duplicate(table, int(later[i]), int(first[i]))


def _duplicate(table: PairTable, later: int, first: int) -> BadRow:
    place = table.catalogue.place(table.catalogue_row(first))
    message = (
        f"{table.where(later)}, column {table.product_id_column!r}: the id {table.product_id(later)!r} is already on "
        f"{place}; pass duplicate_ids=allow when several pictures of one product share an id, or mend the table."
    )
    return BadRow(later, DUPLICATE_ID, message)


def find_bad_rows(
    table: PairTable, *, duplicate_ids: DuplicateIds = "error", workers: int = 2, progress: bool | None = None
) -> Iterator[BadRow]:
    """Every row that cannot be used, in file order; then, of the others, those that repeat a product's id.

    Pictures are decoded. The arguments are those of `check_pairs`.
    """
    checker = _RowChecker(table, decode=True)
    valid = np.ones(len(table), dtype=bool)
    for bad in _bad_rows(checker, workers, progress):
        valid[bad.position] = False
        yield bad
    if duplicate_ids == "error":
        yield from _duplicates(table, checker.product_keys, np.flatnonzero(valid))


class _Skipped:
    """The rows left out: the first ones logged, all of them counted."""

    def __init__(self, size: int) -> None:
        self.valid = np.ones(size, dtype=bool)
        self.counts: Counter[str] = Counter()

    def add(self, bad: BadRow) -> None:
        if self.counts.total() < NAMED_BAD_ROWS:
            logger.warning("skipped: %s", bad.message)
        self.valid[bad.position] = False
        self.counts[bad.reason] += 1

    def log_total(self, table: PairTable) -> None:
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
        logger.warning(
            "%s: skipped %s of %s rows (%s)",
            table.catalogue.path,
            f"{self.counts.total():,}",
            f"{len(table):,}",
            by_reason,
        )


def _first_fatal(table: PairTable, keys: np.ndarray, bad: BadRow | None, duplicate_ids: DuplicateIds) -> None:
    """Raise for the first bad row in file order: `bad`, or a repeated id in the readable rows before it."""
    end = len(table) if bad is None else bad.position
    repeated = _duplicates(table, keys, np.arange(end)) if duplicate_ids == "error" else iter(())
    if (first := next(repeated, bad)) is not None:
        raise InputError(first.message)


def _require_rows(table: PairTable, left: int, min_rows: int) -> None:
    if left < min_rows:
        raise InputError(
            f"{table.catalogue.path}: {left:,} usable rows are left of {len(table):,}, fewer than the {min_rows:,} "
            "needed; mend the rows named above or give a larger table."
        )


def _checked(table: PairTable, checker: _RowChecker, skipped: _Skipped, min_rows: int) -> PairTable:
    """The table of the good rows, with the keys found on the way; `table` itself when all are good."""
    if not skipped.counts:
        _require_rows(table, len(table), min_rows)
        table.set_keys(checker.product_keys, checker.text_keys)
        return table
    skipped.log_total(table)
    good = np.flatnonzero(skipped.valid)
    _require_rows(table, len(good), min_rows)
    checked = table.subset(good)
    checked.set_keys(checker.product_keys[good], checker.text_keys[good])
    checked.skipped = dict(skipped.counts)
    return checked


def check_pairs(
    table: PairTable,
    *,
    on_bad_row: OnBadRow = "fatal",
    duplicate_ids: DuplicateIds = "error",
    min_rows: int = 1,
    workers: int = 2,
    progress: bool | None = None,
) -> PairTable:
    """Check every row once and return the table of the good ones, with their keys.

    Row layout, text, product id and picture are looked at. Pictures are judged by header and end marker; with
    `on_bad_row="skip"` they are decoded, so that none fails later. Memory: 16 bytes a row.

    Args:
        table: the pairs.
        on_bad_row: "fatal" raises at the first bad row in file order; "skip" logs the first 20, counts them by reason
            (`PairTable.skipped`) and leaves them out.
        duplicate_ids: "error" makes the second row with a product id a bad row; "allow" does not look.
        min_rows: fewest rows that must be left.
        workers: threads that read rows and pictures.
        progress: show a bar with rate and time left on stderr; None does when stderr is a terminal.

    Raises:
        InputError: as above.
    """
    skip = on_bad_row == "skip"
    checker = _RowChecker(table, decode=skip)
    skipped = _Skipped(len(table))
    for bad in _bad_rows(checker, workers, progress):
        if not skip:
            _first_fatal(table, checker.product_keys, bad, duplicate_ids)
        skipped.add(bad)
    if not skip:
        _first_fatal(table, checker.product_keys, None, duplicate_ids)
    elif duplicate_ids == "error":
        for bad in _duplicates(table, checker.product_keys, np.flatnonzero(skipped.valid)):
            skipped.add(bad)
    return _checked(table, checker, skipped, min_rows)
