"""A run on disk: `evaluation.json`, `per_query.npz`, `queries.parquet`, and the lists that were drawn."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.measures import Measure, ProtocolRun, Query
from easynlp_fashionklip.evaluation.report import FILE_NAME

PER_QUERY = "per_query.npz"
QUERIES = "queries.parquet"
CANDIDATES = "candidates.npz"
FORMAT = 1
_COLUMNS = ("query_id", "text", "product_id", "category", "kind")


_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(BadZipFile, zlib.error, pa.ArrowException),
)


@dataclass(frozen=True)
class Concepts:
    """Concepts in the queries' texts: query i's are `phrases[n]` for n in `numbers[offsets[i]:offsets[i + 1]]`."""

    phrases: list[str] = field(default_factory=list)
    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class SavedRun:
    """A run with its intervals, where it came from, and the concepts of its queries if a graph was given."""

    run: ProtocolRun
    intervals: Mapping[str, tuple[float, float]]
    provenance: Mapping[str, Any]
    concepts: Concepts | None = None
    origin: str = "memory"


def write_run(folder: Path, saved: SavedRun) -> None:
    """Write the run's files into an existing folder.

    Raises:
        OSError: a file cannot be written.
    """
    run = saved.run
    (folder / FILE_NAME).write_text(json.dumps(as_dict(saved), indent=2) + "\n", encoding="utf-8")
    arrays = {f"value/{name}": values for name, values in run.values.items()}
    arrays |= {f"rows/{asked}": rows for asked, rows in run.rows.items()}
    arrays |= {f"clusters/{asked}": keys for asked, keys in run.clusters.items()}
    np.savez_compressed(folder / PER_QUERY, **arrays)  # type: ignore[arg-type]
    if run.candidates:
        np.savez_compressed(folder / CANDIDATES, **run.candidates)  # type: ignore[arg-type]
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(query, name) for query in run.queries], pa.string()) for name in _COLUMNS
    }
    if saved.concepts is not None:
        columns["concepts"] = pa.array(_phrases_of(saved.concepts), pa.list_(pa.string()))
    pq.write_table(pa.table(columns), folder / QUERIES, compression="zstd")


def _phrases_of(concepts: Concepts) -> list[list[str]]:
    bounds = zip(concepts.offsets[:-1].tolist(), concepts.offsets[1:].tolist(), strict=True)
    return [[concepts.phrases[n] for n in concepts.numbers[start:stop].tolist()] for start, stop in bounds]


def as_dict(saved: SavedRun) -> dict[str, Any]:
    """What `evaluation.json` holds: scores first, then how they were taken."""
    run = saved.run
    return {
        **{name: round(score, 4) for name, score in run.scores.items()},
        "unit": "percent; meanR and medR are ranks from 1",
        "protocol": run.protocol,
        **run.facts,
        **saved.provenance,
        "intervals_95": {name: [round(end, 4) for end in ends] for name, ends in saved.intervals.items()},
        "standard_deviation": {name: round(value, 4) for name, value in run.spread.items()},
        "primary": list(run.primary),
        "measures": {name: asdict(measure) for name, measure in run.measures.items()},
        "facts": sorted(run.facts),
        "provenance": sorted(saved.provenance),
        "format": FORMAT,
    }


def read_run(folder: str | Path) -> SavedRun:
    """Read what `write_run` wrote.

    Raises:
        InputError: the folder is no run, of a newer format, or damaged.
    """
    folder = Path(folder)
    path = folder / FILE_NAME
    if not os.path.isfile(path):  # also False for a name that no file could have
        raise InputError(
            f"{folder} is no run of 'fashionklip evaluate' (it has no {FILE_NAME}); give its --out folder."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "measures" not in content:
            raise InputError(
                f"{path} is not of 'fashionklip evaluate --protocol'; give the --out folder of such a run."
            )
        if content["format"] > FORMAT:
            raise InputError(f"{path} has format {content['format']}, newer than {FORMAT}; update this program.")
        return _read(folder, content)
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(f"{folder} cannot be read as a run ({reason}); evaluate again.") from error


def _read(folder: Path, content: dict[str, Any]) -> SavedRun:
    with np.load(folder / PER_QUERY, allow_pickle=False) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    table = pq.read_table(folder / QUERIES).to_pydict()
    run = ProtocolRun(
        protocol=content["protocol"],
        facts={name: content[name] for name in content["facts"]},
        queries=[Query(*row) for row in zip(*(table[name] for name in _COLUMNS), strict=True)],
        rows=_below("rows", parts),
        clusters=_below("clusters", parts),
        values=_below("value", parts),
        measures={
            name: Measure(**{**fields, "parts": tuple(fields["parts"])}) for name, fields in content["measures"].items()
        },
        primary=tuple(content["primary"]),
        spread=content["standard_deviation"],
    )
    _require_whole(run)
    intervals = {name: (low, high) for name, (low, high) in content["intervals_95"].items()}
    provenance = {name: content[name] for name in content["provenance"]}
    return SavedRun(run, intervals, provenance, _read_concepts(table), str(folder))


def _require_whole(run: ProtocolRun) -> None:
    """Raise a ValueError unless every measure has a value for each query of its set."""
    for asked, rows in run.rows.items():
        if len(run.clusters[asked]) != len(rows) or (
            len(rows) and not 0 <= rows.min() <= rows.max() < len(run.queries)
        ):
            raise ValueError(f"{PER_QUERY} does not fit {QUERIES}")
    for name, measure in run.measures.items():
        if measure.statistic != "average" and len(run.values[name]) != len(run.rows[measure.asked]):
            raise ValueError(f"{PER_QUERY} has another number of values of {name}")
        if not all(part in run.measures for part in measure.parts):
            raise ValueError(f"{FILE_NAME} lacks parts of {name}")


def _below(part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}/"): values for name, values in arrays.items() if name.startswith(f"{part}/")}


def _read_concepts(table: Mapping[str, list[Any]]) -> Concepts | None:
    if "concepts" not in table:
        return None
    return concepts_from(table["concepts"])


def concepts_from(mentioned: list[list[str]]) -> Concepts:
    """From the phrases that each query mentions."""
    number: dict[str, int] = {}
    numbers = [number.setdefault(phrase, len(number)) for phrases in mentioned for phrase in phrases]
    offsets = np.cumsum([0, *(len(phrases) for phrases in mentioned)], dtype=np.int64)
    return Concepts(list(number), offsets, np.array(numbers, dtype=np.int64))
