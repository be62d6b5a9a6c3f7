"""The terminal commands: what they print and how they exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rnj_lsp.cli import main
from tests.support.editor import script

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_bytes(b"a = 0\r\nx = \r\n")
    answers = [{"prefix_ends": "x = ", "text": "foo(1)\n"}, {"prefix_ends": "a = ", "text": ""}]
    monkeypatch.setenv("RNJ_MODEL", script(tmp_path, *answers, name="demo"))
    return tmp_path


def run(captured: Captured, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = captured.readouterr()
    return status, out, err


def test_complete_prints_the_line_with_the_suggestion(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "complete", "app.py:2:5")
    assert status == 0
    assert "app.py:2 (demo)" in out
    assert "x = foo(1)" in out


def test_complete_prints_json_for_programs(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "complete", "app.py:2:5", "--json")
    told = json.loads(out)
    assert (status, told["text"], told["reason"], told["model"]) == (0, "foo(1)", None, "demo")
    assert told["usage"]["prompt_tokens"] > 0


def test_complete_says_why_there_is_nothing(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "complete", "app.py:1:5", "--json")
    assert (status, json.loads(out)["reason"]) == (1, "the model suggested nothing")


def test_the_model_sees_the_name_of_the_file_and_nothing_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("x = ", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    seen = {"prefix_matches": r"\A# src/app.py\nx = $", "text": "1"}
    monkeypatch.setenv("RNJ_MODEL", script(tmp_path, seen))
    assert run(capsys, "complete", "src/app.py:1:5", "--json")[0] == 0


def test_a_suggestion_of_several_lines_with_brackets_is_printed_as_it_is(
    project: Path, capsys: Captured
) -> None:
    (project / "app.py").write_text("x = '[/]'\ndef f(a):\n", encoding="utf-8")
    answer = {"prefix_ends": "):", "text": "\n    b = [a[1]]\n    return [b]\n"}
    status, out, _ = run(capsys, "complete", "app.py:2:10", "--model", script(project, answer))
    assert status == 0
    assert "            b = [a[1]]\n            return [b]\n" in out


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("app.py", "is no FILE:LINE:COL"),
        ("missing.py:1:1", "cannot read missing.py"),
        (".:1:1", "cannot read ."),
        ("latin.py:1:1", "latin.py is not UTF-8 text (byte 5)"),
    ],
)
def test_a_place_that_cannot_be_read_is_said_plainly(
    project: Path, capsys: Captured, place: str, says: str
) -> None:
    (project / "latin.py").write_bytes(b"x = '\xe9'\n")
    status, out, err = run(capsys, "complete", place)
    assert (status, out) == (1, "")
    assert says in err
    assert "Traceback" not in err


def test_an_unknown_model_is_said_plainly(project: Path, capsys: Captured) -> None:
    status, _, err = run(capsys, "complete", "app.py:2:5", "--model", "rnj-2")
    assert status == 1
    assert "there is no model rnj-2" in err


def test_try_takes_the_rest_of_the_line_out_and_shows_both(project: Path, capsys: Captured) -> None:
    (project / "app.py").write_text("x = bar(2)\n", encoding="utf-8")
    status, out, _ = run(capsys, "try", "app.py:1:5")
    assert status == 0
    assert "x = foo(1)" in out
    assert "was there: bar(2)" in out


def test_the_holes_of_try_without_arguments_exist(project: Path) -> None:
    from rnj_lsp.cli.complete import default_holes

    holes = default_holes()
    assert len({hole.document.path for hole in holes}) == 3
    assert all(hole.removed.strip() for hole in holes)


def test_doctor_says_what_is_used_and_what_is_wrong(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "doctor", "--json")
    findings: list[dict[str, Any]] = json.loads(out)
    found = {finding["subject"]: finding for finding in findings}
    assert status == 0
    assert found["grammars"]["state"] == "good"
    assert "a script answers" in found["model"]["text"]
    (project / ".rnj.toml").write_text("[completion]\nmaxTokens = 'many'\n", encoding="utf-8")
    status, out, _ = run(capsys, "doctor", "--model", "rnj-2")
    assert status == 1
    assert "rnj.completion.maxTokens" in out
    assert "there is no model rnj-2" in out


def test_models_list_shows_the_catalogue_with_memory_need(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert next(iter(rows)) == "rnj-1-instruct"
    assert rows["rnj-1-instruct"]["memory_bytes"] > rows["rnj-1-instruct"]["size_bytes"] > 4e9
    assert rows["starter"]["installed"]
    assert not rows["rnj-1-instruct"]["installed"]


def test_models_use_is_remembered_and_forgotten(project: Path, capsys: Captured) -> None:
    assert run(capsys, "models", "use", "starter")[0] == 0
    rows = json.loads(run(capsys, "models", "list", "--json")[1])
    assert [row["name"] for row in rows if row["chosen"]] == ["starter"]
    assert run(capsys, "models", "use", "auto")[0] == 0
    rows = json.loads(run(capsys, "models", "list", "--json")[1])
    assert [row["name"] for row in rows if row["chosen"]] == []


def test_what_is_not_there_cannot_be_used_or_removed(project: Path, capsys: Captured) -> None:
    for verb in ("use", "remove"):
        status, _, err = run(capsys, "models", verb, "rnj-1-instruct")
        assert status == 1
        assert "is not downloaded" in err


def test_a_server_on_a_public_address_is_refused(project: Path, capsys: Captured) -> None:
    status, _, err = run(capsys, "serve", "--tcp", "0.0.0.0:4389")
    assert status == 1
    assert "is no loopback address" in err


def test_why_without_a_journal_says_what_to_do(project: Path, capsys: Captured) -> None:
    status, out, _ = run(capsys, "why", "never-seen.py")
    assert status == 0
    assert "No request is known yet" in out
