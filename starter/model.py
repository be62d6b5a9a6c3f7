"""The starter's network: a small Gemma-3, computed exactly as llama.cpp computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that fix a network."""

    vocabulary: int = 8192
    width: int = 256
    layers: int = 6
    heads: int = 4
    head_width: int = 64
    hidden: int = 704
    """Width inside the feed-forward part."""
    context: int = 1024
    """Longest row seen in training, in tokens."""
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-6


class Norm(nn.Module):
    """RMS normalisation with gain 1 + w, in float32."""

    def __init__(self, width: int, epsilon: float, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), gain - 1.0))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """x scaled to unit mean square over its last dimension, times the gain."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return (wide * (1.0 + self.weight)).to(x.dtype)


class Attention(nn.Module):
    """Causal attention over the whole row, with normalised queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inner = shape.heads * shape.head_width
        self.heads, self.head_width = shape.heads, shape.head_width
        self.q = nn.Linear(shape.width, inner, bias=False)
        self.k = nn.Linear(shape.width, inner, bias=False)
        self.v = nn.Linear(shape.width, inner, bias=False)
        self.output = nn.Linear(inner, shape.width, bias=False)
        self.q_norm = Norm(shape.head_width, shape.norm_epsilon)
        self.k_norm = Norm(shape.head_width, shape.norm_epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """What each position takes from those before it and itself."""
        rows, length, _ = x.shape
        split = (rows, length, self.heads, self.head_width)
        q = rotate(self.q_norm(self.q(x).view(split)), cos, sin).transpose(1, 2)
        k = rotate(self.k_norm(self.k(x).view(split)), cos, sin).transpose(1, 2)
        v = self.v(x).view(split).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        joined: Tensor = self.output(mixed.transpose(1, 2).reshape(rows, length, -1))
        return joined


class FeedForward(nn.Module):
    """GeGLU with the tanh form of GELU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's nonlinear part, position by position."""
        y: Tensor = self.down(functional.gelu(self.gate(x), approximate="tanh") * self.up(x))
        return y


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised before and after."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        # A quiet start for every branch keeps the early steps stable at high learning rates.
        start = (2 * shape.layers) ** -0.5
        epsilon = shape.norm_epsilon
        self.attention_norm = Norm(shape.width, epsilon)
        self.attention = Attention(shape)
        self.attention_post_norm = Norm(shape.width, epsilon, start)
        self.feed_norm = Norm(shape.width, epsilon)
        self.feed = FeedForward(shape)
        self.feed_post_norm = Norm(shape.width, epsilon, start)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Both branches added to x (rows, length, width)."""
        x = x + self.attention_post_norm(self.attention(self.attention_norm(x), cos, sin))
        y: Tensor = x + self.feed_post_norm(self.feed(self.feed_norm(x)))
        return y


class Starter(nn.Module):
    """The whole network; calling it with token ids gives logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.norm_epsilon)
        cos, sin = rope_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                deviation = 0.02 if name.startswith("embedding") else shape.width**-0.5
                nn.init.normal_(parameter, std=deviation)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (rows, length, vocabulary) after each token."""
        length = tokens.shape[1]
        cos = self.get_buffer("cos")[:length]
        sin = self.get_buffer("sin")[:length]
        x = self.embedding(tokens) * self.shape.width**0.5
        for block in self.blocks:
            x = block(x, cos, sin)
        logits: Tensor = functional.linear(self.norm(x), self.embedding.weight)
        return logits


def rope_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, each (context, 1, head_width / 2)."""
    half = shape.head_width // 2
    frequency = shape.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = torch.outer(torch.arange(shape.context, dtype=torch.float32), frequency)
    return angle.cos()[:, None, :], angle.sin()[:, None, :]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (rows, length, heads, head_width) turned by position; halves are paired (NeoX style)."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x.dtype)
