"""The journal: what the terminal can show of the latest requests."""

from __future__ import annotations

import os
from pathlib import Path

from rnj_lsp.completion.journal import Journal, saved_entries
from rnj_lsp.completion.suggestion import Outcome, Reason, Trigger
from tests.support.notation import place


def add(journal: Journal, time: float, name: str) -> None:
    outcome = Outcome(None, Reason.EMPTY)
    journal.add(time, place("a = 1\nx = ‸\n", name=name), Trigger.INVOKED, "demo", outcome)


def test_an_entry_says_where_and_why(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    add(journal, 1.0, "a.py")
    journal.save()
    (entry,) = saved_entries(tmp_path)
    assert (entry.file, entry.line, entry.column, entry.shown) == ("a.py", 2, 5, False)
    assert entry.explanation == "the model suggested nothing"


def test_the_journals_of_several_servers_are_shown_together_newest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    add(journal, 2.0, "mine.py")
    journal.save()
    (mine,) = tmp_path.glob("journal-*.jsonl")
    other = mine.read_text(encoding="utf-8").replace("mine.py", "other.py").replace("2.0", "3.0", 1)
    (tmp_path / "journal-0.jsonl").write_text(other + "damaged\n{}\n", encoding="utf-8")
    assert [entry.file for entry in saved_entries(tmp_path)] == ["other.py", "mine.py"]


def test_without_news_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save()
    assert list(tmp_path.iterdir()) == []
    add(journal, 1.0, "a.py")
    journal.save()
    (file,) = tmp_path.iterdir()
    file.unlink()
    journal.save()
    assert list(tmp_path.iterdir()) == []


def test_old_journals_go(tmp_path: Path) -> None:
    for number in range(30):
        old = tmp_path / f"journal-{number}.jsonl"
        old.touch()
        os.utime(old, (number, number))
    journal = Journal(tmp_path)
    add(journal, 1.0, "a.py")
    journal.save()
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 20
    assert f"journal-{os.getpid()}.jsonl" in left
    assert "journal-0.jsonl" not in left
