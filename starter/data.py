"""Training rows: what an editor asks, cut out of the corpus and packed into rows of tokens.

    python data.py WORK [--context 512]

reads WORK/corpus.jsonl and WORK/tokenizer.json and writes WORK/rows-CONTEXT/train-NNN.npz and
WORK/rows-CONTEXT/held-out.npz: `tokens` (uint16) and `roles` (uint8), (rows, context + 1) each.

A sample reads: begin, pre, suf, SUFFIX, mid, PREFIX, MIDDLE, eoc. The suffix comes first, so that
the middle follows the prefix directly. The prefix begins with a comment that names the file.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

import tokenizer as bpe
from command import command

SHARDS = 24
NAMED_SHARE = 0.9
"""Share of samples whose prefix names the file; the server always does."""
SMALLEST = 64
"""Tokens below which the rest of a row is not worth another sample."""
ROOMS = (0.2, 0.25, 0.3, 0.4, 0.6, 1.0)
"""Lengths of samples, as shares of a row; many short ones, since each brings a middle."""


class Role(IntEnum):
    """What a token is to its sample; the loss weighs by it."""

    STRUCTURE = 0
    """Special tokens that the server writes, and padding: nothing to learn."""
    GIVEN = 1
    """Suffix and prefix."""
    PLAIN = 2
    """Text read left to right."""
    LINE = 3
    """Middle: the rest of a line, with its end token."""
    BLOCK = 4
    """Middle: lines to the end of a block, with its end token."""
    SPAN = 5
    """Middle: a stretch cut anywhere, with its end token."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A middle to learn: code points start (the cursor) to end (where the suffix begins)."""

    start: int
    end: int
    role: Role


@dataclass(frozen=True, slots=True)
class Source:
    """A file with what is needed to cut windows of a known number of tokens."""

    path: str
    language: str
    text: str
    starts: list[int]
    """Offset of each line, and the text's length at the end."""
    counts: list[int]
    """Tokens before each line, and the text's count at the end."""

    def line_at(self, offset: int) -> int:
        """Number of the line that holds an offset."""
        return int(np.searchsorted(self.starts, offset, side="right")) - 1


def make_source(tokenizer: Tokenizer, path: str, language: str, text: str) -> Source:
    """A source from a file's text."""
    lines = text.splitlines(keepends=True) if "\x0c" not in text else re.findall(r".*\n|.+$", text)
    starts, counts = [0], [0]
    for line, encoding in zip(lines, tokenizer.encode_batch_fast(lines), strict=True):
        starts.append(starts[-1] + len(line))
        counts.append(counts[-1] + len(encoding.ids))
    return Source(path, language, text, starts, counts)


def path_comment(language: str, path: str, chance: random.Random) -> str:
    """The line that names the file, with as much of its path as a workspace might show."""
    parts = path.split("/")
    shown = "/".join(parts[-chance.choice((1, 2, 2, 3, 9)) :])
    return f"{'#' if language == 'python' else '//'} {shown}\n"


CLOSERS = re.compile(r"[)\]}\"'`]+[;:,]?$")
IDENTIFIER_EDGE = re.compile(r"(?<=\w)(?=\W)|(?<=\W)(?=\w)|(?<=[^\w\s])(?=[^\w\s])")


def line_hole(source: Source, chance: random.Random) -> Hole | None:
    """The rest of a line from a cursor anywhere in it."""
    number = chance.randrange(len(source.starts) - 1)
    start, stop = source.starts[number], source.starts[number + 1]
    line = source.text[start:stop].rstrip("\n")
    body = line.strip()
    if not body or (body[0] in "#/*" and chance.random() < 0.7):
        return None
    indent = len(line) - len(line.lstrip())
    pick = chance.random()
    if pick < 0.13:
        cursor = 0
    elif pick < 0.45:
        cursor = indent
    elif pick < 0.73:
        edges = [match.start() for match in IDENTIFIER_EDGE.finditer(line, indent)]
        cursor = chance.choice(edges) if edges else indent
    else:
        cursor = chance.randint(indent, len(line))
    end = len(line)
    closing = CLOSERS.search(line, cursor)
    if closing and cursor > indent and chance.random() < 0.3:
        # Editors close brackets and quotes by themselves: then the middle ends before them.
        end = chance.randint(max(closing.start(), cursor), end)
    return Hole(start + cursor, start + end, Role.LINE)


def block_hole(source: Source, chance: random.Random) -> Hole | None:
    """One to ten lines up to the end of a block, after its header or from within it."""
    lines = len(source.starts) - 1
    first = chance.randrange(lines)
    text = source.text[source.starts[first] : source.starts[first + 1]]
    if not text.strip():
        return None
    indent = indent_of(text)
    if indent == 0 and chance.random() < 0.8:
        return None
    last = first
    for number in range(first + 1, min(first + 14, lines)):
        text = source.text[source.starts[number] : source.starts[number + 1]]
        if not text.strip():
            continue
        if indent_of(text) < indent:
            break
        if indent == 0:
            # At the outer level a block is one statement, not the rest of the file.
            closes = text.lstrip()[0] in ")]}"
            if indent_of(text) == 0 and not closes:
                break
        last = number
    else:
        return None
    if last - first >= 10 or (last == first and chance.random() < 0.5):
        return None
    end = source.starts[last + 1]
    end -= source.text[source.starts[last] : end].endswith("\n")
    start = source.starts[first]
    pick = chance.random()
    if pick < 0.4 and first > 0:
        # The cursor stands at the end of the line above: the middle begins with a line break.
        return Hole(start - 1, end, Role.BLOCK)
    return Hole(start if pick > 0.9 else start + indent, end, Role.BLOCK)


def indent_of(line: str) -> int:
    """Number of blanks before a line's text."""
    return len(line) - len(line.lstrip(" \t"))


def span_hole(source: Source, chance: random.Random) -> Hole | None:
    """A stretch of up to some lines, cut anywhere."""
    start = chance.randrange(len(source.text))
    end = min(len(source.text), start + int(chance.expovariate(1 / 60)))
    return Hole(start, end, Role.SPAN)


def choose_hole(source: Source, chance: random.Random) -> Hole:
    """A hole of a random kind."""
    while True:
        kind = chance.choices((line_hole, block_hole, span_hole), (0.66, 0.26, 0.08))[0]
        for _ in range(6):
            hole = kind(source, chance)
            if hole is not None:
                return hole


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens and their roles, equally long."""

    tokens: list[int]
    roles: list[int]


def fill_sample(
    tokenizer: Tokenizer, source: Source, room: int, chance: random.Random
) -> Sample | None:
    """A fill-in-the-middle sample of at most `room` tokens, or None when it came out too long."""
    hole = choose_hole(source, chance)
    text, starts, counts = source.text, source.starts, source.counts
    first, last = source.line_at(hole.start), source.line_at(min(hole.end, len(text) - 1))
    free = room - 6 - 14 - (counts[last + 1] - counts[first]) - 4
    if free < 24:
        return None
    pick = chance.random()
    after = 0 if pick < 0.2 else int(free * chance.uniform(0.0, 0.12 if pick < 0.5 else 0.45))
    stop = last
    while stop + 1 < len(counts) - 1 and counts[stop + 2] - counts[last + 1] <= after:
        stop += 1
    suffix = "" if pick < 0.1 else text[hole.end : starts[stop + 1]].removesuffix("\n")
    before = free - (counts[stop + 1] - counts[last + 1])
    if chance.random() < 0.4:
        before = int(before * chance.uniform(0.1, 1.0))
    begin = first
    while begin > 0 and counts[first] - counts[begin - 1] <= before:
        begin -= 1
    prefix = text[starts[begin] : hole.start]
    if chance.random() < NAMED_SHARE:
        prefix = path_comment(source.language, source.path, chance) + prefix
    pieces = tokenizer.encode_batch_fast([suffix, prefix, text[hole.start : hole.end]])
    given, leading, middle = (piece.ids for piece in pieces)
    tokens = [bpe.BEGIN, bpe.PRE, bpe.SUF, *given, bpe.MID, *leading, *middle, bpe.EOC]
    if len(tokens) > room:
        return None
    roles = [Role.STRUCTURE] * 3 + [Role.GIVEN] * len(given) + [Role.STRUCTURE]
    roles += [Role.GIVEN] * len(leading) + [hole.role] * (len(middle) + 1)
    return Sample(tokens, [int(role) for role in roles])


def plain_sample(
    tokenizer: Tokenizer, source: Source, room: int, chance: random.Random
) -> Sample | None:
    """A window of the file read left to right, ended by the end token where the file ends."""
    free = room - 2 - 14
    begin = 0 if chance.random() < 0.4 else chance.randrange(len(source.starts) - 1)
    stop = begin
    while stop < len(source.starts) - 1:
        if source.counts[stop + 1] - source.counts[begin] > free:
            break
        stop += 1
    text = source.text[source.starts[begin] : source.starts[stop]]
    if not text.strip():
        return None
    if chance.random() < NAMED_SHARE:
        text = path_comment(source.language, source.path, chance) + text
    tokens = [bpe.BEGIN, *tokenizer.encode(text).ids]
    if stop == len(source.starts) - 1:
        tokens.append(bpe.END)
    if len(tokens) > room:
        return None
    return Sample(tokens, [int(Role.STRUCTURE)] + [int(Role.PLAIN)] * (len(tokens) - 1))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows are made."""

    work: Path
    context: int
    plain_share: float

    @property
    def folder(self) -> Path:
        """Where the rows go."""
        return self.work / f"rows-{self.context}"


def samples_per_file(source: Source) -> int:
    """How often a file is drawn: by its size, so that each part is read about once."""
    return max(1, round(source.counts[-1] / 420))


def rows(
    tokenizer: Tokenizer,
    sources: Sequence[Source],
    recipe: Recipe,
    chance: random.Random,
) -> Iterator[Sample]:
    """Full rows of context + 1 tokens, each packed from a few samples."""
    draws = [source for source in sources for _ in range(samples_per_file(source))]
    chance.shuffle(draws)
    tokens: list[int] = []
    roles: list[int] = []
    for source in draws:
        left = recipe.context + 1 - len(tokens)
        room = min(left, round(chance.choice(ROOMS) * (recipe.context + 1)))
        make = plain_sample if chance.random() < recipe.plain_share else fill_sample
        sample = make(tokenizer, source, room, chance)
        if sample is not None:
            tokens += sample.tokens
            roles += sample.roles
        rest = recipe.context + 1 - len(tokens)
        if rest < SMALLEST:
            yield Sample(tokens + [bpe.END] * rest, roles + [int(Role.STRUCTURE)] * rest)
            tokens, roles = [], []


def write_rows(path: Path, made: Iterator[Sample], limit: int | None = None) -> int:
    """Write rows to a file; how many there were."""
    kept = [row for row, _ in zip(made, range(limit or 1_000_000), strict=False)]
    tokens: NDArray[np.uint16] = np.array([row.tokens for row in kept], dtype=np.uint16)
    roles: NDArray[np.uint8] = np.array([row.roles for row in kept], dtype=np.uint8)
    partial_path = path.with_suffix(".partial.npz")
    np.savez(partial_path, tokens=tokens, roles=roles)
    partial_path.rename(path)
    return len(kept)


def read_corpus(work: Path) -> Iterator[dict[str, str]]:
    """The corpus's files as dictionaries."""
    with (work / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def make_shard(recipe: Recipe, shard: int) -> int:
    """Write one shard of training rows, a random selection of the files; how many rows."""
    tokenizer = bpe.load(recipe.work)
    choice = random.Random(7)
    chance = random.Random(recipe.context + shard)
    sources = []
    for file in read_corpus(recipe.work):
        if choice.randrange(SHARDS) == shard and not file["held_out"]:
            sources.append(make_source(tokenizer, file["path"], file["language"], file["text"]))
    made = rows(tokenizer, sources, recipe, chance)
    return write_rows(recipe.folder / f"train-{shard:03d}.npz", made)


def make_held_out(recipe: Recipe, tokens: int) -> int:
    """Write the held-out rows; how many."""
    tokenizer = bpe.load(recipe.work)
    sources = [
        make_source(tokenizer, file["path"], file["language"], file["text"])
        for file in read_corpus(recipe.work)
        if file["held_out"]
    ]
    made = rows(tokenizer, sources, recipe, random.Random(99))
    return write_rows(recipe.folder / "held-out.npz", made, tokens // recipe.context)


def main() -> None:
    """Write all rows."""
    parser = command(__doc__)
    parser.add_argument("--context", type=int, default=512, help="tokens in a row")
    parser.add_argument("--plain", type=float, default=0.12, help="share of left-to-right samples")
    parser.add_argument("--held-out", type=int, default=98_304, help="held-out tokens")
    arguments = parser.parse_args()
    recipe = Recipe(arguments.work, arguments.context, arguments.plain)
    recipe.folder.mkdir(exist_ok=True)
    # The processes share the cores; threads inside the tokenizer would only get in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    print(f"held out: {make_held_out(recipe, arguments.held_out)} rows", flush=True)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for shard, count in enumerate(pool.map(partial(make_shard, recipe), range(SHARDS))):
            print(f"shard {shard}: {count} rows of {recipe.context} tokens", flush=True)


if __name__ == "__main__":
    main()
