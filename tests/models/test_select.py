"""One string says which model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rnj_lsp.models.client import OpenAIModel
from rnj_lsp.models.library import models_folder, use
from rnj_lsp.models.model import ModelNotFound
from rnj_lsp.models.scripted import ScriptedModel
from rnj_lsp.models.select import Choice, open_model, providers, resolve
from rnj_lsp.settings import HostSettings
from tests.models.remote import middle
from tests.support.fault_server import FaultServer


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RNJ_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def starter() -> Path:
    from rnj_lsp.models.host.starter import starter_path

    return starter_path()


def install(name: str, file: str) -> Path:
    path = models_folder() / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    return path


def refusal(spec: str, folder: Path | None = None) -> str:
    with pytest.raises(ModelNotFound) as caught:
        resolve(spec, {}, folder)
    return str(caught.value)


def test_auto_takes_the_starter_when_nothing_else_is_there(starter: Path) -> None:
    for spec in ("auto", "", " auto "):
        choice = resolve(spec, {})
        assert (choice.kind, choice.path, choice.local) == ("starter", starter, True)
        assert "rnj-lsp models pull rnj-1-instruct" in choice.why


def test_auto_takes_a_downloaded_rnj_1_instruct_before_base() -> None:
    base = install("rnj-1", "Rnj-1-8B-Q8_0.gguf")
    choice = resolve("auto", {})
    assert (choice.kind, choice.name, choice.path) == ("catalogue", "rnj-1", base)
    instruct = install("rnj-1-instruct", "Rnj-1-Instruct-8B-Q4_K_M.gguf")
    choice = resolve("auto", {})
    assert (choice.name, choice.path, choice.family) == ("rnj-1-instruct", instruct, "rnj-1")
    assert "downloaded" in choice.why


def test_auto_takes_what_the_user_chose(home: Path) -> None:
    install("rnj-1-instruct", "Rnj-1-Instruct-8B-Q4_K_M.gguf")
    base = install("rnj-1", "Rnj-1-8B-Q8_0.gguf")
    use("rnj-1")
    assert resolve("auto", {}).path == base
    own = home / "own.gguf"
    own.write_bytes(b"GGUF")
    use(str(own))
    assert (resolve("auto", {}).kind, resolve("auto", {}).path) == ("file", own)


def test_auto_goes_on_when_the_chosen_model_is_gone_and_says_so(home: Path) -> None:
    instruct = install("rnj-1-instruct", "Rnj-1-Instruct-8B-Q4_K_M.gguf")
    own = home / "own.gguf"
    own.write_bytes(b"GGUF")
    use(str(own))
    own.unlink()
    choice = resolve("auto", {})
    assert choice.path == instruct
    assert "own.gguf" in choice.why


def test_a_catalogue_name_may_carry_its_quantisation() -> None:
    small = install("rnj-1-instruct", "Rnj-1-Instruct-8B-Q4_K_M.gguf")
    large = install("rnj-1-instruct", "Rnj-1-Instruct-8B-Q8_0.gguf")
    assert resolve("rnj-1-instruct", {}).path == small
    assert resolve("Rnj-1-Instruct:q8_0", {}).path == large
    assert "models pull rnj-1-instruct:q5_k_m" in refusal("rnj-1-instruct:q5_k_m")
    assert "Q5_K_M" in refusal("rnj-1-instruct:q3")


def test_a_model_that_is_not_downloaded_says_how_to_get_it() -> None:
    assert "rnj-lsp models pull rnj-1-instruct" in refusal("rnj-1-instruct")


def test_a_path_may_be_absolute_relative_or_in_the_users_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "models" / "My Model.GGUF"
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for spec in (
        str(path),
        "models/My Model.GGUF",
        "./models/My Model.GGUF",
        "~/models/My Model.GGUF",
    ):
        choice = resolve(spec, {}, home)
        assert choice.kind == "file"
        assert choice.path is not None
        assert choice.path.samefile(path)
        assert (choice.local, choice.name) == (True, "My Model")
    assert "nothing.gguf" in refusal("models/nothing.gguf", home)


@pytest.mark.parametrize(
    "spec", [r"C:\models\x.gguf", "c:/models/x.gguf", r"D:\y", "/no/such/file"]
)
def test_a_windows_path_is_a_path_and_no_provider(spec: str) -> None:
    assert "there is no model file" in refusal(spec)


@pytest.mark.parametrize(
    ("spec", "base_url", "name"),
    [
        (
            "http://127.0.0.1:8000/v1#EssentialAI/rnj-1",
            "http://127.0.0.1:8000/v1",
            "EssentialAI/rnj-1",
        ),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", ""),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1", ""),
        ("HTTP://localhost:1/#m", "HTTP://localhost:1/v1", "m"),
        ("https://x.org/v1/chat/completions#m", "https://x.org/v1", "m"),
        ("https://x.org/v1/completions/#m", "https://x.org/v1", "m"),
        ("https://x.org/api/openai/v3#a#b", "https://x.org/api/openai/v3", "a#b"),
        ("http://[::1]:8000/v1#m", "http://[::1]:8000/v1", "m"),
    ],
)
def test_an_address_is_taken_as_people_write_it(spec: str, base_url: str, name: str) -> None:
    choice = resolve(spec, {})
    assert (choice.kind, choice.base_url, choice.name) == ("endpoint", base_url, name)


@pytest.mark.parametrize(
    "spec", ["http://", "http://:80/v1", "https://x:99999/v1", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_refused_with_an_example(spec: str) -> None:
    assert "http://127.0.0.1:8000/v1#model" in refusal(spec)


@pytest.mark.parametrize(
    ("spec", "local"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.168.1.5:8000/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://localhost.evil.example/v1", False),
        ("http://localhost@evil.example/v1", False),
        ("https://api.together.xyz/v1", False),
        ("ollama:rnj-1:8b", True),
        ("together:essentialai/rnj-1-instruct", False),
    ],
)
def test_only_this_machine_is_local_and_the_rest_is_announced(spec: str, local: bool) -> None:
    choice = resolve(spec, {})
    assert choice.local is local
    assert ("your code is sent to" in choice.why) is not local


def test_an_unencrypted_remote_address_is_announced_as_such() -> None:
    assert "unencrypted" in resolve("http://192.168.1.5:8000/v1", {}).why
    assert "unencrypted" not in resolve("https://api.together.xyz/v1", {}).why


@pytest.mark.parametrize("name", sorted(providers()))
def test_every_provider_leads_to_its_address(name: str) -> None:
    choice = resolve(f"{name}:essentialai/rnj-1-instruct", {})
    assert (choice.kind, choice.name) == ("provider", "essentialai/rnj-1-instruct")
    assert choice.base_url == providers()[name].base_url
    assert choice.family == "rnj-1"
    assert not choice.base_url.endswith("/")


def test_a_model_name_may_hold_colons() -> None:
    assert resolve("ollama:rnj-1:8b", {}).name == "rnj-1:8b"


@pytest.mark.parametrize(
    ("spec", "environ", "key"),
    [
        ("together:m", {"TOGETHER_API_KEY": " t\n"}, "t"),
        ("together:m", {"TOGETHER_API_KEY": "t", "RNJ_API_KEY": "r"}, "r"),
        ("together:m", {"OPENAI_API_KEY": "o"}, ""),
        ("https://api.together.xyz/v1#m", {"TOGETHER_API_KEY": "t"}, "t"),
        ("https://elsewhere.org/v1#m", {"TOGETHER_API_KEY": "t", "OPENAI_API_KEY": "o"}, ""),
        ("https://elsewhere.org/v1#m", {"RNJ_API_KEY": "r"}, "r"),
        ("ollama:m", {"OPENAI_API_KEY": "o", "": "e"}, ""),
    ],
)
def test_the_key_goes_only_where_it_belongs(spec: str, environ: dict[str, str], key: str) -> None:
    choice = resolve(spec, environ)
    assert choice.api_key == key
    assert not key or repr(key) not in repr(choice)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tgether:m", "there is no provider tgether"),
        ("rnj-1-instrct", "did you mean rnj-1-instruct"),
        ("whatever", "provider:model"),
        ("scripted:none.toml", "none.toml"),
    ],
)
def test_what_means_nothing_is_refused_with_what_to_do(spec: str, words: str, home: Path) -> None:
    with pytest.raises(ModelNotFound, match=words):
        open_model(spec, HostSettings(), lambda state: None, {}, home)


async def test_a_scripted_model_is_opened_like_any_other(home: Path) -> None:
    (home / "demo.toml").write_text('[[completion]]\ntext = "hello"\n')
    model = open_model("scripted:demo.toml", HostSettings(), lambda state: None, {}, home)
    assert isinstance(model, ScriptedModel)
    assert await middle(model, "a", "b") == "hello"


async def test_an_endpoint_is_opened_without_being_asked(home: Path) -> None:
    with FaultServer() as server:
        spec = f"{server.base_url}#EssentialAI/rnj-1-instruct"
        model = open_model(spec, HostSettings(), lambda state: None, {"RNJ_API_KEY": "k"})
        assert isinstance(model, OpenAIModel)
        assert model.info.where == server.base_url.split("/")[2]
        assert (model.info.family, model.info.local) == ("rnj-1", True)
        assert await middle(model, "a", "b") == "return a + b"
        assert server.requests[0].headers["authorization"] == "Bearer k"
        await model.close()


def test_a_local_file_becomes_a_host_that_is_not_started_yet(home: Path) -> None:
    path = home / "x.gguf"
    path.write_bytes(b"GGUF")
    model = open_model(str(path), HostSettings(), lambda state: None, {})
    assert model.info.where == "this machine"
    assert (model.info.local, model.info.name) == (True, "x")


def test_a_choice_never_shows_its_key() -> None:
    choice = resolve("together:m", {"TOGETHER_API_KEY": "tgp_v1_secret"})
    assert isinstance(choice, Choice)
    assert "secret" not in f"{choice!r} {choice.why}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | st.from_regex(r"(https?|ollama|scripted|~|C|rnj-1):.{0,30}"))
@example("http://[")
@example("~nobody/x.gguf")
@example("a" * 5000)
@example("\x00.gguf")
@example("scripted:\x00")
@example("http://x:y/v1")
@example("https://\ud800/v1")
def test_whatever_is_written_is_a_choice_or_not_found(spec: str) -> None:
    try:
        choice = resolve(spec, {})
    except ModelNotFound:
        return
    assert choice.why
