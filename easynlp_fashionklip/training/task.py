"""The training task: model + graph + losses -> a dictionary of losses (design section 4)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from easynlp_fashionklip import distributed
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.losses import ConceptVisualAlignmentLoss, balance_weight, total_loss
from easynlp_fashionklip.losses.functional import MAX_SCALE, inverse_temperature
from easynlp_fashionklip.losses.itc import SIGMOID_INITIAL_SCALE, itc_loss
from easynlp_fashionklip.models.concept_texts import ConceptTexts, Vocabulary, enriched, mean_of_concepts
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.concept_prompts import ConceptPrompts
from easynlp_fashionklip.training.frozen_tower import FrozenPictures, KeptTexts
from easynlp_fashionklip.training.global_batch import GlobalBatch, gather_batch
from easynlp_fashionklip.training.knowledge import ConceptKnowledge
from easynlp_fashionklip.training.refresh import RefreshReport, encode_prompts, refresh

Batch = dict[str, Any]


class FashionKLIPTask(nn.Module):
    """ITC, and CVA where there is a graph, over the global batch.

    `forward` runs the encoders on this process's pairs and on its share of the batch's unique concepts (the part that
    DistributedDataParallel must see); `compute_loss` gathers and compares. Both follow EasyNLP's contract. A batch in
    several micro-batches takes `training.contrastive_step`.

    With the sigmoid loss a model that was trained with it goes on at its own temperature and bias (`itc.bias` is the
    model's `logit_bias`), without a bound on the temperature. Another begins at SigLIP's, and its bias, in
    `itc.state_dict()`, is no part of a checkpoint's folder.
    """

    def __init__(self, model: DualEncoder, config: AppConfig, num_rows: int) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.itc = itc_loss(config.itc_loss, config.loss_chunk, model.logit_bias)
        self.cva = ConceptVisualAlignmentLoss(config.cva_variant, config.cva_prototypes, config.loss_chunk)
        _begin_similarity(model, config)
        if config.gradient_checkpointing:
            model.set_gradient_checkpointing()
        self.knowledge: ConceptKnowledge | None = None
        self.bank = EmbeddingBank(num_rows if config.cva else 0, model.embed_dim)
        self.pictures = FrozenPictures(model, num_rows)
        self.captions = KeptTexts(model, num_rows, states=_keeps_states(config))
        self.prompts = KeptTexts(model, 0)
        self._prompt_tokens: ConceptPrompts | None = None
        self._outputs_of_now: tuple[Tensor, Tensor] | None = None

    def attach(self, knowledge: ConceptKnowledge) -> None:
        """Train with this graph's concepts from now on."""
        self.knowledge = knowledge
        self._prompt_tokens = ConceptPrompts(self.model.processor.tokenize(knowledge.prompts()))
        self.prompts = KeptTexts(self.model, knowledge.num_concepts)
        self._outputs_of_now = None
        self._attach_concept_texts(knowledge)

    def _attach_concept_texts(self, knowledge: ConceptKnowledge) -> None:
        """Let the model's texts have this graph's concepts, beginning with what it knows of them already."""
        before, self.model.concepts = self.model.concepts, None
        if not self.config.concept_text_weight:
            return
        phrases, pipeline = list(knowledge.graph.tables.concepts.phrases), knowledge.graph.info.spacy_pipeline
        vocabulary = Vocabulary(phrases, pipeline, self.config.spacy_model)
        concepts = ConceptTexts(vocabulary, self.model.embed_dim, self.config.concept_text_weight)
        if self.config.hierarchy:
            concepts.set_ancestors(*knowledge.graph.ancestor_csr)
        if before is not None:
            concepts.start_from(before)
        concepts.nodes.requires_grad_(self.config.node_learning_rate > 0)
        self.model.concepts = concepts.to(self.model.logit_scale.device)

    def encode_concepts(self, concepts: Tensor) -> Tensor:
        """(n,) concept numbers -> (n, d): e_c of `models.concept_texts`, or without it the prompts' unit vectors.

        Of a text tower that trains without the prompts' gradient, by its outputs at the latest refresh.
        """
        prompts = self._encode_prompts(concepts)
        return prompts if self.model.concepts is None else self.model.concepts(concepts, prompts)

    def _encode_prompts(self, concepts: Tensor) -> Tensor:
        if len(concepts) == 0:  # with gradient: all processes must take part in the backward pass of the gathering
            nothing = torch.zeros(0, self.model.embed_dim, device=self.model.logit_scale.device)
            return nothing.requires_grad_(torch.is_grad_enabled())
        assert self._prompt_tokens is not None
        tokens = self._prompt_tokens.tokens(concepts)
        if self.prompts.cache is None:
            return self.model.encode_prompts(**tokens)
        return self.prompts.encode(tokens, concepts)

    def update_concept_texts(self) -> None:
        """Give the model's texts the concepts as they are now, to evaluate or save; every process must call it."""
        concepts = self.model.concepts
        if self.knowledge is None or concepts is None:
            return
        with _evaluating(self.model):
            concepts.set_vectors(encode_prompts(self.knowledge, self.model.embed_dim, self._encoder_of_now()))

    def _encoder_of_now(self) -> Callable[[Tensor], Tensor]:
        """Concept numbers to e_c, with the text tower as it is."""
        if not self.keeps_prompts:
            return self.encode_concepts
        outputs, concepts = self._prompt_outputs(), self.model.concepts
        assert concepts is not None
        device = self.model.logit_scale.device
        return lambda numbers: concepts(numbers, self.model.project_text(outputs[numbers].to(device)))

    def refresh_prototypes(self) -> RefreshReport | None:
        """Re-rank the prototypes with the encoder as it is, on every process; None without a graph."""
        if self.knowledge is None:
            return None
        started = time.perf_counter()
        with _evaluating(self.model):
            self.keep_prompts()
            return refresh(self.knowledge, self.bank, self.encode_concepts, started)

    @property
    def keeps_prompts(self) -> bool:
        """Whether the text tower trains, and without the prompts' gradient."""
        return self.knowledge is not None and not (self.config.prompt_gradient or self.model.text_tower_frozen)

    def keep_prompts(self) -> None:
        """Where the text tower trains without the prompts' gradient, encode them to be used until the next refresh.

        Every process must call it.
        """
        if self.keeps_prompts:
            self.prompts.replace(self._prompt_outputs())
            self._outputs_of_now = None

    def _prompt_outputs(self) -> Tensor:
        """(C, h) on the CPU, what the text tower as it is makes of the prompts: once for an evaluation and a refresh.

        In full precision, so that the outcome is the same for both, and for a run that was resumed between them.
        """
        assert self.knowledge is not None and self._prompt_tokens is not None
        tokens, model = self._prompt_tokens.tokens, self.model
        weights = torch.stack([one.detach().double().square().sum() for one in model.backend.text_tower.parameters()])
        if self._outputs_of_now is None or not torch.equal(self._outputs_of_now[0], weights):
            with _evaluating(model), torch.autocast(weights.device.type, enabled=False):
                width = model.prompt_tower_output(**tokens(torch.zeros(1, dtype=torch.int64))).shape[1]
                outputs = encode_prompts(self.knowledge, width, lambda some: model.prompt_tower_output(**tokens(some)))
            self._outputs_of_now = weights, outputs
        return self._outputs_of_now[1]

    @property
    def kept_prompts(self) -> Tensor | None:
        """(C, h), what a tower that trains made of the prompts at the latest refresh; None where steps encode them."""
        cache = self.prompts.cache
        if self.model.text_tower_frozen or cache is None or not cache.complete:
            return None
        return cache.read(torch.arange(cache.num_keys))

    def global_batch(self, micro_batches: Sequence[Batch]) -> GlobalBatch:
        """Exchange what the processes must know of a contrastive batch: its pairs and their unique concepts.

        Args:
            micro_batches: this process's share, of `PairCollator`.
        """
        found = gather_batch(micro_batches, self.model.logit_scale.device)
        if self.knowledge is None:
            return found
        slots = self.config.cva_variant == "paper"
        return found.with_concepts(
            *self.knowledge.batch(found.rows.cpu(), self.bank, slots, prototypes=self.cva.needs_prototypes)
        )

    def forward(self, batch: Batch) -> Batch:
        """Encode.

        Args:
            batch: of `PairCollator`: `pixel_values` B x 3 x H x W (absent where `pictures` has them), `input_ids` and
                `attention_mask` B x L, `rows`, `product_keys` and `text_keys` B; and `concepts`, which concepts to
                encode beside, int64 (n,). A batch without `concepts` is a contrastive batch of its own: its concepts
                are found, and this process's share of them encoded.

        Returns:
            `image_embeds`, `text_embeds` (B x d) and `concept_embeds` (n x d); of a batch of its own `global_batch`.
        """
        outputs: Batch = {}
        if "concepts" not in batch:
            whole = outputs["global_batch"] = self.global_batch([batch])
            batch = {**batch, "concepts": whole.concepts[whole.own_concepts]}
        outputs["image_embeds"] = self.pictures.encode(batch)
        outputs["text_embeds"] = self.captions.encode(batch, batch["rows"])
        outputs["concept_embeds"] = self.encode_concepts(batch["concepts"].cpu())
        return outputs

    def loss_parameters(self) -> list[nn.Parameter]:
        """Trained parameters that `compute_loss` uses itself: the temperature, and the sigmoid loss's bias."""
        return [one for one in (self.model.logit_scale, *self.itc.parameters()) if one.requires_grad]

    def compute_loss(self, outputs: Batch, label_ids: object = None) -> dict[str, Tensor]:
        """Losses of the global batch, from this process's embeddings.

        Args:
            outputs: of `forward`, with `global_batch`.
            label_ids: ignored; EasyNLP passes it.

        Returns:
            scalars `loss`, `itc_loss`, `cva_loss`, `cva_weight` and `logit_scale` (the inverse temperature), the same
            on every process. The gradient of `loss` is that of this process's part of it times the number of
            processes, so that the mean over processes, as of DistributedDataParallel, is the gradient of the whole.
        """
        whole: GlobalBatch = outputs["global_batch"]
        scale = inverse_temperature(self.model.logit_scale, self.model.max_scale)
        both = torch.cat([outputs["image_embeds"], outputs["text_embeds"]], dim=1)
        images, texts = distributed.gather_with_grad(both, whole.sizes).chunk(2, dim=1)
        concepts = None
        if whole.knowledge is not None:
            concepts = distributed.gather_with_grad(outputs["concept_embeds"], whole.concept_sizes)
            if self.model.concepts is not None:
                mean = mean_of_concepts(concepts, whole.knowledge.named)
                texts = enriched(texts, mean, self.model.concepts.weight)
        products, captions = (whole.product_keys, whole.text_keys) if self.config.duplicate_positives else (None, None)
        # Not as a module, behind which ZeRO-3 would take the bias away before its gradient is handed on.
        itc_part = self.itc.forward(images, texts, scale, products, captions, whole.own_pairs)
        cva_part = torch.zeros_like(itc_part)
        if whole.knowledge is not None and concepts is not None:
            finite = images.detach().isfinite().all(dim=1)  # a step that fails must not spoil later prototypes
            self.bank.update(whole.rows[finite], images[finite])
            cva_part = self.cva(images, concepts, whole.knowledge, scale, whole.own_pairs, whole.own_concepts)
        itc, cva = distributed.sum_over_ranks(torch.stack([itc_part, cva_part])).unbind()
        weight = self._weight(itc, cva)
        own = distributed.world_size() * total_loss(itc_part, cva_part, weight)
        return {
            "loss": own + (total_loss(itc, cva, weight) - own).detach(),  # the whole's value, the part's gradient
            "itc_loss": itc,
            "cva_loss": cva,
            "cva_weight": weight,
            "logit_scale": scale.detach().squeeze(),
        }

    def _weight(self, itc: Tensor, cva: Tensor) -> Tensor:
        """w: balanced or fixed, and 0 for a batch without concepts, whose ITC then counts in full."""
        if self.config.cva_weight < 0:
            return balance_weight(itc, cva, self.config.cva_weight_max)
        return torch.where(cva > 0, self.config.cva_weight, 0.0)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradient inside; what is made there may train later, unlike in inference mode."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _keeps_states(config: AppConfig) -> bool:
    """Whether to keep what frozen layers make of captions: on a CPU, where it pays, unless something wraps them."""
    wrapped = config.gradient_checkpointing or config.deepspeed_config
    return distributed.local_device().type == "cpu" and not wrapped


def _begin_similarity(model: DualEncoder, config: AppConfig) -> None:
    """Set what the loss needs of a model's temperature and bias."""
    sigmoid, bias = config.itc_loss == "sigmoid", model.logit_bias
    if bias is not None:
        bias.requires_grad_(sigmoid)  # a softmax takes no notice of it
        model.max_scale = math.inf if sigmoid else MAX_SCALE
    elif sigmoid:
        nn.init.constant_(model.logit_scale, math.log(SIGMOID_INITIAL_SCALE))
