"""Hugging Face data sets as `Dataset.save_to_disk` leaves them, and single Arrow files; read with pyarrow alone.

Layout (github.com/huggingface/datasets, `arrow_dataset.py`): a folder with `state.json`, whose `_data_files` name Arrow
IPC stream files in order, and `dataset_info.json`, whose `features` say which integers are class labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from easynlp_fashionklip.data.arrow_rows import ArrowRows, map_stream
from easynlp_fashionklip.data.arrow_table import ArrowTable
from easynlp_fashionklip.errors import InputError

STATE, INFO, DICT = "state.json", "dataset_info.json", "dataset_dict.json"
_KIND = "Arrow data"


class HfTable(ArrowTable):
    """One split on disk, mapped into memory: opening costs its batches' headers, reading a row that row."""

    def __init__(self, path: Path) -> None:
        """Map the files.

        Args:
            path: the folder of one split, or an `.arrow` file.

        Raises:
            InputError: a file is missing or damaged, or the folder holds several splits.
        """
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path of the table.")
        self._files = (path,) if path.is_file() else _data_files(path)
        rows = _mapped(path, self._files)
        super().__init__(path, _KIND, rows.schema)
        self._rows = rows
        self._labels = {} if path.is_file() else _class_labels(path)
        if not len(rows):
            raise InputError(f"{path} has no rows; give a data set with at least one.")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Catalogue.files`."""
        return self._files

    @property
    def pictures_folder(self) -> Path:
        """See `Catalogue.pictures_folder`."""
        return self.folder if self.path.is_file() else self.path.absolute()

    def _value(self, i: int, column: str) -> Any:
        value = self._rows.value(i, column)
        names = self._labels.get(column)
        if names is not None and isinstance(value, int) and 0 <= value < len(names):
            return names[value]
        return value

    def _arrays(self, column: str) -> Iterator[pa.Array]:
        return self._rows.arrays(column)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.absolute()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


def _mapped(path: Path, files: tuple[Path, ...]) -> ArrowRows:
    schemas: list[pa.Schema] = []
    batches: list[pa.RecordBatch] = []
    for file in files:
        schema, own = map_stream(file, _KIND)
        if schemas and not schema.equals(schemas[0]):
            raise InputError(f"{file} has other columns than {files[0].name}; save the data set again.")
        schemas.append(schema)
        batches.extend(own)
    return ArrowRows(path, _KIND, schemas[0], batches)


def _data_files(folder: Path) -> tuple[Path, ...]:
    if (folder / DICT).is_file():
        splits = _json(folder / DICT).get("splits")
        named = ", ".join(map(str, splits)) if isinstance(splits, list) else "its splits"
        raise InputError(f"{folder} holds several splits ({named}); give the folder of one, such as {folder}/train.")
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise InputError(f"{folder} has its rows in another order; save it after flatten_indices().")
    entries = state.get("_data_files")
    names = [entry.get("filename") if isinstance(entry, Mapping) else None for entry in entries or ()]
    if not isinstance(entries, list) or not names:
        raise InputError(f"{folder / STATE} names no data files; save the data set again with save_to_disk().")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise InputError(f"{folder / STATE} names {name!r}, which is no file of this folder; save it again.")
    return tuple(folder / str(name) for name in names)


def _class_labels(folder: Path) -> dict[str, list[str]]:
    """Names of the values of each class label column."""
    if not (folder / INFO).is_file():
        return {}
    features = _json(folder / INFO).get("features")
    found: dict[str, list[str]] = {}
    for column, feature in features.items() if isinstance(features, Mapping) else ():
        names = feature.get("names") if isinstance(feature, Mapping) else None
        if isinstance(names, list) and feature.get("_type") == "ClassLabel" and all(isinstance(n, str) for n in names):
            found[str(column)] = names
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; give a folder that save_to_disk() has written.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); save the data set again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object; save the data set again.")
    return content
