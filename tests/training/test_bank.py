"""The bank keeps the latest embedding of a row, unit norm again, without gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.bank import EmbeddingBank


def test_update_replaces_the_named_rows_only() -> None:
    bank = EmbeddingBank(4, 2)
    bank.fill(np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32))
    embeds = torch.tensor([[0.0, -1.0], [0.8, 0.6]], requires_grad=True)
    bank.update(torch.tensor([2, 0]), embeds)
    expected = torch.tensor([[0.8, 0.6], [0, 1], [0, -1], [-1, 0]])
    torch.testing.assert_close(bank.get(torch.arange(4)), expected, atol=1e-3, rtol=0)
    assert not bank.get(torch.arange(4)).requires_grad


def test_get_has_unit_norm_after_half_precision_and_any_shape() -> None:
    bank = EmbeddingBank(3, 5)
    vectors = torch.nn.functional.normalize(torch.arange(1.0, 16.0).reshape(3, 5), dim=1)
    bank.fill(vectors.numpy())
    got = bank.get(torch.tensor([[0, 1], [2, 2]]))
    assert got.shape == (2, 2, 5)
    torch.testing.assert_close(got.norm(dim=-1), torch.ones(2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(got[1, 0], vectors[2], atol=1e-3, rtol=0)


def test_two_bytes_a_number() -> None:
    assert EmbeddingBank(10, 8).embeds.element_size() == 2


def test_a_bank_beyond_its_budget_lives_in_a_file_and_answers_the_same() -> None:
    small, large = EmbeddingBank(50, 8), EmbeddingBank(50, 8, budget=100)
    assert small._map is None
    assert large._map is not None
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    changed = torch.tensor([3, 49, 0])
    for bank in (small, large):
        bank.fill(rows)
        bank.update(changed, torch.ones(3, 8))
    assert torch.equal(small.embeds, large.embeds)
    assert torch.equal(small.get(torch.arange(50)), large.get(torch.arange(50)))
    torch.testing.assert_close(large.embeds[1].float(), torch.from_numpy(rows[1]), atol=1e-3, rtol=1e-2)


def test_without_room_for_a_file_it_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    bank = EmbeddingBank(50, 8, budget=100)
    assert bank._map is None
    assert bank.embeds.shape == (50, 8)


def test_drift_is_the_length_of_the_way() -> None:
    """There and back counts twice; a row filled anew is infinitely far; other rows stay."""
    bank = EmbeddingBank(3, 4)
    assert bank.drift is None
    bank.track_drift()
    assert bank.drift is not None
    assert torch.isinf(bank.drift).all()
    bank.drift.zero_()
    there = torch.tensor([[0.5, 0.0, 0.0, 0.0]])
    bank.update(torch.tensor([1]), there)
    bank.update(torch.tensor([1]), 0 * there)
    assert bank.drift.tolist() == [0.0, 1.0, 0.0]
    bank.update(torch.tensor([1]), 0 * there)
    assert bank.drift.tolist() == [0.0, 1.0, 0.0]
    bank.fill(np.zeros((3, 4), np.float32))
    assert torch.isinf(bank.drift).all()


@pytest.mark.parametrize("tracked", [False, True])
def test_a_bank_goes_on_from_its_state(tracked: bool) -> None:
    bank, other = EmbeddingBank(5, 4), EmbeddingBank(5, 4, budget=8)
    if tracked:
        bank.track_drift()
    bank.fill(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    bank.update(torch.tensor([2]), torch.ones(1, 4))
    other.load_state_dict(bank.state_dict())
    for one in (bank, other):
        one.update(torch.tensor([1]), torch.ones(1, 4))
    assert torch.equal(other.embeds, bank.embeds)
    assert (other.drift is None) == (not tracked)
    if tracked:
        assert torch.equal(other.drift, bank.drift)
        assert other.drift.data_ptr() != bank.drift.data_ptr()


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
def test_the_state_of_another_table_or_encoder_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"\({shape[0]}, {shape[1]}\) picture embeddings, this run has \(5, 4\)"):
        EmbeddingBank(5, 4).load_state_dict(EmbeddingBank(*shape).state_dict())
