"""CLIP's tokenizer in code, against known ids and against open_clip's own."""

from __future__ import annotations

import gzip
import html
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models import clip_tokenizer as module
from easynlp_fashionklip.models.clip_tokenizer import MERGES, VOCABULARY, clip_tokenizer
from easynlp_fashionklip.models.packaged import locate_file
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor

needs_merges = pytest.mark.skipif(
    find_spec("open_clip") is None, reason="open_clip_torch, whose vocabulary this is, is missing"
)
TRICKY = [
    "",
    " ",
    "a red t-shirt",
    "A RED T-SHIRT",
    "short\tsleeve\n\n t-shirt  in white ",
    "women's jeans, size 34/32 — 100% cotton!!!",
    "she'll they've we're i'd it's don't i'm",
    "'s 't ''s '''",
    "3/4-length sleeves; v-neck (navy) #1 @home $9.99 €10",
    "T&amp;Shirt &lt;b&gt;new&lt;/b&gt; &quot;best&quot; &amp;amp; &#39;n&#39; roll&nbsp;&nbsp;x",
    "Levi\u2019s \u201c501\u201d \u2018slim\u2019",
    "ﬁne ﬂannel eﬀect oﬃce waﬄe",
    "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m \u1e9e \u00df",
    "\u88d9\u5b50 \u7ea2\u8272 \u043f\u043b\u0430\u0442\u044c\u0435 \u0641\u0633\u062a\u0627\u0646",
    "\U0001f457\U0001f45a \u2764\ufe0f new",
    "x\u00a0y\u2003z\u3000w",
    "zero\u200bwidth\ufeff \x00\x07bell\x7f",
    "a_b__c--d..e…f",
    "0123456789 \u00bd \u00b2 \u2163",
    "x" * 300,
    "word " * 200,
]


def simple_tokenizer() -> ModuleType:
    """open_clip's tokenizer, without the rest of the package, which wants torchvision."""
    for name in ("ftfy", "regex", "open_clip"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is missing, which open_clip's own tokenizer needs")
    package = find_spec("open_clip")
    assert package is not None and package.submodule_search_locations
    from importlib.util import spec_from_file_location

    spec = spec_from_file_location("open_clip_tokenizer", Path(package.submodule_search_locations[0]) / "tokenizer.py")
    assert spec is not None and spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    return simple_tokenizer()


@pytest.fixture(scope="module")
def ours() -> PreTrainedTokenizerFast:
    if find_spec("open_clip") is None:
        pytest.skip("open_clip_torch, whose vocabulary this is, is missing")
    return clip_tokenizer(77)


def test_ids_are_those_of_openai(ours: PreTrainedTokenizerFast) -> None:
    # From the model cards of OpenAI's CLIP: "a photo of a cat" is 320 1125 539 320 2368 between 49406 and 49407.
    assert ours("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(ours) == VOCABULARY
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (49406, 49407, 49407)


@pytest.mark.parametrize("text", TRICKY, ids=lambda text: repr(text[:20]))
def test_tricky_texts_are_cut_as_by_open_clip(text: str, ours: PreTrainedTokenizerFast, theirs: ModuleType) -> None:
    (wanted,) = theirs.tokenize([text], context_length=77).tolist()
    length = wanted.index(49407) + 1
    assert ours(text, truncation=True, max_length=77)["input_ids"] == wanted[:length]


SHOP_CHARACTERS = st.sampled_from(sorted(set("abcxyzABCXYZ 0123456789'\"&;,.:-_/()%!?#+*\n\t" + "éüñß€£’“”½²×—…")))


@given(st.text(SHOP_CHARACTERS, max_size=60))
@settings(max_examples=300, derandomize=True, database=None, deadline=None)
def test_any_shop_text_is_cut_as_by_open_clip(text: str) -> None:
    theirs = _cached_theirs()
    if theirs is None or html.unescape(text) != text:
        return  # entities beyond the common ones
    if theirs.ftfy.fix_text(text) != theirs.ftfy.fix_text(text, fix_encoding=False):
        return  # what ftfy takes for a broken encoding
    assert _cached_ours()(text)["input_ids"][1:-1] == theirs._tokenizer.encode(text)


_CACHE: dict[str, object] = {}


def _cached_theirs() -> ModuleType | None:
    if "theirs" not in _CACHE:
        there = all(find_spec(name) for name in ("ftfy", "regex", "open_clip"))
        _CACHE["theirs"] = simple_tokenizer() if there else None
    return _CACHE["theirs"]  # type: ignore[return-value]


def _cached_ours() -> PreTrainedTokenizerFast:
    if "ours" not in _CACHE:
        _CACHE["ours"] = clip_tokenizer(77)
    return _CACHE["ours"]  # type: ignore[return-value]


def test_long_texts_keep_their_end_of_text_token(ours: PreTrainedTokenizerFast) -> None:
    processor = Processor(ImagePreprocessing(32), ours, 77)
    tokens = processor.tokenize(["word " * 200, "short"])
    assert tokens["input_ids"].shape == (2, 77)
    assert tokens["input_ids"][0, -1] == 49407
    assert tokens["attention_mask"].sum(dim=1).tolist() == [77, 3]


def test_it_is_the_same_after_saving(ours: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    ours.save_pretrained(str(tmp_path))
    again = AutoTokenizer.from_pretrained(str(tmp_path))
    assert again(TRICKY)["input_ids"] == ours(TRICKY)["input_ids"]


def test_tokens_can_be_read_back(ours: PreTrainedTokenizerFast) -> None:
    text = ours.decode(ours("a red café dress")["input_ids"], skip_special_tokens=True)
    assert text.split() == ["a", "red", "café", "dress"]


@needs_merges
def test_the_list_may_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(locate_file(MERGES).read_bytes())
    assert clip_tokenizer(77, tmp_path / "vocab.txt")("a cat")["input_ids"] == [49406, 320, 2368, 49407]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = module.PackagedFile("open_clip_torch==3.3.0", "no_such_package_xyz", MERGES.path, MERGES.sha256)
    monkeypatch.setattr(module, "MERGES", missing)
    with pytest.raises(InputError, match=r"pip install --no-deps open_clip_torch==3.3.0"):
        clip_tokenizer(77)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"one\ntwo words\n"), gzip.compress(b"\xff\xfe"), gzip.compress(b"x")[:-4]],
    ids=["empty", "no gzip", "too few words", "no UTF-8", "cut short"],  # a compressed file has the time in it
)
def test_a_file_that_is_no_list_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"vocab.txt .*restore the file"):
        clip_tokenizer(77, tmp_path / "vocab.txt")
