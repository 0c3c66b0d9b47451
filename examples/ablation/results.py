"""Finished runs of a catalogue in one file: each query's values, without its text or its products' ids.

`<catalogue>.parquet` has a line for each row and seed. It can be passed on where the catalogue cannot: means, intervals
and p of the tables are made of it alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.measures import Measure, ProtocolRun, Query

# What is kept of each protocol: measures that are means of queries' values, and what is made of those.
KEPT = {
    "retrieval": ("image_to_text_R@", "text_to_image_R@", "mean_recall"),
    "search": ("mAP", "P@10", "nDCG@10", "MRR"),
}
_SCHEMA = pa.schema(
    [
        ("row", pa.string()),
        ("seed", pa.int32()),
        ("settings", pa.string()),
        ("tables", pa.string()),
        ("machine", pa.string()),
        ("seconds", pa.float64()),
        ("valid_mean_recall", pa.float64()),
        ("measures", pa.string()),
        ("arrays", pa.map_(pa.string(), pa.list_(pa.float32()))),
    ]
)


@dataclass(frozen=True)
class Result:
    """What a row came to with one seed.

    Attributes:
        row: its name in `rows.ROWS`.
        seed: of the training.
        settings: what the scores depend on beside row, seed and catalogue.
        tables: digest of the catalogue's tables that it was trained and scored on.
        machine: device and number type of the training; None if nothing was trained.
        seconds: of the training; None if it was stopped and taken up again, or nothing was trained.
        valid_mean_recall: of the checkpoint that was chosen, in percent; None if nothing was trained.
        runs: of `retrieval` and `search`, the measures in KEPT; empty if only learning rates were compared.
    """

    row: str
    seed: int
    settings: Mapping[str, str]
    tables: str | None = None
    machine: str | None = None
    seconds: float | None = None
    valid_mean_recall: float | None = None
    runs: Mapping[str, ProtocolRun] = field(default_factory=dict)


def load(path: Path) -> dict[tuple[str, int], Result]:
    """The results in a file by row and seed; none if there is no file.

    Raises:
        InputError: it is another file, or damaged.
    """
    if not path.is_file():
        return {}
    try:
        found = [_result(line) for line in pq.read_table(path, schema=_SCHEMA).to_pylist(maps_as_pydicts="strict")]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(
            f"{path} is no file of the ablation's results; move it away, or give other --results."
        ) from error
    return {(one.row, one.seed): one for one in found}


def add(path: Path, result: Result) -> None:
    """Put a result into the file, in place of an earlier one of the same row and seed; several programs may at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        results = load(path) | {(result.row, result.seed): result}
        lines = [_line(results[key]) for key in sorted(results)]
        part = path.with_name(f".{path.name}.part")
        pq.write_table(pa.Table.from_pylist(lines, schema=_SCHEMA), part, compression="zstd")
        part.replace(path)


def without_texts(name: str, run: ProtocolRun) -> ProtocolRun:
    """A run of `retrieval` or `search` with the measures in KEPT; of its queries, only which belong together."""
    measures = {key: measure for key, measure in run.measures.items() if key.startswith(KEPT[name])}
    return replace(
        run,
        facts={},
        queries=[Query(str(number), "") for number in range(len(run.queries))],
        clusters={asked: np.unique(keys, return_inverse=True)[1] for asked, keys in run.clusters.items()},
        values={key: run.values[key] for key, measure in measures.items() if measure.statistic == "mean"},
        measures=measures,
        primary=(),
        spread={},
        candidates={},
    )


def _line(result: Result) -> dict[str, Any]:
    arrays: dict[str, np.ndarray] = {}
    for name, run in result.runs.items():
        for part in ("rows", "clusters", "values"):
            arrays |= {f"{name}/{part}/{key}": array for key, array in getattr(run, part).items()}
    measures = {
        name: {"protocol": run.protocol, "measures": {key: asdict(one) for key, one in run.measures.items()}}
        for name, run in result.runs.items()
    }
    return {
        "row": result.row,
        "seed": result.seed,
        "settings": json.dumps(dict(result.settings), sort_keys=True),
        "tables": result.tables,
        "machine": result.machine,
        "seconds": result.seconds,
        "valid_mean_recall": result.valid_mean_recall,
        "measures": json.dumps(measures),
        "arrays": [(name, array.astype(np.float32)) for name, array in arrays.items()],
    }


def _result(line: Mapping[str, Any]) -> Result:
    runs = {}
    for name, kept in json.loads(line["measures"]).items():
        arrays: dict[str, dict[str, np.ndarray]] = {"rows": {}, "clusters": {}, "values": {}}
        for key, values in line["arrays"].items():
            owner, part, own = key.split("/", 2)
            if owner == name:
                arrays[part][own] = np.array(values, np.float64 if part == "values" else np.int64)
        measures = {key: Measure(**{**one, "parts": tuple(one["parts"])}) for key, one in kept["measures"].items()}
        count = 1 + max((int(rows.max(initial=-1)) for rows in arrays["rows"].values()), default=-1)
        queries = [Query(str(number), "") for number in range(count)]
        runs[name] = ProtocolRun(kept["protocol"], {}, queries, **arrays, measures=measures, primary=())
    plain = {key: line[key] for key in ("row", "seed", "tables", "machine", "seconds", "valid_mean_recall")}
    return Result(**plain, settings=json.loads(line["settings"]), runs=runs)
