"""The pairs of FashionKLIP's release: JSONL of `query_id`, `query_text`, `item_ids`; pictures in an .npz by item id.

`graph/export/release.py` names the source. An item is a product, and every query that names it one of its captions;
further keys, such as `phrases`, are columns like any other.
"""

from __future__ import annotations

from pathlib import Path

from easynlp_fashionklip.data.jsonl_table import JsonlTable
from easynlp_fashionklip.errors import InputError

QUERY_TEXT, ITEM_IDS = "query_text", "item_ids"


class ReleaseTable(JsonlTable):
    """Queries with the items that they find; a query is as many pairs as it has items."""

    id_column = ITEM_IDS

    @property
    def pictures_archive(self) -> Path | None:
        """The one .npz beside the file; of several, the one whose name begins as the file's does.

        Raises:
            InputError: there are several that could be meant.
        """
        found = sorted(self.folder.glob("*.npz"))
        stem = self.path.stem.split("_")[0]
        own = [path for path in found if path.stem.startswith(stem)]
        chosen = found if len(found) == 1 else own
        if len(chosen) > 1:
            names = ", ".join(path.name for path in chosen)
            raise InputError(f"{self.path}: its pictures could be in {names}; say which one with image_root.")
        return chosen[0] if chosen else None


def is_release(table: JsonlTable) -> bool:
    """Whether a JSONL file has the release's keys."""
    return QUERY_TEXT in table.columns and ITEM_IDS in table.columns
