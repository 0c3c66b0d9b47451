"""Search queries with the products that answer them: JSON lines as of the catalogues and of FashionKLIP's release."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.data.jsonl_table import parse_object
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import codes_of
from easynlp_fashionklip.graph.csr import offsets_of

MAX_SHOWN = 60
_SHOWN_NAMES = 10


@dataclass(frozen=True)
class SearchQuery:
    """A query and the ids of every product that answers it, each once."""

    query_id: str
    text: str
    item_ids: tuple[str, ...]
    kind: str = ""


def read_queries(path: str | Path, product_ids: Sequence[str], left_out: Collection[str] = ()) -> list[SearchQuery]:
    """Read `{"query_id", "query_text", "item_ids"[, "kind"]}` a line.

    Args:
        path: the file.
        product_ids: products of the table that is searched; every item must be among them.
        left_out: products whose rows were left out of it; queries lose them.

    Raises:
        InputError: the file is missing, empty or not JSON lines, a query has no text or no items, or none that is
            left, a query id is there twice, or an item is not in the table; names the line.
    """
    path = Path(path)
    known = set(product_ids)
    lines: dict[str, int] = {}
    queries: list[SearchQuery] = []
    for number, record in _records(path):
        query = _query(record, f"{path}, line {number}")
        query = _without(query, left_out, f"{path}, line {number}")
        missing = next((item for item in query.item_ids if item not in known), None)
        if missing is not None:
            raise InputError(
                f"{path}, line {number}: product {missing[:MAX_SHOWN]!r} is not in the table that is searched; give "
                "the table that these queries were made for, or its product id column with --product_id."
            )
        if query.query_id in lines:
            raise InputError(
                f"{path}, line {number}: query_id {query.query_id[:MAX_SHOWN]!r} is already on line "
                f"{lines[query.query_id]}; give each query an id of its own."
            )
        lines[query.query_id] = number
        queries.append(query)
    if not queries:
        raise InputError(f"{path} holds no queries; give a file with a JSON object a line.")
    return queries


def _without(query: SearchQuery, left_out: Collection[str], where: str) -> SearchQuery:
    items = tuple(item for item in query.item_ids if item not in left_out)
    if not items:
        raise InputError(
            f"{where}: every product of the query, {query.item_ids[0][:MAX_SHOWN]!r} for one, was left out of the "
            "table with its bad rows; repair those, or remove the query."
        )
    return replace(query, item_ids=items) if len(items) < len(query.item_ids) else query


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number from 1, object) of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, parse_object(line, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); give a file of queries.") from error


def _query(record: Mapping[str, Any], where: str) -> SearchQuery:
    for name in ("query_id", "query_text", "item_ids"):
        if name not in record:
            raise InputError(f"{where} has no {name!r}; it has {_names(record)}.")
    text, items = record["query_text"], record["item_ids"]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: query_text is {str(text)[:MAX_SHOWN]!r}; write the words of the query.")
    if not isinstance(items, list) or not all(isinstance(item, (str, int)) for item in items):
        raise InputError(f'{where}: item_ids is no list of product ids; write one, like ["a1", "a2"].')
    if not items:
        raise InputError(f"{where}: the query has no relevant products (item_ids is empty); name them or remove it.")
    ids = tuple(dict.fromkeys(str(item).strip() for item in items))
    return SearchQuery(str(record["query_id"]), text, ids, str(record.get("kind") or ""))


def _names(record: Mapping[str, Any]) -> str:
    """Its keys, not too many and none too long."""
    shown = ", ".join(repr(name[:MAX_SHOWN]) for name in list(record)[:_SHOWN_NAMES])
    return shown + (", ..." if len(record) > _SHOWN_NAMES else "") if record else "nothing"


def category_queries(categories: Sequence[str], product_ids: Sequence[str], kind: str) -> list[SearchQuery]:
    """Every value of a column as a query for the products that have it, in alphabetical order; blank ones are none."""
    found: dict[str, dict[str, None]] = {}
    for category, product in zip(categories, product_ids, strict=True):
        if category.strip():
            found.setdefault(category.strip(), {})[product] = None
    return [SearchQuery(str(number), name, tuple(found[name]), kind) for number, name in enumerate(sorted(found))]


def relevant_products(
    queries: Sequence[SearchQuery], product_ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The queries' items as numbers of products.

    Returns:
        int64 (N,): number of each row's product, from 0 in the order of first appearance; offsets int64 (Q + 1,) and
        items int64 of the queries' relevant products.
    """
    product = codes_of(product_ids)
    number = dict(zip(product_ids, product.tolist(), strict=True))
    offsets = offsets_of(np.array([len(query.item_ids) for query in queries], dtype=np.int64))
    items = np.array([number[item] for query in queries for item in query.item_ids], dtype=np.int64)
    return product, offsets, items
