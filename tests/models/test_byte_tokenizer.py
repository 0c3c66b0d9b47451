"""The byte tokenizer: UTF-8 bytes between two special tokens."""

from __future__ import annotations

from easynlp_fashionklip.models.byte_tokenizer import BOS_ID, EOS_ID, VOCABULARY_SIZE, byte_tokenizer


def test_every_byte_has_its_own_id_and_text_comes_back() -> None:
    tokenizer = byte_tokenizer(77)
    text = "Größe 38 \u00e9t\u00e9 \u88d9 \U0001f457"
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.encode()) + 2
    assert (ids[0], ids[-1]) == (BOS_ID, EOS_ID)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len(tokenizer) == VOCABULARY_SIZE
    assert sorted(tokenizer.get_vocab().values()) == list(range(VOCABULARY_SIZE))
