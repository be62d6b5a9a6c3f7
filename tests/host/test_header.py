"""Files that are no models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rnj_lsp.models.host.engine import Engine
from rnj_lsp.models.host.header import weight_type
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.model import HostFailed, ModelNotFound
from tests.host.conftest import MakeModel
from tests.support.tiny_gguf import TinyModel


def test_the_weight_type_is_read_from_the_header(tiny_model: MakeModel) -> None:
    assert weight_type(tiny_model(TinyModel())) == "0"
    assert weight_type(tiny_model(TinyModel(quantised=True))) == "7"


def test_a_missing_file_and_a_folder_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model file"):
        Engine.open(tmp_path / "none.gguf", EngineOptions())
    with pytest.raises(ModelNotFound, match="folder"):
        Engine.open(tmp_path, EngineOptions())


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file"
)
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    with pytest.raises(HostFailed, match="cannot be read"):
        Engine.open(path, EngineOptions())


@pytest.mark.parametrize("content", [b"", b"GG", b"hello, I am a text", b"GGUF", b"GGUF" * 20])
def test_what_is_no_gguf_file_is_refused(
    tmp_path: Path, tiny_model: MakeModel, content: bytes
) -> None:
    path = tmp_path / "text.gguf"
    path.write_bytes(content)
    with pytest.raises(HostFailed, match="not a GGUF file"):
        Engine.open(path, EngineOptions())
    path.write_bytes(b"GGML" + tiny_model(TinyModel()).read_bytes()[4:])
    with pytest.raises(HostFailed, match="not a GGUF file"):
        Engine.open(path, EngineOptions())


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_model_is_refused_with_a_reason(
    tmp_path: Path, tiny_model: MakeModel, kept: float
) -> None:
    whole = tiny_model(TinyModel()).read_bytes()
    path = tmp_path / "half.gguf"
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(HostFailed) as caught:
        Engine.open(path, EngineOptions())
    assert str(path) in str(caught.value)
    assert "does not say why" not in str(caught.value)
