"""From a table and a checkpoint to a protocol's run: opens, encodes, asks, counts."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import time
from functools import cached_property

import numpy as np

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import check_pairs
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.distributed import local_device
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.pair_protocols import FASHIONSAP, FULL, SAMPLE, full_gallery, sampled
from easynlp_fashionklip.evaluation.queries import SearchQuery, category_queries, read_queries
from easynlp_fashionklip.evaluation.resampling import intervals
from easynlp_fashionklip.evaluation.run_folder import Concepts, SavedRun, concepts_from
from easynlp_fashionklip.evaluation.sampling import check_size
from easynlp_fashionklip.evaluation.search_protocols import (
    MARQO,
    SEARCH,
    marqo_queries,
    marqo_search,
    multi_field,
    product_search,
)
from easynlp_fashionklip.evaluation.worst import WorstQuery, worst_pairs, worst_pictures, worst_searches
from easynlp_fashionklip.evaluation.zero_shot import PROMPT, ZERO_SHOT, classify, labels_of, prompts_of
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.inference.encode import encode_images, encode_texts
from easynlp_fashionklip.inference.onnx_encoder import load_encoder
from easynlp_fashionklip.models.dual_encoder import DualEncoder

PROTOCOLS = (FULL, SAMPLE, FASHIONSAP, SEARCH, MARQO, ZERO_SHOT)
CATEGORY_COLUMNS = ("category", "input_subcategory")
_SAMPLED = (SAMPLE, FASHIONSAP)
_BY_PICTURE_ALONE = (SEARCH, ZERO_SHOT)


class Evaluation:
    """One run of `fashionklip evaluate`. What can be wrong with the input is found before anything is encoded."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Open and check everything that is named.

        Raises:
            InputError: an unknown protocol, or a file, column, query or row that cannot be used.
        """
        self._arguments = arguments
        self.protocol = _known(arguments.protocol)
        catalogue = open_catalogue(arguments.tables, input_schema=arguments.input_schema)
        table = PairTable(catalogue, arguments.text, arguments.image, arguments.product_id)
        self._category = self._category_column(table)
        self._whole_table = table
        self.table = check_pairs(table, on_bad_row=arguments.on_bad_row, duplicate_ids="allow")
        self._read()
        self.queries = self._queries()
        self._labels = labels_of(self._known_pairs) if self.protocol == ZERO_SHOT else []
        if arguments.prompt and self.protocol != ZERO_SHOT:
            raise InputError(f"--prompt does not go with {self.protocol}; leave it out, or take {ZERO_SHOT}.")
        self._prompt = arguments.prompt or PROMPT
        self._asked = prompts_of(self._labels, self._prompt) if self._labels else [one.text for one in self.queries]
        if self.protocol in _SAMPLED:
            check_size(self._known_pairs, self.protocol == FASHIONSAP)
        self._concepts = None if arguments.graph is None else self._mentioned(ConceptGraph.load(arguments.graph))
        self._model = self._load_model()

    def _load_model(self) -> DualEncoder:
        arguments = self._arguments
        model = load_encoder(
            arguments.checkpoint,
            image_size=arguments.image_size,
            activation=arguments.clip_activation,
            trust_pickle=arguments.trust_pickle,
        )
        if model.concepts is not None:
            if arguments.spacy_model:
                model.concepts.read_with(arguments.spacy_model)
            _ = model.concepts.vocabulary.nlp  # a pipeline that is missing is told of now, not after the pictures
        elif arguments.spacy_model:
            raise InputError(
                f"{arguments.checkpoint} embeds texts without concepts: --spacy_model has nothing to find there; leave "
                "it out."
            )
        return model.to(local_device())

    def _category_column(self, table: PairTable) -> str | None:
        asked, columns = self._arguments.category, table.catalogue.columns
        if asked and asked not in columns:
            near = difflib.get_close_matches(asked, columns, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "name another one with --category."
            raise InputError(
                f"{table.catalogue.path} has no column {asked!r}; its columns are {', '.join(columns)}; {hint}"
            )
        found = asked or next((name for name in CATEGORY_COLUMNS if name in columns), None)
        if found is None and (self.protocol not in (FULL, SEARCH, MARQO) or self._needs_categories()):
            raise InputError(
                f"{self.protocol} needs sub-categories and {table.catalogue.path} has no column category or "
                f"input_subcategory; name one of {', '.join(columns)} with --category."
            )
        return found

    def _needs_categories(self) -> bool:
        return self.protocol == MARQO and self._arguments.queries is None

    def _read(self) -> None:
        """Product ids, texts and categories of the table's rows."""
        known: list[tuple[str, str, str]] = []  # not whole rows, whose pictures may be in them
        for position in range(len(self.table)):
            row = self.table.cells(position)
            category = row[self._category].strip() if self._category else ""
            known.append((self.table.product_id_of(position, row), self.table.text_of(row), category))
        empty = np.zeros((len(known), 0), np.float32)
        products, captions, categories = (list(column) for column in zip(*known, strict=True))
        self._known_pairs = PairGallery(
            images=empty,
            texts=empty,
            product_keys=self.table.product_keys,
            product_ids=products,
            captions=captions,
            categories=categories if self._category else (),
        )

    def _queries(self) -> list[SearchQuery]:
        """What a search asks; [] for other protocols."""
        path, pairs = self._arguments.queries, self._known_pairs
        if self.protocol not in (SEARCH, MARQO):
            if path is not None:
                raise InputError(f"--queries does not go with {self.protocol}; leave it out, or take {SEARCH}.")
            return []
        if path is None and self.protocol == SEARCH:
            raise InputError(f"{SEARCH} needs --queries, JSON lines with query_id, query_text and item_ids.")
        if path is not None:
            queries = read_queries(path, pairs.product_ids, self._left_out())
        else:
            queries = category_queries(pairs.categories, pairs.product_ids, str(self._category))
        return marqo_queries(queries, self._arguments.seed) if self.protocol == MARQO else queries

    def _left_out(self) -> set[str]:
        """Products of which every row was bad."""
        if not self.table.skipped:
            return set()
        found: set[str] = set()
        for position in range(len(self._whole_table)):
            with contextlib.suppress(InputError):  # such a row has no product id either
                found.add(self._whole_table.product_id(position))
        return found - set(self._known_pairs.product_ids)

    @cached_property
    def _gallery(self) -> PairGallery:
        pairs, size = self._known_pairs, self._arguments.batch_size
        images = encode_images(self._model, self.table, batch_size=size, workers=self._arguments.workers)
        texts = pairs.texts
        if self.protocol not in _BY_PICTURE_ALONE:
            texts = encode_texts(self._model, pairs.captions, batch_size=size)
        for name, embeds in (("pictures", images), ("texts", texts)):
            self._require_numbers(name, embeds)
        return PairGallery(images, texts, pairs.product_keys, pairs.product_ids, pairs.captions, pairs.categories)

    @cached_property
    def _asked_embeds(self) -> np.ndarray:
        embeds = encode_texts(self._model, self._asked, batch_size=self._arguments.batch_size)
        self._require_numbers("queries", embeds)
        return embeds

    def _require_numbers(self, name: str, embeds: np.ndarray) -> None:
        bad = int((~np.isfinite(embeds).all(axis=1)).sum())
        if bad:
            raise InputError(
                f"{self._arguments.checkpoint} gives {bad:,} of {len(embeds):,} {name} embeddings that are no finite "
                "numbers; its weights are damaged or diverged, so give another checkpoint."
            )

    def run(self) -> tuple[SavedRun, list[WorstQuery]]:
        """Encode, ask, count."""
        started = time.perf_counter()
        gallery = self._gallery
        encoded = time.perf_counter()
        run, worst = self._measured(gallery)
        arguments = self._arguments
        provenance = {
            "checkpoint": str(arguments.checkpoint),
            "table": str(arguments.tables),
            "query_file": str(arguments.queries or ""),
            "product_id_column": self.table.product_id_column or "none: each row is a product of its own",
            "category_column": self._category or "",
            "image_size": self._model.processor.image_size,
            "graph": str(arguments.graph or ""),
            "interval_seed": arguments.seed,
            "rows_left_out": sum(self.table.skipped.values()) or "",
            "seconds_encoding": round(encoded - started, 1),
            "seconds_measuring": round(time.perf_counter() - encoded, 1),
        }
        provenance = {name: value for name, value in provenance.items() if value != ""}
        return SavedRun(run, intervals(run, seed=arguments.seed), provenance, self._concepts), worst

    def _measured(self, gallery: PairGallery) -> tuple[ProtocolRun, list[WorstQuery]]:
        if self.protocol == FULL:
            run = full_gallery(gallery)
            return run, worst_pairs(run, gallery)
        if self.protocol in _SAMPLED:
            run = sampled(gallery, self.protocol, seed=self._arguments.seed)
            return run, worst_pairs(run, gallery)
        asked = self._asked_embeds
        if self.protocol == ZERO_SHOT:
            run = classify(gallery, self._labels, asked, prompt=self._prompt)
            return run, worst_pictures(run, gallery, self._labels, asked)
        if self.protocol == SEARCH:
            run = product_search(gallery, self.queries, asked)
            return run, worst_searches(run, gallery, self.queries, asked, gallery.images)
        run = marqo_search(gallery, self.queries, asked, seed=self._arguments.seed)
        return run, worst_searches(run, gallery, self.queries, asked, multi_field(gallery.images, gallery.texts))

    def _mentioned(self, graph: ConceptGraph) -> Concepts:
        """Concepts of the graph that the texts of the run's queries mention."""
        texts = [query.text for query in self.queries] or self._known_pairs.captions
        distinct = list(dict.fromkeys(texts))
        offsets, ids = graph.match_many(distinct)
        mentioned = dict(zip(distinct, np.split(ids, offsets[1:-1]), strict=True))
        phrases = {
            text: [graph.concepts[number].phrase for number in found.tolist()] for text, found in mentioned.items()
        }
        return concepts_from([phrases[text] for text in texts])


def _known(protocol: str) -> str:
    if protocol not in PROTOCOLS:
        near = difflib.get_close_matches(protocol, PROTOCOLS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}{hint}")
    return protocol
