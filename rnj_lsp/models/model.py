"""The protocol of a model: what can be asked of it, what comes back, and how it fails.

Errors:

    ModelError
    ├── ModelUnreachable      nothing answers there: wrong address, no network, host gone
    │   └── HostFailed        the local model host could not be started or died again
    ├── ModelTimeout          it took longer than the purpose allows
    ├── ModelRefused          it answers, and says no
    │   ├── KeyRefused        401 or 403: the key is missing or wrong
    │   ├── ModelNotFound     404: no such model, path or file
    │   ├── RateLimited       429: too many requests for now
    │   ├── PromptTooLong     the prompt does not fit the model's window
    │   └── Unsupported       the model or endpoint cannot do this at all
    └── ModelBroken           5xx, a stream cut short, or an answer that is not the protocol's
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class ModelError(Exception):
    """Anything that keeps a model from answering; its text is a sentence for the user."""


class ModelUnreachable(ModelError):
    """Nothing answers at the model's address."""


class HostFailed(ModelUnreachable):
    """The local model host could not be started, or died again after a restart."""


class ModelTimeout(ModelError):
    """The answer did not come in the time that its purpose allows."""


class ModelRefused(ModelError):
    """The endpoint answered and said no."""


class KeyRefused(ModelRefused):
    """The API key is missing or wrong."""


class ModelNotFound(ModelRefused):
    """There is no such model, path or file."""


class RateLimited(ModelRefused):
    """Too many requests for now."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PromptTooLong(ModelRefused):
    """The prompt does not fit; the numbers are None where the endpoint does not tell them."""

    def __init__(
        self, message: str, prompt_tokens: int | None = None, limit_tokens: int | None = None
    ) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.limit_tokens = limit_tokens


class Unsupported(ModelRefused):
    """The model or the endpoint cannot do this at all."""


class ModelBroken(ModelError):
    """A server error, a stream cut short, or an answer that is not the protocol's."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Code to continue: a hole between prefix and suffix, or a raw prompt."""

    prefix: str
    """The text before the cursor; the whole raw prompt when `suffix` is None."""

    suffix: str | None
    """The text after the cursor; None sends `prefix` as it is, special tokens included."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""

    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool that the model asks for."""

    id: str
    name: str
    arguments: str
    """A JSON object as text, exactly as the model wrote it: it may be broken."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """For role `tool`: the call that this answers."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat to continue by one assistant turn."""

    messages: tuple[Message, ...]
    max_tokens: int
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools in OpenAI's form: {"type": "function", "function": {...}}."""

    temperature: float | None = None
    """None: the catalogue's recommendation for the model."""

    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost, in tokens; -1 where the endpoint does not say."""

    prompt_tokens: int = -1
    cached_tokens: int = -1
    """Prompt tokens that were in the KV cache already and were not evaluated."""

    completion_tokens: int = -1


FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer; the last one carries `finish`."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Whole calls, in the last chunk of a chat answer."""

    finish: FinishReason | None = None
    usage: Usage = Usage()
    """What the answer has cost so far, where the endpoint tells before its end."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a text takes."""

    tokens: int
    exact: bool
    """False when it is an estimate because the endpoint cannot tokenize."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before it is asked."""

    name: str
    """As the user knows it, such as `rnj-1-instruct`."""

    where: str
    """Where it runs, for people: `this machine`, or the endpoint's address without any key."""

    family: str
    """The catalogue's family, or `unknown`."""

    local: bool
    """True when code does not leave this machine."""

    fills: bool
    """It can fill in the middle."""

    chats: bool
    context_tokens: int
    """The window, prompt and answer together; an assumption for most remote endpoints."""

    starter: bool = False
    """It is the small bundled model."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """How a model is; sent on every change and only then."""

    kind: Literal["idle", "loading", "ready", "unreachable"]
    message: str = ""
    """A sentence for the user."""

    percent: int | None = None
    """Progress of loading, 0 to 100, where known."""


OnState = Callable[[ModelState], None]


class Model(Protocol):
    """A language model, wherever it runs.

    `complete` and `chat` are asynchronous generators: iterate them inside
    `contextlib.aclosing`. Closing one, or cancelling the task that iterates it, ends the
    generation at the model. They raise a `ModelError` and nothing else.
    """

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; it can become more exact after `ready`."""
        ...

    async def ready(self) -> None:
        """Return when the model can answer: starts and loads it where that is needed."""
        ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the middle (or the continuation of a raw prompt)."""
        ...

    def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the next assistant turn."""
        ...

    async def count_tokens(self, text: str) -> TokenCount:
        """Return how many tokens the text takes, special tokens read as plain text."""
        ...

    async def close(self) -> None:
        """Let go of connections; a local model host goes on for others."""
        ...
