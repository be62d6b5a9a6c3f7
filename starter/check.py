"""Whether llama.cpp computes what PyTorch does: same tokens, same logits, same next token.

python check.py WORK [--checkpoint best.pt] [--model starter.gguf]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tokenizer as bpe
from command import command
from convert import PACKAGED
from llama import Llama
from model import Shape, Starter

CHARACTERS = 1500
PROMPTS = 24


def held_out_texts(work: Path, count: int) -> list[str]:
    """The beginnings of some held-out files."""
    texts: list[str] = []
    with (work / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            file = json.loads(line)
            if file["held_out"] and len(texts) < count:
                texts.append(file["text"][:CHARACTERS])
    return texts


def main() -> None:
    """Compare a GGUF file with the checkpoint it was made from."""
    parser = command(__doc__)
    parser.add_argument("--checkpoint", default="best.pt", help="a file in WORK")
    parser.add_argument("--model", type=Path, default=PACKAGED)
    arguments = parser.parse_args()
    state: dict[str, Any] = torch.load(arguments.work / arguments.checkpoint, weights_only=True)
    network = Starter(Shape(**state["shape"]))
    network.load_state_dict(state["model"])
    tokenizer = bpe.load(arguments.work)
    odd = ["def f(x):\n\treturn '<|mid_fim|>'\n", 'naïve = "日本語 🙂"\r\n\x0c\n', "   \n\n\n  x"]
    texts = odd + held_out_texts(arguments.work, PROMPTS)
    agreed = positions = 0
    worst = 0.0
    with Llama(arguments.model, threads=2) as llama:
        for text in texts:
            tokens = tokenizer.encode(text).ids
            if llama.tokenize(text) != tokens:
                raise SystemExit(f"llama.cpp splits this text differently: {text[:80]!r}")
            row = [bpe.BEGIN, *tokens][: network.shape.context]
            llama.keep(0)
            theirs = llama.feed(row, every=True)
            with torch.no_grad():
                ours: NDArray[np.float32] = network(torch.tensor([row]))[0].numpy()
            agreed += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
            positions += len(row)
            worst = max(worst, float(np.abs(ours - theirs).max()))
    print(f"same tokens for {len(texts)} texts")
    print(f"same next token at {agreed} of {positions} positions ({agreed / positions:.2%})")
    print(f"largest difference of a logit: {worst:.4f}")


if __name__ == "__main__":
    main()
