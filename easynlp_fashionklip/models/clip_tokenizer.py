"""CLIP's tokenizer, put together in code from its list of merges."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.packaged import PackagedFile, locate_file

MERGES = PackagedFile(
    "open_clip_torch==3.3.0",
    "open_clip",
    "bpe_simple_vocab_16e6.txt.gz",
    "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
)
VOCABULARY = 49408
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
_NUM_BYTES = 256
_NUM_MERGES = VOCABULARY - 2 * _NUM_BYTES - 2
_MOST_BYTES = 1 << 24  # the list has 1.3 million

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Of what CLIP's own tokenizer leaves to ftfy and `html.unescape`, that which shop texts hold: entities (some escaped
# twice), typographic quotes, ligatures, characters that do not show. Broken encodings are not mended.
_AND = ("&amp;", "&")
_QUOTE_ENTITIES = (("&quot;", '"'), ("&#39;", "'"), ("&apos;", "'"))
_ENTITIES = (_AND, _AND, ("&lt;", "<"), ("&gt;", ">"), *_QUOTE_ENTITIES, ("&nbsp;", " "), ("&#160;", " "))
_LIGATURES = (("ﬀ", "ff"), ("ﬁ", "fi"), ("ﬂ", "fl"), ("ﬃ", "ffi"), ("ﬄ", "ffl"))
_HIDDEN = "[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]"
_SINGLE_QUOTES, _DOUBLE_QUOTES = "[\u02bc\u2018-\u201b]", "[\u201c-\u201f]"


def clip_tokenizer(max_length: int, merges: Path | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of OpenAI's CLIP and of open_clip's plain models, as a fast one.

    Args:
        max_length: most tokens of a text, special tokens included.
        merges: the list of merges, gzipped; None takes it from the package `open_clip_torch`, which is not imported.

    Raises:
        InputError: the package is not installed, or the file is no such list.
    """
    pairs = _read_merges(merges or locate_file(MERGES))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = [*alphabet, *(symbol + _END_OF_WORD for symbol in alphabet), *("".join(pair) for pair in pairs), BOS, EOS]
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=pairs, unk_token=EOS, end_of_word_suffix=_END_OF_WORD, fuse_unk=False)
    )
    tokenizer.add_special_tokens([BOS, EOS])
    tokenizer.normalizer = _normalizer()
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(_END_OF_WORD, " ")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=EOS,
        pad_token=EOS,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def _normalizer() -> normalizers.Normalizer:
    replaced = [normalizers.Replace(old, new) for old, new in (*_ENTITIES, *_LIGATURES)]
    patterns = ((_HIDDEN, ""), (_SINGLE_QUOTES, "'"), (_DOUBLE_QUOTES, '"'))
    replaced += [normalizers.Replace(Regex(pattern), new) for pattern, new in patterns]
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    return normalizers.Sequence([*replaced, normalizers.NFC(), spaces, normalizers.Lowercase()])


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        with gzip.open(path) as file:
            lines = file.read(_MOST_BYTES).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as CLIP's list of merges ({error}); restore the file.") from error
    pairs = [tuple(line.split()) for line in lines[1 : _NUM_MERGES + 1]]
    if len(pairs) != _NUM_MERGES or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{path} is no list of CLIP's {_NUM_MERGES:,} merges; restore the file.")
    return [(first, second) for first, second in pairs]
