"""The trial of the fast setting: a crash in a process of its own, remembered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rnj_lsp.models.folders import cache_folder
from rnj_lsp.models.host.probe import fast_setting, llama_cpp_version, probe_result
from rnj_lsp.models.model import HostFailed
from tests.host.conftest import MakeModel
from tests.support.tiny_gguf import TinyModel

pytestmark = pytest.mark.usefixtures("host_home")


def ignore(_: int) -> None:
    pass


async def test_a_trial_that_works_is_remembered(
    tiny_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(TinyModel())
    assert probe_result(model) is None
    shown: list[int] = []
    result = await fast_setting(model, shown.append)
    assert result.extra_buffers
    assert shown[-1] == 100
    assert probe_result(model) == result
    # A second trial would crash, so there is none.
    monkeypatch.setenv("RNJ_PROBE_CRASH", "1")
    assert await fast_setting(model, ignore) == result


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGSEGV there")
async def test_a_crash_means_the_safe_setting_from_then_on(
    tiny_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(TinyModel(quantised=True))
    monkeypatch.setenv("RNJ_PROBE_CRASH", "1")
    result = await fast_setting(model, ignore)
    assert not result.extra_buffers
    assert "SIGSEGV" in result.reason
    monkeypatch.delenv("RNJ_PROBE_CRASH")
    assert probe_result(model) == result
    assert await fast_setting(model, ignore) == result


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGSEGV there")
async def test_a_model_that_crashes_in_any_case_says_nothing_of_the_processor(
    tiny_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(TinyModel())
    monkeypatch.setenv("RNJ_PROBE_CRASH", "always")
    with pytest.raises(HostFailed, match=r"crashes llama\.cpp"):
        await fast_setting(model, ignore)
    assert probe_result(model) is None


async def test_another_weight_type_is_tried_on_its_own(tiny_model: MakeModel) -> None:
    await fast_setting(tiny_model(TinyModel()), ignore)
    assert probe_result(tiny_model(TinyModel(name="another"))) is not None
    assert probe_result(tiny_model(TinyModel(quantised=True))) is None


async def test_a_model_that_cannot_be_loaded_says_nothing_of_the_processor(
    tiny_model: MakeModel, tmp_path: Path
) -> None:
    whole = tiny_model(TinyModel()).read_bytes()
    model = tmp_path / "half.gguf"
    model.write_bytes(whole[: len(whole) // 2])
    result = await fast_setting(model, ignore)
    assert not result.extra_buffers
    assert probe_result(model) is None


async def test_a_damaged_memory_is_no_memory(tiny_model: MakeModel) -> None:
    model = tiny_model(TinyModel())
    await fast_setting(model, ignore)
    (file,) = cache_folder().glob("probe-*.json")
    for content in ("", "{", "[]", "null", '{"extra_buffers": true}'):
        file.write_text(content)
        assert probe_result(model) is None


@pytest.mark.parametrize(("value", "fast"), [("on", True), ("off", False)])
async def test_the_user_can_force_either_setting(
    tiny_model: MakeModel, monkeypatch: pytest.MonkeyPatch, value: str, fast: bool
) -> None:
    monkeypatch.setenv("RNJ_HOST_EXTRA_BUFFERS", value)
    monkeypatch.setenv("RNJ_PROBE_CRASH", "1")
    result = await fast_setting(tiny_model(TinyModel()), ignore)
    assert result.extra_buffers is fast
    assert probe_result(tiny_model(TinyModel())) == result
    assert not list(cache_folder().glob("probe-*.json"))


def test_what_is_no_model_is_not_tried(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("hello")
    with pytest.raises(HostFailed):
        probe_result(path)


def test_the_version_is_known_without_loading_llama_cpp() -> None:
    assert llama_cpp_version().split(".")[0] == "0"
