"""The client's answers, and a reason for every fault of an endpoint."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnj_lsp.models.endpoint import Address, FixedEndpoint
from rnj_lsp.models.model import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    KeyRefused,
    Message,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    ModelUnreachable,
    PromptTooLong,
    RateLimited,
    ToolCall,
    Usage,
)
from rnj_lsp.models.openai_errors import (
    ConnectionLost,
    StreamCut,
    retry_after_s,
)
from tests.models.remote import HASTY, KEY, remote, whole
from tests.support.fault_server import FaultServer, Mode


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


async def test_a_completion_streams_and_ends_with_its_usage(server: FaultServer) -> None:
    async with remote(server) as it:
        chunks = await whole(it.model.complete(CompletionRequest("def f(", ")", max_tokens=9)))
    assert [chunk.text for chunk in chunks] == ["return ", "a + ", "b", ""]
    assert chunks[-1].finish == "stop"
    assert chunks[-1].usage == Usage(prompt_tokens=11, cached_tokens=8, completion_tokens=3)


async def test_a_chat_streams_text_and_whole_tool_calls(server: FaultServer) -> None:
    server.tool_calls = [
        {"index": 0, "id": "a1", "function": {"name": "read", "arguments": '{"path"'}},
        {"index": 0, "function": {"arguments": ': "x.py"}'}},
        {"index": 1, "id": "a2", "function": {"name": "done", "arguments": "{}"}},
    ]
    async with remote(server) as it:
        chunks = await whole(it.model.chat(_chat("read it")))
    assert "".join(chunk.text for chunk in chunks) == "return a + b"
    assert chunks[-1] == Chunk(
        tool_calls=(ToolCall("a1", "read", '{"path": "x.py"}'), ToolCall("a2", "done", "{}")),
        finish="tool_calls",
        usage=Usage(11, 8, 3),
    )


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("wrong_key", KeyRefused, "RNJ_API_KEY"),
        ("no_model", ModelNotFound, "test-model"),
        ("rate_limited", RateLimited, "7 s"),
        ("server_error", ModelBroken, "CUDA out of memory"),
        ("too_long", PromptTooLong, "4096"),
        ("hang_everywhere", ModelTimeout, "no answer within 1 s"),
        ("hang", ModelTimeout, "no answer within 1 s"),
        ("hang_after_headers", ModelTimeout, "no answer within 1 s"),
        ("hang_after_first", ModelTimeout, "nothing more within 0.6 s"),
        ("cut", StreamCut, "in the middle"),
        ("cut_before_text", StreamCut, "in the middle"),
        ("no_finish", StreamCut, "in the middle"),
        ("not_json", ModelBroken, "not OpenAI's protocol"),
        ("wrong_json", ModelBroken, "not OpenAI's protocol"),
        ("html", ModelBroken, "text/html"),
        ("error_in_stream", ModelBroken, "worker died"),
        ("reset", ConnectionLost, "lost before an answer"),
    ],
)
async def test_each_fault_has_its_own_reason_and_is_over_when_the_server_is_well(
    server: FaultServer, mode: Mode, kind: type[ModelError], words: str
) -> None:
    async with remote(server, patience=HASTY) as it:
        server.mode = mode
        error = await it.failure()
        assert type(error) is kind
        assert words in str(error)
        assert "the test server" in str(error)
        assert KEY not in str(error)
        server.mode = "good"
        it.now[0] += 60
        assert await it.fill() == "return a + b"


async def test_a_server_that_is_not_there_is_unreachable_until_it_is(server: FaultServer) -> None:
    server.stop()
    async with remote(server) as it:
        error = await it.failure()
        assert isinstance(error, ModelUnreachable)
        assert "nothing answers at the test server" in str(error)
        server.start()
        assert await it.fill() == "return a + b"


async def test_a_host_name_that_does_not_exist_is_named_as_the_problem() -> None:
    endpoint = FixedEndpoint(Address("http://no-such-host.invalid/v1", KEY))
    async with remote(endpoint) as it:
        error = await it.failure()
    assert isinstance(error, ModelUnreachable)
    assert KEY not in str(error)


async def test_a_certificate_that_is_not_trusted_leads_to_ssl_cert_file() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "self_signed.pem")
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    async with listener, remote(FixedEndpoint(Address(f"https://127.0.0.1:{port}/v1", ""))) as it:
        error = await it.failure()
    assert type(error) is ModelUnreachable
    assert "SSL_CERT_FILE" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        "220 mail.example.org ESMTP",
        "",
        "HTTP/1.1 400 X\r\nContent-Length: 99\r\n\n{",
        "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\ndata",
        "HTTP/1.1 400 X\r\nContent-Type: application/json; charset=bogus\r\n\r\n\xff",
        "HTTP/1.1 301 X\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\ndata: \xff\xfe\n\n",
        "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\ndata: " + "[" * 5000 + "\n\n",
        "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\nevent: x\ndata: 5\n\n",
    ],
)
async def test_whatever_comes_back_is_a_reason(answer: str) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode("latin-1"))
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, remote(FixedEndpoint(Address(f"http://127.0.0.1:{port}/v1", ""))) as it:
        assert "the test server" in str(await it.failure())


async def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(server: FaultServer) -> None:
    endpoint = FixedEndpoint(Address(server.base_url, "sk-ключ"))
    async with remote(endpoint) as it:
        error = await it.failure()
    assert isinstance(error, KeyRefused)
    assert "ключ" not in str(error)
    assert server.requests == []


async def test_after_a_429_nothing_is_sent_until_the_time_is_over(server: FaultServer) -> None:
    server.mode = "rate_limited"
    async with remote(server) as it:
        first = await it.failure()
        server.mode = "good"
        it.now[0] += 6.0
        second = await it.failure()
        assert not (await it.model.count_tokens("abc")).exact
        assert isinstance(first, RateLimited)
        assert isinstance(second, RateLimited)
        assert (first.retry_after_s, second.retry_after_s) == (7.0, 1.0)
        assert str(first) == str(second)
        assert len(server.requests) == 1
        it.now[0] += 1.5
        assert await it.fill() == "return a + b"


async def test_a_429_without_a_time_is_a_short_rest(server: FaultServer) -> None:
    server.mode, server.retry_after = "rate_limited", ""
    async with remote(server) as it:
        await it.failure()
        await it.failure()
        assert len(server.requests) == 1
        it.now[0] += 5.5
        await it.failure()
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("999999999", 3600.0),
        ("inf", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, expected: float | None) -> None:
    assert retry_after_s({"retry-after": value}, now_s=100.0) == expected


async def test_the_numbers_of_a_prompt_that_is_too_long_are_kept(server: FaultServer) -> None:
    server.mode = "too_long"
    async with remote(server) as it:
        error = await it.failure()
    assert isinstance(error, PromptTooLong)
    assert (error.prompt_tokens, error.limit_tokens) == (4872, 4096)


async def test_a_missing_model_is_reported_with_those_that_are_there(server: FaultServer) -> None:
    server.models = [{"id": "qwen2.5-coder:7b"}, {"id": "rnj-1:8b"}]
    server.mode = "no_model"
    async with remote(server, "rnj-1:70b") as it:
        error = await it.failure()
    assert isinstance(error, ModelNotFound)
    assert "has no model rnj-1:70b; it has qwen2.5-coder:7b, rnj-1:8b" in str(error)


async def test_without_a_name_the_first_model_of_the_list_is_asked(server: FaultServer) -> None:
    server.models = [{"id": "EssentialAI/rnj-1", "max_model_len": 16384}, {"id": "other"}]
    async with remote(server, "") as it:
        await it.fill()
        assert server.requests[0].body["model"] == "EssentialAI/rnj-1"
        assert it.model.info.name == "EssentialAI/rnj-1"
        assert it.model.info.family == "rnj-1"
        assert it.model.info.context_tokens == 16384


async def test_without_a_name_and_without_a_list_the_user_is_asked_for_a_name(
    server: FaultServer,
) -> None:
    server.models = []
    async with remote(server, "") as it:
        error = await it.failure()
    assert isinstance(error, ModelNotFound)
    assert "#model" in str(error)


async def test_an_endpoint_without_a_list_of_models_still_completes(server: FaultServer) -> None:
    server.models = []
    async with remote(server) as it:
        assert await it.fill() == "return a + b"


async def test_nothing_of_the_users_openai_account_or_machine_is_told(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "private-value")
    async with remote(FixedEndpoint(Address(server.base_url, ""))) as it:
        await it.fill()
    headers = server.requests[0].headers
    assert "authorization" not in headers
    assert not [name for name in headers if name.startswith(("x-stainless", "openai"))]
    assert "private-value" not in str(headers)


async def test_a_proxy_never_sees_what_is_meant_for_this_machine(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with remote(server) as it:
        assert await it.fill() == "return a + b"


def _chat(text: str) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), max_tokens=9)
