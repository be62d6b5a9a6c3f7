"""The starter's own tokenizer: byte-level BPE with Llama-3's split and Rnj-1's special names.

    python tokenizer.py WORK

reads WORK/corpus.jsonl and writes WORK/tokenizer.json.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from command import command

SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|pre_fim|>",
    "<|suf_fim|>",
    "<|mid_fim|>",
    "<|eoc_fim|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|exec_start|>",
    "<|eot_id|>",
    "<|exec_end|>",
    "<|exec_error|>",
    "<tool_call>",
    "</tool_call>",
    "<|file_name_start|>",
    "<|file_name_end|>",
)
"""Rnj-1's special tokens in Rnj-1's order; they end the vocabulary."""

VOCABULARY = 8192
FIRST_SPECIAL = VOCABULARY - len(SPECIALS)
BEGIN, END, PRE, SUF, MID, EOC = range(FIRST_SPECIAL, FIRST_SPECIAL + 6)

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Llama-3's split, which llama.cpp calls llama-bpe."""


def blank() -> Tokenizer:
    """A tokenizer with the right split and no vocabulary yet."""
    # llama.cpp takes a whole piece that is in the vocabulary without merging, so this must too.
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def texts(corpus: Path, share: float) -> Iterator[str]:
    """That share of the training files' texts."""
    chance = random.Random(1)
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            if chance.random() < share:
                file = json.loads(line)
                if not file["held_out"]:
                    yield file["text"]


def load(work: Path) -> Tokenizer:
    """The trained tokenizer; special names in text stay ordinary text."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def main() -> None:
    """Learn the vocabulary."""
    parser = command(__doc__)
    parser.add_argument("--share", type=float, default=0.4, help="share of the files to learn from")
    arguments = parser.parse_args()
    work: Path = arguments.work
    tokenizer = blank()
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(work / "corpus.jsonl", arguments.share), trainer)
    if tokenizer.get_vocab_size() != FIRST_SPECIAL:
        raise SystemExit(f"too little text: only {tokenizer.get_vocab_size()} tokens were found")
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIALS])
    tokenizer.save(str(work / "tokenizer.json"))
    sample = "".join(texts(work / "corpus.jsonl", 0.01))
    count = len(tokenizer.encode(sample).ids)
    print(f"{tokenizer.get_vocab_size()} tokens; {len(sample) / count:.2f} characters a token")


if __name__ == "__main__":
    main()
