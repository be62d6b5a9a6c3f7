"""Chat prompts by the model file's own template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rnj_lsp.models.host.vocab import Vocabulary
from rnj_lsp.models.model import Unsupported

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Two characters that Unicode keeps free for a program's own use."""


class Chat:
    """Turns messages into a prompt.

    The text of a special token inside a message stays text. The template writes such tokens
    itself, so they are marked in the messages before it runs, and the marked ones are tokenized
    as ordinary text afterwards.
    """

    def __init__(self, template: str, vocabulary: Vocabulary) -> None:
        """Raise `Unsupported` where there is no template, or it is not valid."""
        if not template:
            raise Unsupported("this model has no chat template; it can only complete")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(template)
        except jinja2.TemplateError as error:
            raise Unsupported(f"the model's chat template is not valid: {error}") from error
        self._vocabulary = vocabulary
        literals = sorted(vocabulary.specials, key=len, reverse=True)
        any_literal = "|".join(re.escape(text) for text in literals if text) or r"\b\B"
        self._literal = re.compile(any_literal)
        self._marked_literal = re.compile(f"{_OPEN}({any_literal}){_CLOSE}")

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any]) -> list[int]:
        """Return the token ids of a prompt for the next assistant turn.

        `messages` and `tools` have OpenAI's form. Raises `Unsupported` where the template
        refuses them.
        """
        return self._tokens(self._rendered(messages, tools))

    def _rendered(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any]) -> str:
        bos, eos = self._vocabulary.bos, self._vocabulary.eos
        try:
            return self._template.render(
                messages=[self._marked(_plain(message)) for message in messages],
                tools=self._marked(list(tools)) or None,
                add_generation_prompt=True,
                bos_token="" if bos is None else self._vocabulary.text(bos),
                eos_token="" if eos is None else self._vocabulary.text(eos),
            )
        except (jinja2.TemplateError, TypeError, ValueError, OverflowError) as error:
            raise Unsupported(f"the model's chat template refuses this: {error}") from error

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = []
        for at, piece in enumerate(self._marked_literal.split(text)):
            # Every second piece is a marked literal. A template may have cut a mark off.
            clean = piece.replace(_OPEN, "").replace(_CLOSE, "")
            ids += self._vocabulary.tokenize(clean, special=at % 2 == 0)
        return self._vocabulary.with_bos(ids)

    def _marked(self, value: Any) -> Any:
        """Return messages or tools with every special token's text marked."""
        if isinstance(value, str):
            clean = value.replace(_OPEN, "").replace(_CLOSE, "")
            return self._literal.sub(rf"{_OPEN}\g<0>{_CLOSE}", clean)
        if isinstance(value, Mapping):
            return {key: self._marked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._marked(item) for item in value]
        return value


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in the form that templates expect.

    Content is one string, because lists of parts vanish in many templates; the arguments of
    tool calls are objects, because templates write them as JSON.
    """
    plain = dict(message)
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    plain["content"] = content or ""
    if calls := message.get("tool_calls"):
        plain["tool_calls"] = [_plain_call(call) for call in calls]
    return plain


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    with suppress(KeyError, TypeError, ValueError):
        function["arguments"] = json.loads(function["arguments"])
    return {**call, "function": function}


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    # Jinja's own filter escapes for HTML, which a model has not seen.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
