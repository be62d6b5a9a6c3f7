"""The client finds out how an endpoint wants to be asked, and remembers it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rnj_lsp.models.model import (
    ChatRequest,
    CompletionRequest,
    Message,
    ModelNotFound,
    ModelRefused,
    TokenCount,
    ToolCall,
    Unsupported,
)
from rnj_lsp.models.neutral import JOINER
from tests.models.remote import middle, remote, whole
from tests.support.fault_server import FaultServer


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


OWN = {"id": "tiny", "rnj": {"family": "rnj-1", "fills": True, "chats": False}}


async def test_our_own_host_gets_the_structured_suffix_and_the_users_text_as_it_is(
    server: FaultServer,
) -> None:
    server.models = [{**OWN, "rnj": {**OWN["rnj"], "context_tokens": 777, "starter": True}}]  # type: ignore[dict-item]
    async with remote(server, "") as it:
        await it.fill("a <|mid_fim|>", "<|eot_id|>")
        body = server.requests[0].body
        assert (body["prompt"], body["suffix"]) == ("a <|mid_fim|>", "<|eot_id|>")
        assert "stop_token_ids" not in body
        assert "stop" not in body
        info = it.model.info
    assert (info.family, info.context_tokens, info.starter) == ("rnj-1", 777, True)
    assert not info.chats


async def test_a_known_model_elsewhere_gets_its_own_tokens_and_stop_ids(
    server: FaultServer,
) -> None:
    async with remote(server, "essentialai/rnj-1-instruct") as it:
        await it.fill("def f(", "):\n")
    body = server.requests[0].body
    assert body["prompt"] == "<|pre_fim|>def f(<|suf_fim|>):\n<|mid_fim|>"
    assert "suffix" not in body
    assert body["stop_token_ids"] == [128005, 128009, 128001]
    assert body["stop"] == ["<|eoc_fim|>"]
    assert body["temperature"] == 0.0


async def test_special_literals_of_the_user_are_hidden_and_come_back(server: FaultServer) -> None:
    server.pieces = ["x = '<", JOINER, "|mid_", "fim|>", "'"]
    async with remote(server) as it:
        text = await it.fill("a = '<|pre_fim|>'\n", "# <|eoc_fim|> <tool_call>")
    prompt = server.requests[0].body["prompt"]
    assert text == "x = '<|mid_fim|>'"
    assert prompt.count("<|pre_fim|>") == prompt.count("<|mid_fim|>") == 1
    assert "<|eoc_fim|>" not in prompt
    assert "<tool_call>" not in prompt


async def test_an_end_token_that_comes_as_text_is_cut_off(server: FaultServer) -> None:
    server.pieces = ["return 1", "<|eoc", "_fim|>", "garbage"]
    async with remote(server) as it:
        assert await it.fill() == "return 1"


async def test_at_most_four_stop_strings_are_sent_and_all_are_cut(server: FaultServer) -> None:
    server.pieces = ["one S", "IX two"]
    stops = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX")
    async with remote(server) as it:
        assert await middle(it.model, "a", "b", stops) == "one "
    assert server.requests[0].body["stop"] == ["ONE", "TWO", "THREE", "FOUR"]


@pytest.mark.parametrize("name", ["stop_token_ids", "stream_options", "stop", "temperature"])
async def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    server: FaultServer, name: str
) -> None:
    server.refuses = {name}
    async with remote(server) as it:
        assert await it.fill() == "return a + b"
        assert await it.fill() == "return a + b"
    assert [name in request.body for request in server.requests] == [True, False, False]


async def test_several_refused_parameters_are_all_left_out(server: FaultServer) -> None:
    server.refuses = {"stop_token_ids", "stream_options", "temperature"}
    async with remote(server) as it:
        assert await it.fill() == "return a + b"
    assert len(server.requests) == 4


async def test_an_unknown_model_is_asked_with_the_structured_suffix(server: FaultServer) -> None:
    async with remote(server, "somebody/new-coder") as it:
        assert await it.fill("a <|x|>", "b") == "return a + b"
    body = server.requests[0].body
    assert body["suffix"] == "b"
    assert body["prompt"] == f"a <{JOINER}|x|>"


async def test_an_unknown_model_where_suffix_is_refused_is_unsupported(server: FaultServer) -> None:
    server.refuses = {"suffix"}
    async with remote(server, "somebody/new-coder") as it:
        before = it.model.info.fills
        error, again = await it.failure(), await it.failure()
        after = it.model.info.fills
    assert (before, after) == (True, False)
    assert type(error) is type(again) is Unsupported
    assert "somebody/new-coder" in str(error)
    assert "rnj-1-instruct" in str(error)
    assert len(server.requests) == 1


async def test_a_renamed_model_is_known_by_where_it_comes_from(server: FaultServer) -> None:
    server.models = [{"id": "coder", "root": "EssentialAI/rnj-1-instruct"}]
    async with remote(server, "coder") as it:
        await it.fill("a", "b")
    assert server.requests[0].body["prompt"] == "<|pre_fim|>a<|suf_fim|>b<|mid_fim|>"


async def test_half_of_a_surrogate_pair_does_not_stop_a_completion(server: FaultServer) -> None:
    async with remote(server) as it:
        assert await it.fill("s = '\ud83d", "\ude00'") == "return a + b"
    assert "s = '\ufffd" in server.requests[0].body["prompt"]


async def test_our_own_hosts_word_that_it_cannot_is_unsupported(server: FaultServer) -> None:
    server.models = [OWN]
    server.mode = "unsupported"
    async with remote(server, "") as it:
        error = await it.failure()
    assert type(error) is Unsupported


async def test_where_only_chat_is_there_the_middle_is_asked_for_by_chat(
    server: FaultServer,
) -> None:
    server.refuses = {"completions"}
    server.pieces = ["```py", "thon\nreturn ", "a + b\n", "```\nHere you are."]
    async with remote(server) as it:
        assert await it.fill("def f(a, b):\n    ", "\n") == "return a + b"
        assert await it.fill("def f(a, b):\n    ", "\n") == "return a + b"
    paths = [request.path for request in server.requests]
    assert paths == ["/v1/completions", "/v1/chat/completions", "/v1/chat/completions"]
    system, user = server.requests[1].body["messages"]
    assert system["role"] == "system"
    assert user["content"] == "def f(a, b):\n    <CURSOR>\n"


async def test_where_nothing_is_there_the_first_refusal_is_the_reason(server: FaultServer) -> None:
    server.refuses = {"completions", "chat"}
    server.models = [{"id": "other"}]
    async with remote(server) as it:
        error = await it.failure()
        server.refuses = set()
        assert await it.fill() == "return a + b"
    assert isinstance(error, ModelNotFound)
    assert "it has other" in str(error)
    assert server.requests[-1].path == "/v1/completions"


async def test_a_raw_prompt_is_sent_as_it_is(server: FaultServer) -> None:
    server.pieces = [f"a <{JOINER}|b|>"]
    async with remote(server) as it:
        assert await middle(it.model, "<|pre_fim|>x", None) == f"a <{JOINER}|b|>"
    assert server.requests[0].body["prompt"] == "<|pre_fim|>x"


async def test_a_raw_prompt_is_never_turned_into_a_chat(server: FaultServer) -> None:
    server.refuses = {"completions"}
    async with remote(server) as it:
        with pytest.raises(ModelNotFound):
            await middle(it.model, "x", None)
    assert [request.path for request in server.requests] == ["/v1/completions"]


async def test_ollama_gets_a_raw_prompt_over_its_own_api(server: FaultServer) -> None:
    server.models = [{"id": "rnj-1:8b", "owned_by": "library"}]
    async with remote(server, "rnj-1:8b") as it:
        request = CompletionRequest("a", "b", max_tokens=5, stop=("\n\n",))
        chunks = await whole(it.model.complete(request))
    assert "".join(chunk.text for chunk in chunks) == "return a + b"
    assert server.requests[0].path == "/api/generate"
    assert server.requests[0].body == {
        "model": "rnj-1:8b",
        "prompt": "<|pre_fim|>a<|suf_fim|>b<|mid_fim|>",
        "raw": True,
        "stream": False,
        "options": {"num_predict": 5, "temperature": 0.0, "stop": ["\n\n", "<|eoc_fim|>"]},
    }


async def test_ollama_without_that_path_is_asked_by_chat(server: FaultServer) -> None:
    server.models = [{"id": "rnj-1:8b", "owned_by": "library"}]
    server.refuses = {"generate"}
    async with remote(server, "rnj-1:8b") as it:
        assert await it.fill() == "return a + b"
    assert server.requests[-1].path == "/v1/chat/completions"


async def test_a_chat_takes_the_catalogues_sampling_and_hides_literals(server: FaultServer) -> None:
    server.pieces = [f"The token <{JOINER}|eot_id|>."]
    server.tool_calls = [
        {
            "index": 0,
            "id": "c",
            "function": {"name": "edit", "arguments": '{"new": "<\\u2060|eot_id|>"}'},
        }
    ]
    messages = (
        Message("user", "What is <|eot_id|>?"),
        Message("assistant", "", (ToolCall("t", "read", '{"q": "<|eot_id|>"}'),)),
        Message("tool", "<|eot_id|>", tool_call_id="t"),
    )
    tools = ({"type": "function", "function": {"name": "edit"}},)
    async with remote(server) as it:
        chunks = await whole(it.model.chat(ChatRequest(messages, 50, tools)))
    body = server.requests[0].body
    assert (body["temperature"], body["top_p"]) == (0.2, 0.95)
    assert "<|eot_id|>" not in str(body)
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "read"
    assert body["messages"][2]["tool_call_id"] == "t"
    assert "".join(chunk.text for chunk in chunks) == "The token <|eot_id|>."
    assert chunks[-1].tool_calls[0].arguments == '{"new": "<|eot_id|>"}'


async def test_tools_that_are_refused_are_unsupported_with_the_way_out(server: FaultServer) -> None:
    server.refuses = {"tools"}
    tools = ({"type": "function", "function": {"name": "edit"}},)
    async with remote(server) as it:
        with pytest.raises(Unsupported, match="--enable-auto-tool-choice"):
            await whole(it.model.chat(ChatRequest((Message("user", "x"),), 5, tools)))


async def test_another_refusal_keeps_the_endpoints_words(server: FaultServer) -> None:
    server.refuses = {"prompt"}
    async with remote(server) as it:
        error = await it.failure()
    assert isinstance(error, ModelRefused)
    assert "prompt is not currently supported" in str(error)


@pytest.mark.parametrize("words", ["vllm", "llama"])
async def test_tokens_are_counted_exactly_where_the_endpoint_can(
    server: FaultServer, words: str
) -> None:
    server.tokenizes = words  # type: ignore[assignment]
    async with remote(server) as it:
        assert await it.model.count_tokens("abcdef") == TokenCount(6, exact=True)


async def test_special_literals_are_counted_as_text(server: FaultServer) -> None:
    server.tokenizes = "vllm"
    async with remote(server) as it:
        await it.model.count_tokens("a <|mid_fim|>")
    assert server.requests[0].body["prompt"] == f"a <{JOINER}|mid_fim|>"


async def test_tokens_are_estimated_where_it_cannot_and_it_is_not_asked_again(
    server: FaultServer,
) -> None:
    async with remote(server) as it:
        assert await it.model.count_tokens("x" * 32) == TokenCount(10, exact=False)
        assert await it.model.count_tokens("x" * 33) == TokenCount(11, exact=False)
        assert await it.model.count_tokens("") == TokenCount(0, exact=True)
    assert [request.path for request in server.requests] == ["/tokenize"]


async def test_tokens_are_estimated_while_the_endpoint_is_away(server: FaultServer) -> None:
    server.tokenizes = "vllm"
    server.stop()
    async with remote(server) as it:
        assert not (await it.model.count_tokens("abc")).exact
        server.start()
        assert (await it.model.count_tokens("abc")).exact
