"""The starter's figures, measured on the GGUF file through llama.cpp.

    python evaluate.py WORK [--problems HumanEval-SingleLineInfilling.jsonl.gz]

Held-out packages give the losses, the exact matches and how often the model ends by itself; the
problems' file gives pass@1 (their tests run in a sandboxed process). Prints a table and writes
WORK/figures.json.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

import tokenizer as bpe
from command import command
from convert import PACKAGED
from data import Hole, Role, block_hole, line_hole, make_source, read_corpus
from llama import Llama, infill_prompt
from sandbox import passes, without_network

LONGEST = 64
"""Most tokens of a generated middle."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Question:
    """A hole in a held-out file, as the server would see it."""

    kind: str
    language: str
    prefix: str
    """With the line that names the file."""
    suffix: str
    middle: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of a question."""

    text: str
    ended: bool
    """Whether the model ended by itself."""
    loss: float
    """Mean loss of the true middle's tokens with its end, in nats."""
    plain_loss: float
    """The same tokens, without the end, read left to right after the same prefix."""


def kind_of(text: str, hole: Hole) -> str:
    """What an editor would call the hole."""
    if hole.role is Role.BLOCK:
        return "block"
    line = text[text.rfind("\n", 0, hole.start) + 1 : hole.start]
    return "rest of line" if line.strip() else "whole line"


def questions(work: Path, per_kind: int) -> list[Question]:
    """The same holes in held-out files every time, `per_kind` of each kind."""
    chance = random.Random(2026)
    tokenizer = bpe.load(work)
    sources = [
        make_source(tokenizer, file["path"], file["language"], file["text"])
        for file in read_corpus(work)
        if file["held_out"]
    ]
    found: dict[str, list[Question]] = defaultdict(list)
    wanted = ("whole line", "rest of line", "block")
    while any(len(found[kind]) < per_kind for kind in wanted):
        source = chance.choice(sources)
        hole = (line_hole if chance.random() < 0.7 else block_hole)(source, chance)
        if hole is None or not source.text[hole.start : hole.end].strip():
            continue
        kind = kind_of(source.text, hole)
        if len(found[kind]) >= per_kind:
            continue
        name = f"{'#' if source.language == 'python' else '//'} {source.path}\n"
        middle = source.text[hole.start : hole.end]
        prefix, suffix = name + source.text[: hole.start], source.text[hole.end :]
        found[kind].append(Question(kind, source.language, prefix, suffix, middle))
    return [question for kind in wanted for question in found[kind]]


def mean_loss(logits: NDArray[np.float32], targets: Sequence[int]) -> float:
    """Mean cross-entropy of targets under as many rows of logits."""
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    return float((total - logits[np.arange(len(targets)), targets]).mean())


def following_loss(llama: Llama, context: int, last: int, targets: list[int]) -> float:
    """Mean loss of targets after the first `context` tokens fed, and then the token `last`."""
    llama.keep(context)
    logits = llama.feed([last, *targets], every=True)
    return mean_loss(logits[:-1], targets)


def answer(llama: Llama, question: Question, room: int) -> Answer:
    """Ask one question."""
    prompt = infill_prompt(llama, question.prefix, question.suffix, room - LONGEST)
    middle = llama.tokenize(question.middle)[: LONGEST - 1]
    made, ended = llama.generate(prompt, LONGEST)
    loss = following_loss(llama, len(prompt) - 1, prompt[-1], [*middle, bpe.EOC])
    plain = [bpe.BEGIN, *prompt[prompt.index(bpe.MID) + 1 :]]
    llama.keep(0)
    llama.feed(plain)
    plain_loss = following_loss(llama, len(plain) - 1, plain[-1], middle)
    return Answer(llama.text(made), ended, loss, plain_loss)


def first_line(text: str) -> str:
    """Text up to the end of its first line that is not blank."""
    kept = len(text) - len(text.lstrip("\n"))
    return text[: kept + len(text[kept:].partition("\n")[0])]


def is_right(question: Question, given: Answer) -> bool:
    """Exact match, of the first line where a line was asked for."""
    if question.kind == "block":
        return given.ended and given.text.rstrip() == question.middle.rstrip()
    return first_line(given.text).rstrip() == question.middle.rstrip()


def held_out_figures(llama: Llama, work: Path, per_kind: int, room: int) -> Figures:
    """Losses, exact matches and endings, by kind and, for lines, by language."""
    groups: dict[str, list[tuple[Question, Answer]]] = defaultdict(list)
    for question in questions(work, per_kind):
        pair = (question, answer(llama, question, room))
        groups[question.kind].append(pair)
        if question.kind != "block":
            language = "python" if question.language == "python" else "javascript, typescript"
            groups[f"lines, {language}"].append(pair)
            groups["all single-line holes"].append(pair)
    figures: Figures = {}
    for name, pairs in groups.items():
        figures[f"{name}: holes"] = float(len(pairs))
        figures[f"{name}: exact match"] = fmean(is_right(q, a) for q, a in pairs)
        figures[f"{name}: ended by itself within {LONGEST} tokens"] = fmean(
            a.ended for _, a in pairs
        )
        figures[f"{name}: loss of the middle"] = fmean(a.loss for _, a in pairs)
        figures[f"{name}: loss read left to right"] = fmean(a.plain_loss for _, a in pairs)
    return figures


def plain_figures(llama: Llama, work: Path, room: int) -> Figures:
    """Loss of the beginnings of held-out files read left to right, in nats and bits a byte."""
    losses, tokens, size = 0.0, 0, 0
    for file in read_corpus(work):
        if not file["held_out"]:
            continue
        row = [bpe.BEGIN, *llama.tokenize(file["text"])][:room]
        llama.keep(0)
        loss = mean_loss(llama.feed(row, every=True)[:-1], row[1:])
        losses += loss * (len(row) - 1)
        tokens += len(row) - 1
        size += len(llama.text(row[1:]).encode())
    bits = losses / np.log(2) / size
    return {"text: loss a token": losses / tokens, "text: bits a byte": float(bits)}


def read_problems(path: Path) -> Iterator[dict[str, str]]:
    """The infilling problems of a JSON-lines file, gzipped or not."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    for line in text.decode().splitlines():
        yield json.loads(line)


def solve(model: Path, room: int, problems: list[dict[str, str]]) -> list[bool]:
    """For each problem, whether the model's line passes the problem's tests."""
    results = []
    with Llama(model, room, threads=1) as llama:
        for problem in problems:
            # The hole is an empty line, as it would be in an editor.
            suffix = "\n" + problem["suffix"]
            prefix = "# solution.py\n" + problem["prompt"]
            prompt = infill_prompt(llama, prefix, suffix, room - LONGEST)
            made, _ = llama.generate(prompt, LONGEST, lambda tokens: is_line(llama, tokens))
            program = problem["prompt"] + first_line(llama.text(made)) + suffix
            check = f"\n{problem['test']}\ncheck({problem['entry_point']})\n"
            results.append(passes(program + check))
    return results


def is_line(llama: Llama, tokens: list[int]) -> bool:
    """Whether tokens hold a whole line that is not blank."""
    return "\n" in llama.text(tokens).lstrip("\n")


def problem_figures(model: Path, room: int, path: Path) -> Figures:
    """pass@1, greedy, shared out among the processor's cores."""
    problems = list(read_problems(path))
    workers = os.cpu_count() or 1
    parts = [problems[number::workers] for number in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        results = [ok for part in pool.map(partial(solve, model, room), parts) for ok in part]
    name = path.name.partition(".")[0]
    return {
        f"{name}: problems": float(len(problems)),
        f"{name}: pass@1": fmean(results),
        f"{name}: tests ran without network": float(bool(without_network())),
    }


def speed_figures(llama: Llama) -> Figures:
    """Tokens a second, median of a few runs."""
    prompt = [bpe.BEGIN, *range(1000, 1511)]
    reading, writing = [], []
    for _ in range(5):
        llama.keep(0)
        start = time.perf_counter()
        llama.feed(prompt)
        middle = time.perf_counter()
        for token in range(1000, 1064):
            llama.feed([token])
        reading.append(len(prompt) / (middle - start))
        writing.append(64 / (time.perf_counter() - middle))
    return {
        "speed: prompt tokens a second": float(np.median(reading)),
        "speed: generated tokens a second": float(np.median(writing)),
    }


def shown(name: str, value: float) -> str:
    """A figure as a person reads it."""
    if "match" in name or "ended" in name or "pass@1" in name:
        return f"{value:.1%}"
    return f"{value:.0f}" if value >= 20 or value.is_integer() else f"{value:.3f}"


def main() -> None:
    """Measure and print all figures."""
    parser = command(__doc__)
    parser.add_argument("--model", type=Path, default=PACKAGED)
    parser.add_argument("--problems", type=Path, nargs="*", default=[])
    parser.add_argument("--holes", type=int, default=150, help="held-out holes of each kind")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    room: int = arguments.context
    with Llama(arguments.model, room, arguments.threads) as llama:
        figures = speed_figures(llama)
        figures |= held_out_figures(llama, arguments.work, arguments.holes, room)
        figures |= plain_figures(llama, arguments.work, room)
    for path in arguments.problems:
        figures |= problem_figures(arguments.model, room, path)
    for name, value in figures.items():
        print(f"{name:72} {shown(name, value):>8}")
    (arguments.work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
