"""CPU settings: chosen by what there is, shown, overridable."""

from __future__ import annotations

import pytest
import torch

from easynlp_fashionklip.models import allocator, cpu


def test_half_precision_needs_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for amx, avx512, expected in ((True, True, True), (False, True, True), (False, False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx512=avx512: avx512, raising=False)
        assert cpu.cpu_half_is_faster() is expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert cpu.cpu_half_is_faster() is False  # an older torch that cannot tell


def test_settings_are_applied_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    before, left = torch.get_num_threads(), []
    monkeypatch.setattr(allocator, "leave_as_it_is", lambda: left.append(True))
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: not left)
    try:
        cpu.configure_cpu()
        assert torch.get_num_threads() == before and not left
        assert dict(cpu.cpu_settings(1, True))["memory"] == "freed blocks are kept"
        cpu.configure_cpu(3, keep_freed_memory=False)
        shown = dict(cpu.cpu_settings(2, False))
    finally:
        torch.set_num_threads(before)
    assert shown["threads"] == "3 for computing, 2 processes for decoding"
    assert shown["precision"] == "float32" and shown["memory"] == "freed blocks go back to the kernel"
