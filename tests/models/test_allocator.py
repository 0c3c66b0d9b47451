"""The allocator setting: once, and only for glibc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from easynlp_fashionklip.models import allocator


class FakeLibrary:
    def __init__(self, result: int) -> None:
        self.result, self.calls = result, []

    def mallopt(self, option: int, value: int) -> int:
        self.calls.append((option, value))
        return self.result


@pytest.fixture
def keep_freed_memory() -> Callable[[], bool]:
    return allocator.keep_freed_memory.__wrapped__  # without the cache


@pytest.mark.parametrize("result", [0, 1])
def test_sets_three_options_on_glibc(
    monkeypatch: pytest.MonkeyPatch, keep_freed_memory: Callable[[], bool], result: int
) -> None:
    library = FakeLibrary(result)
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is bool(result)
    assert library.calls == [(-4, 0), (-1, 2**31 - 1), (-2, 512 << 20)]


def test_leaves_other_c_libraries_alone(monkeypatch: pytest.MonkeyPatch, keep_freed_memory: Callable[[], bool]) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("no C library may be touched"))
    assert keep_freed_memory() is False


def test_goes_on_where_mallopt_is_missing(
    monkeypatch: pytest.MonkeyPatch, keep_freed_memory: Callable[[], bool]
) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False


def test_the_user_may_leave_it_alone(monkeypatch: pytest.MonkeyPatch, keep_freed_memory: Callable[[], bool]) -> None:
    monkeypatch.setenv("FASHIONKLIP_LEAVE_ALLOCATOR", "")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("no C library may be touched"))
    allocator.leave_as_it_is()
    assert keep_freed_memory() is False
