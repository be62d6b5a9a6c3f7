"""Options and fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the test command."""
    parser.addoption(
        "--rnj1-tokenizer",
        default=None,
        help="Rnj-1's tokenizer.json (.br allowed): token ids are then checked with its vocabulary",
    )
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite expectations that are made from code; look at the difference afterwards",
    )


@pytest.fixture(scope="session")
def rnj1_tokenizer(request: pytest.FixtureRequest) -> Path | None:
    """Return the file of Rnj-1's real tokenizer, when the test command names it."""
    name = request.config.getoption("--rnj1-tokenizer")
    return Path(str(name)) if name else None


@pytest.fixture(autouse=True)
def _own_user_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep every test out of the user's own folders and away from a model host of the user's."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("RNJ_HOME", str(home))
    for name in ("RNJ_MODEL", "RNJ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
