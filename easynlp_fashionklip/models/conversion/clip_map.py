"""Key maps of CLIP's towers: OpenAI's names, which open_clip, EasyNLP and the FashionKLIP release share, to ours."""

from __future__ import annotations

from collections.abc import Iterator

from easynlp_fashionklip.models.conversion.key_map import KeyMap, TensorMap

# One residual block. Query, key and value are one matrix of 3 x width rows in OpenAI's layout.
_BLOCK = (
    ("ln_1.", "layer_norm1."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
)
_PACKED = ("attn.in_proj_", ("self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."))

_IMAGE_TOWER = (
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.conv1.", "vision_model.embeddings.patch_embedding."),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.ln_pre.", "vision_model.pre_layrnorm."),  # spelt so in transformers
    ("visual.ln_post.", "vision_model.post_layernorm."),
    ("visual.proj", "visual_projection.weight"),
)
_TEXT_TOWER = (
    ("token_embedding.", "text_model.embeddings.token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.", "text_model.final_layer_norm."),
)
_SHARED = (("text_projection", "text_projection.weight"), ("logit_scale", "logit_scale"))
_BERT = (("bert.", "text_model."),)

# Products of vector and matrix in OpenAI's layout (width x d), linear layers (d x width) in transformers'.
_TRANSPOSED = ("visual.proj", "text_projection")
# OpenAI's own files hold three numbers beside the weights.
NUMBERS = ("input_resolution", "context_length", "vocab_size")

_MASK = "attn_mask"

_IMAGE_BLOCKS = ("visual.transformer.resblocks.", "vision_model.encoder.layers.")
_TEXT_BLOCKS = ("transformer.resblocks.", "text_model.encoder.layers.")


def _blocks(names: tuple[str, str], layers: int) -> Iterator[tuple[str, str]]:
    for layer in range(layers):
        yield from ((f"{names[0]}{layer}.{source}", f"{names[1]}{layer}.{target}") for source, target in _BLOCK)


def _packed(names: tuple[str, str], layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    source, targets = _PACKED
    for layer in range(layers):
        yield f"{names[0]}{layer}.{source}", tuple(f"{names[1]}{layer}.{target}" for target in targets)


def clip_map(vision_layers: int, text_layers: int) -> TensorMap:
    """OpenAI's CLIP with a vision transformer -> `transformers.CLIPModel`."""
    blocks = (*_blocks(_IMAGE_BLOCKS, vision_layers), *_blocks(_TEXT_BLOCKS, text_layers))
    # The causal mask follows from the architecture; where a program keeps it as a tensor it is not a weight.
    masks = (_MASK, *(f"{_TEXT_BLOCKS[0]}{layer}.{_MASK}" for layer in range(text_layers)))
    return TensorMap(
        KeyMap((*_IMAGE_TOWER, *_TEXT_TOWER, *_SHARED, *blocks), dropped=(*NUMBERS, *masks)),
        _TRANSPOSED,
        (*_packed(_IMAGE_BLOCKS, vision_layers), *_packed(_TEXT_BLOCKS, text_layers)),
    )


def chinese_clip_map(vision_layers: int) -> TensorMap:
    """Chinese-CLIP as its authors and EasyNLP store it -> `transformers.ChineseCLIPModel`.

    BERT keeps its names. Its pooler and its table of positions are left out: neither takes part in an embedding.
    """
    blocks = tuple(_blocks(_IMAGE_BLOCKS, vision_layers))
    return TensorMap(
        KeyMap((*_IMAGE_TOWER, *_SHARED, *_BERT, *blocks), dropped=("bert.pooler.", "bert.embeddings.position_ids")),
        _TRANSPOSED,
        tuple(_packed(_IMAGE_BLOCKS, vision_layers)),
    )
