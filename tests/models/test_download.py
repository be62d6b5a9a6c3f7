"""Downloads: whole and checked or not there; what was there already is not loaded again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from rnj_lsp.models.catalog import known_model
from rnj_lsp.models.download import chosen, installed, pull, remove, use
from rnj_lsp.models.library import models_folder, partial_folder
from rnj_lsp.models.model import (
    KeyRefused,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnreachable,
    RateLimited,
)
from tests.models.hub import Hub, running

CONTENT = b"GGUF" + bytes(range(256)) * 8000
NAME = "Rnj-1-Instruct-8B-Q4_K_M.gguf"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("RNJ_HOME", str(tmp_path))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    # The hub's library writes in blocks of this size, and loses the last one of a broken download.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    files = {NAME: CONTENT, "Rnj-1-Instruct-8B-Q8_0.gguf": b"GGUF" + b"8" * 999, "README.md": b"-"}
    with running(Hub(files=files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def load(name: str = "rnj-1-instruct") -> Path:
    return pull(name, lambda have, total: None)


def failure(name: str = "rnj-1-instruct") -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    assert installed() == []
    return caught.value


def partials() -> list[Path]:
    return sorted(partial_folder().glob("*.part"))


def test_a_pull_gives_the_recommended_file_whole_and_tells_its_progress(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []
    path = pull("rnj-1-instruct", lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert path == models_folder() / "rnj-1-instruct" / NAME
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in seen] == sorted(have for have, _ in seen)
    (item,) = installed()
    assert (item.model, item.path) == (known_model("rnj-1-instruct"), path)
    assert (item.file.quantisation, item.size_bytes) == ("Q4_K_M", len(CONTENT))
    assert partials() == []


def test_a_quantisation_can_be_asked_for(hub: Hub) -> None:
    assert load("Rnj-1-Instruct:q8_0").name == "Rnj-1-Instruct-8B-Q8_0.gguf"
    assert [item.file.quantisation for item in installed()] == ["Q8_0"]


def test_what_is_installed_is_not_loaded_again(hub: Hub) -> None:
    first = load()
    assert load() == first
    assert len(hub.ranges) == 1


def test_a_pull_that_was_broken_off_goes_on_where_it_was(hub: Hub) -> None:
    hub.cut_after = 1_000_000
    error = failure()
    assert isinstance(error, ModelBroken)
    (partial,) = partials()
    had = partial.stat().st_size
    assert 0 < had <= 1_000_000
    hub.well()
    seen: list[int] = []
    path = pull("rnj-1-instruct", lambda have, total: seen.append(have))
    assert path.read_bytes() == CONTENT
    assert hub.ranges[-1] == f"bytes={had}-"
    assert seen[0] == had
    assert seen[-1] == len(CONTENT)
    assert partials() == []


def test_a_new_version_on_the_hub_is_not_glued_to_the_old_beginning(hub: Hub) -> None:
    hub.cut_after = 1_000_000
    failure()
    hub.well()
    hub.files[NAME] = b"GGUF" + b"new" * 500_000
    assert load().read_bytes() == hub.files[NAME]
    assert hub.ranges[-1] == ""
    assert partials() == []


def test_a_file_that_arrives_damaged_is_thrown_away(hub: Hub) -> None:
    hub.told_hash = hashlib.sha256(b"something else").hexdigest()
    error = failure()
    assert isinstance(error, ModelBroken)
    assert "checksum" in str(error)
    assert partials() == []


def test_a_file_that_is_no_model_is_thrown_away(hub: Hub) -> None:
    hub.files[NAME] = b"<html>" * 1000
    assert "not a GGUF file" in str(failure())
    assert partials() == []


def test_a_repository_without_such_a_file_says_what_it_has(hub: Hub) -> None:
    error = failure("rnj-1-instruct:q5_k_m")
    assert isinstance(error, ModelNotFound)
    assert NAME in str(error)


def test_a_repository_that_is_not_there_is_named(hub: Hub) -> None:
    hub.repository = "someone/else"
    error = failure()
    assert isinstance(error, ModelNotFound)
    assert "EssentialAI/rnj-1-instruct-GGUF" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, KeyRefused), (403, KeyRefused), (429, RateLimited), (500, ModelBroken)],
)
def test_a_refusal_has_its_reason(hub: Hub, status: int, kind: type[ModelError]) -> None:
    hub.status = status
    assert isinstance(failure(), kind)


def test_without_a_network_the_pull_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = failure()
    assert isinstance(error, ModelUnreachable)
    assert "127.0.0.1:9 cannot be reached" in str(error)
    assert partials() == []


def test_an_offline_hub_library_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = failure()
    assert isinstance(error, ModelUnreachable)
    assert "HF_HUB_OFFLINE" in str(error)


def test_a_callback_that_raises_ends_the_pull_and_keeps_what_came(hub: Hub) -> None:
    def stop(have: int, total: int) -> None:
        if have:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("rnj-1-instruct", stop)
    assert installed() == []
    assert load().read_bytes() == CONTENT


def test_a_disk_that_is_too_small_is_noticed_before(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnj_lsp.models.download.SPARE_BYTES", 1 << 62)
    error = failure()
    assert isinstance(error, ModelRefused)
    assert "free" in str(error)
    assert hub.ranges == []


def test_two_pulls_at_once_do_not_disturb_each_other(hub: Hub) -> None:
    lock = filelock.FileLock(partial_folder() / "rnj-1-instruct.Q4_K_M.lock")
    with lock:
        assert "already" in str(failure())
    assert load().read_bytes() == CONTENT


def test_the_users_token_is_sent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    load()
    assert set(hub.tokens) == {"Bearer hf_test"}


@pytest.mark.parametrize("name", ["rnj-2", "rnj-1-instruct:q2_k"])
def test_what_is_not_in_the_catalogue_is_not_pulled(hub: Hub, name: str) -> None:
    assert isinstance(failure(name), ModelNotFound)
    assert hub.tokens == []


def test_the_starter_needs_no_pull(hub: Hub) -> None:
    assert isinstance(failure("starter"), ModelRefused)


def test_the_choice_is_remembered_and_forgotten(hub: Hub, tmp_path: Path) -> None:
    assert chosen() is None
    with pytest.raises(ModelNotFound, match="models pull rnj-1-instruct"):
        use("rnj-1-instruct")
    load()
    assert use("rnj-1-instruct") == chosen() == "rnj-1-instruct:Q4_K_M"
    own = tmp_path / "own model.gguf"
    own.write_bytes(b"GGUF")
    assert use(str(own)) == chosen() == str(own)
    with pytest.raises(ModelNotFound):
        use(str(tmp_path / "none.gguf"))
    assert chosen() == str(own)
    assert use("starter") == chosen() == "starter"
    use("auto")
    assert chosen() is None


def test_a_damaged_choice_is_no_choice(hub: Hub, tmp_path: Path) -> None:
    use("starter")
    for text in ("", "{", "[]", '{"model": 3}', "\x00"):
        (tmp_path / "data" / "choice.json").write_text(text)
        assert chosen() is None


def test_removing_deletes_the_file_and_forgets_the_choice(hub: Hub) -> None:
    path = load()
    other = load("rnj-1-instruct:q8_0")
    use("rnj-1-instruct")
    assert remove("rnj-1-instruct:q4_k_m") == [path]
    assert not path.exists()
    assert chosen() is None
    assert [item.path for item in installed()] == [other]
    assert remove("rnj-1-instruct") == [other]
    assert not (models_folder() / "rnj-1-instruct").exists()
    with pytest.raises(ModelNotFound):
        remove("rnj-1-instruct")


def test_removing_one_file_keeps_the_choice_of_another(hub: Hub) -> None:
    load()
    load("rnj-1-instruct:q8_0")
    use("rnj-1-instruct:q8_0")
    remove("rnj-1-instruct:q4_k_m")
    assert chosen() == "rnj-1-instruct:Q8_0"


def test_removing_takes_an_unfinished_download_along(hub: Hub) -> None:
    hub.cut_after = 1_000_000
    failure()
    (partial,) = partials()
    assert remove("rnj-1-instruct") == [partial]
    assert partials() == []
