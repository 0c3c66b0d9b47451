"""EasyNLP's evaluator: full-gallery retrieval on the validation or test table."""

from __future__ import annotations

from easynlp_fashionklip.app.compat import Evaluator
from easynlp_fashionklip.app.data import FashionKLIPDataset
from easynlp_fashionklip.app.frozen import TableEncoder
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.evaluation.evaluator import RetrievalResult, evaluate_retrieval
from easynlp_fashionklip.evaluation.protocols import PairKeys


class FashionKLIPEvaluator(Evaluator):
    """Encodes the table on all processes together and scores it; every process must call `evaluate`."""

    def __init__(self, valid_dataset: FashionKLIPDataset, *, batch_size: int = 128, workers: int = -1) -> None:
        super().__init__(valid_dataset, eval_batch_size=batch_size)
        self.dataset = valid_dataset
        self.batch_size = batch_size
        self.workers = workers
        self._encoder: TableEncoder | None = None
        self.result: RetrievalResult | None = None

    def evaluate(self, model: FashionKLIP) -> list[tuple[str, float]]:
        """`[("mean_recall", percent), ...]`, the first of which selects the best checkpoint."""
        table = self.dataset.table
        if table.image_column is None or table.text_column is None:
            raise ValueError("evaluation needs a table with texts and pictures")
        if self._encoder is None or self._encoder.model is not model.encoder:
            self._encoder = TableEncoder(model.encoder, table, batch_size=self.batch_size, workers=self.workers)
        model.task.update_concept_texts()
        embeds = self._encoder.embeds("evaluating")
        assert embeds.images is not None and embeds.texts is not None
        self.result = evaluate_retrieval(embeds.images, embeds.texts, PairKeys(table.product_keys, table.text_keys))
        scores = self.result.scores
        return [("mean_recall", scores["mean_recall"]), *((n, v) for n, v in scores.items() if n != "mean_recall")]
