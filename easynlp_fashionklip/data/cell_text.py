"""Values of other formats as the text of a cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from easynlp_fashionklip.data.table import Value


def cell_text(value: Any) -> str:
    """A value as text: '' for none, `true` and `false`, a list's items on lines of their own, JSON for a mapping."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, list | tuple):
        return "\n".join(cell_text(item) for item in value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def cell_values(value: Any) -> Sequence[Value]:
    """The values of a cell, pictures as bytes or path: one, or those of a list; never none."""
    items = value if isinstance(value, list | tuple) else [value]
    return [picture_value(item) for item in items] or [""]


def picture_value(value: Any) -> Value:
    """Bytes, or a path: also out of the mapping of `bytes` and `path` that Hugging Face datasets keep pictures in."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        content, path = value.get("bytes"), value.get("path")
        return picture_value(content) if content else cell_text(path)
    return cell_text(value)


def count_values(value: Any) -> int:
    """How many values a cell has, at least 1."""
    return max(1, len(value)) if isinstance(value, list | tuple) else 1
