"""Training on the processor: resumable, ended by the clock, the best checkpoint kept.

    python train.py WORK --until 08:00 [--context 512]     or     python train.py WORK --hours 2

reads WORK/rows-CONTEXT and writes WORK/last.pt (to resume from), WORK/best.pt (lowest held-out
loss) and a line per report to WORK/train.jsonl. Stop it with Ctrl-C or SIGTERM at any time; the
same command goes on. The learning rate is constant and falls to zero over the last `--decay`
minutes.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from command import command
from data import Role
from model import Shape, Starter

TOKENS_PER_PASS = 4096
PASSES_PER_STEP = 2
MATRIX_RATE = 0.006
OTHER_RATE = 0.004
WARM_UP_STEPS = 60
MIDDLE_WEIGHT = 4.0
"""Loss weight of a middle's token; middles are few, and they are what is asked for."""
HELD_OUT_MINUTES = 8.0
SAVE_MINUTES = 4.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed rows: tokens and roles, both (rows, context + 1)."""

    tokens: NDArray[np.uint16]
    roles: NDArray[np.uint8]

    def take(self, first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and the targets' roles of `count` rows; starts over at the end."""
        index = np.arange(first, first + count) % len(self.tokens)
        tokens = torch.from_numpy(self.tokens[index].astype(np.int64))
        roles = torch.from_numpy(self.roles[index].astype(np.int64))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), roles[:, 1:].contiguous()


def load_rows(files: list[Path]) -> Rows:
    """All rows of some files, in an order that is always the same and mixes the files.

    Without mixing, the network adapts to one file's packages and forgets them in the next: the
    loss fell by 0.6 within each file and jumped back at its end.
    """
    parts = [np.load(file) for file in files]
    tokens = np.concatenate([part["tokens"] for part in parts])
    roles = np.concatenate([part["roles"] for part in parts])
    order = np.random.default_rng(0).permutation(len(tokens))
    return Rows(tokens[order], roles[order])


def role_weights() -> Tensor:
    """Loss weight by role."""
    weights = {Role.STRUCTURE: 0.0, Role.GIVEN: 1.0, Role.PLAIN: 1.0}
    return torch.tensor([weights.get(role, MIDDLE_WEIGHT) for role in Role])


@dataclass
class Progress:
    """What must survive a restart, beside the weights."""

    step: int = 0
    seconds: float = 0.0
    context: int = 0
    best: float = float("inf")
    """Lowest held-out loss at this context."""


class Training:
    """A model, its optimisers and its place in the data."""

    def __init__(self, work: Path, context: int) -> None:
        torch.manual_seed(0)
        self.work = work
        folder = work / f"rows-{context}"
        self.rows = load_rows(sorted(folder.glob("train-*.npz")))
        self.held_out = load_rows([folder / "held-out.npz"])
        self.per_pass = TOKENS_PER_PASS // context
        self.model = Starter(Shape())
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "blocks" in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim == 1 or "blocks" not in n]
        self.muon = torch.optim.Muon(
            matrices, lr=MATRIX_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        )
        self.adam = torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.optimisers: tuple[Optimizer, ...] = (self.muon, self.adam)
        self.progress = Progress(context=context)
        self.losses = torch.compile(self.token_losses)
        self.weights = role_weights()
        if (work / "last.pt").exists():
            self.restore()
        if self.progress.context != context:
            self.progress.context, self.progress.best = context, float("inf")

    def token_losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each target, flat."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(inputs)
        flat = logits.view(-1, logits.shape[-1]).float()
        return functional.cross_entropy(flat, targets.view(-1), reduction="none")

    def step(self, rate: float) -> float:
        """One optimiser step at a share of the full rate; the weighted loss."""
        rates = (MATRIX_RATE, OTHER_RATE)
        for optimiser, full in zip(self.optimisers, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = full * rate
        first = self.progress.step * PASSES_PER_STEP * self.per_pass
        total = 0.0
        for number in range(PASSES_PER_STEP):
            inputs, targets, roles = self.rows.take(first + number * self.per_pass, self.per_pass)
            weights = self.weights[roles.view(-1)]
            loss = (self.losses(inputs, targets) * weights).sum() / weights.sum()
            torch.autograd.backward(loss / PASSES_PER_STEP)
            total += loss.item() / PASSES_PER_STEP
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.progress.step += 1
        return total

    def measure(self) -> dict[str, float]:
        """Held-out loss by role, and of all middles together."""
        sums, counts = torch.zeros(len(Role)), torch.zeros(len(Role))
        for first in range(0, len(self.held_out.tokens) - self.per_pass + 1, self.per_pass):
            inputs, targets, roles = self.held_out.take(first, self.per_pass)
            # Gradients stay on: turning them off would compile the network a second time.
            losses = self.losses(inputs, targets).detach()
            sums.index_add_(0, roles.view(-1), losses)
            counts.index_add_(0, roles.view(-1), torch.ones_like(losses))
        result = {
            role.name.lower(): sums[role].item() / max(1.0, counts[role].item())
            for role in Role
            if role is not Role.STRUCTURE
        }
        middles = [Role.LINE, Role.BLOCK, Role.SPAN]
        result["middle"] = sums[middles].sum().item() / counts[middles].sum().item()
        return result

    def save(self, name: str) -> None:
        """Write a checkpoint in one move, so that a kill never leaves half a file."""
        state = {
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "progress": asdict(self.progress),
        }
        torch.save(state, self.work / f"{name}.partial")
        (self.work / f"{name}.partial").rename(self.work / name)

    def restore(self) -> None:
        """Go on from WORK/last.pt."""
        state: dict[str, Any] = torch.load(self.work / "last.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.progress = Progress(**state["progress"])

    def check(self) -> dict[str, float]:
        """Measure, and keep the weights when they are the best so far."""
        measured = self.measure()
        score = measured["middle"] + measured["given"]
        if score < self.progress.best:
            self.progress.best = score
            self.save("best.pt")
        return measured

    def run(self, deadline: float, decay_seconds: float) -> None:
        """Train until the deadline (seconds since the epoch) or a stop signal."""
        stopping = False

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal stopping
            stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        last = saved = checked = time.time()
        recent: list[float] = []
        while not stopping and time.time() < deadline:
            warm = (self.progress.step + 1) / WARM_UP_STEPS
            falling = max(0.0, deadline - time.time()) / max(1.0, decay_seconds)
            rate = min(1.0, warm, falling)
            recent.append(self.step(rate))
            now = time.time()
            self.progress.seconds += now - last
            last = now
            if self.progress.step % 20 == 0:
                self.log(loss=sum(recent) / len(recent), rate=rate)
                recent.clear()
            if now - checked > 60 * HELD_OUT_MINUTES:
                self.log(**self.check())
                checked = last = time.time()
            if now - saved > 60 * SAVE_MINUTES:
                self.save("last.pt")
                saved = now
        if not stopping:
            self.log(**self.check())
        self.save("last.pt")
        tokens = self.progress.step * PASSES_PER_STEP * TOKENS_PER_PASS
        print(f"{tokens / 1e6:.1f} M tokens in {self.progress.seconds / 3600:.2f} hours")

    def log(self, **values: float) -> None:
        """Append a line of figures to WORK/train.jsonl and print it."""
        line = {"step": self.progress.step, "minutes": round(self.progress.seconds / 60, 1)}
        line |= {name: round(value, 4) for name, value in values.items()}
        text = json.dumps(line)
        print(text, flush=True)
        with (self.work / "train.jsonl").open("a", encoding="utf-8") as out:
            out.write(text + "\n")


def deadline_of(until: str | None, hours: float) -> float:
    """The end as seconds since the epoch: the next HH:MM of the local clock, or hours from now."""
    now = datetime.now()
    if until is None:
        return (now + timedelta(hours=hours)).timestamp()
    end = datetime.combine(now.date(), datetime.strptime(until, "%H:%M").time())
    return (end if end > now else end + timedelta(days=1)).timestamp()


def main() -> None:
    """Train until the end that was asked for."""
    parser = command(__doc__)
    parser.add_argument("--context", type=int, default=512, help="tokens in a row")
    parser.add_argument("--until", help="end at this time of day, HH:MM")
    parser.add_argument("--hours", type=float, default=2.0, help="or end after so many hours")
    parser.add_argument("--decay", type=float, default=0.0, help="minutes of falling rate")
    arguments = parser.parse_args()
    deadline = deadline_of(arguments.until, arguments.hours)
    Training(arguments.work, arguments.context).run(deadline, 60 * arguments.decay)


if __name__ == "__main__":
    main()
