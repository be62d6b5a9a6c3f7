"""The model host over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from rnj_lsp.models.host.run import listening
from tests.host.conftest import MakeModel, Running, Serve
from tests.support.tiny_gguf import TinyModel

LONG = "".join(f"x{number} = {number}\n" for number in range(700))
"""About 5,000 tokens of the small vocabulary."""


async def post(host: Running, path: str, body: Any, status: int = 200) -> Any:
    response = await host.client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


async def events(host: Running, path: str, body: dict[str, Any]) -> list[Any]:
    async with host.client.stream("POST", path, json={**body, "stream": True}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.aiter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


async def metric(host: Running, name: str) -> float:
    text = (await host.client.get("/metrics")).text
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith(f"rnj_host_{name} ")
    )


async def until(host: Running, name: str, at_least: float, at_most: float = 1e9) -> None:
    """Return once a metric is within bounds; the test's time limit ends a wait in vain."""
    while not at_least <= await metric(host, name) <= at_most:
        pass


async def test_nothing_is_told_without_the_token(serve: Serve, tiny_model: MakeModel) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        for path in ("/health", "/metrics", "/v1/models", "/nowhere"):
            for header in (b"", b"Bearer wrong", b"Basic x", b"Bearer t\xf6ken"):
                headers = {b"Authorization": header}
                response = await host.client.get(path, headers=headers)
                assert response.status_code == 401
                assert response.json()["error"]["code"] == "invalid_api_key"


async def test_no_answer_waits_for_the_clients_acknowledgement() -> None:
    delays: list[int] = []

    async def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listening()
    async with await asyncio.start_server(look, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
    assert delays == [1]


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", ""]
)
async def test_a_foreign_host_name_is_refused(
    serve: Serve, tiny_model: MakeModel, name: str
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        response = await host.client.get("/health", headers={"Host": name})
        assert response.status_code in (400, 403)
        for own in ("localhost", f"127.0.0.1:{host.port}", "[::1]:80", "LOCALHOST:1"):
            assert (await host.client.get("/health", headers={"Host": own})).status_code == 200


async def test_health_answers_before_the_model_is_loaded(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        seen = [(await host.client.get("/health")).json()["state"]]
        # A request that comes while the model loads waits for it.
        await post(host, "/v1/completions", {"prompt": "x", "max_tokens": 1})
        seen.append((await host.client.get("/health")).json()["state"])
        assert seen[-1] == "ready"
        assert seen[0] in ("loading", "ready")


async def test_a_model_that_cannot_be_loaded_says_why(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("no model")
    async with serve(path) as host:
        body = await post(host, "/v1/completions", {"prompt": "x"}, 503)
        assert "not a GGUF file" in body["error"]["message"]
        health = (await host.client.get("/health")).json()
        assert health["state"] == "failed"
        assert "not a GGUF file" in health["message"]


async def test_the_model_tells_what_it_is(serve: Serve, tiny_model: MakeModel) -> None:
    path = tiny_model(TinyModel())
    async with serve(path) as host:
        models = (await host.client.get("/v1/models")).json()
        (model,) = models["data"]
        assert model["id"] == path.stem
        told = model["rnj"]
        assert (told["family"], told["fills"], told["chats"]) == ("rnj-1", True, True)
        assert told["context_tokens"] == 8192
        assert told["safe_mode"] is True
        assert told["starter"] is False


async def test_a_middle_is_filled_in_whole_and_streamed(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel(name="rnj-starter", answer="né→🦀".encode()))) as host:
        body: dict[str, Any] = {"prompt": "x =", "suffix": "\nprint(x)\n", "max_tokens": 64}
        whole = await post(host, "/v1/completions", body)
        assert whole["choices"][0] == {
            "index": 0,
            "text": "né→🦀",
            "logprobs": None,
            "finish_reason": "stop",
        }
        prompt = ["bos", "pre", "suf", *body["suffix"], "mid", *"x ="]
        # "in" and "t" are two tokens of the small vocabulary, "print" is four.
        assert whole["usage"]["prompt_tokens"] == len(prompt) - len("i")
        chunks = await events(host, "/v1/completions", body)
        texts = [chunk["choices"][0]["text"] for chunk in chunks]
        assert texts == ["n", "é", "→", "🦀", ""]
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]


async def test_usage_counts_cached_tokens_and_is_streamed_when_asked_for(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        body = {"prompt": "x = 1\n" * 10, "max_tokens": 3}
        first = (await post(host, "/v1/completions", body))["usage"]
        tokens = first["prompt_tokens"]
        assert first["prompt_tokens_details"]["cached_tokens"] == 0
        options = {"stream_options": {"include_usage": True}}
        last = (await events(host, "/v1/completions", body | options))[-1]
        assert last["choices"] == []
        assert last["usage"] == {
            "prompt_tokens": tokens,
            "completion_tokens": 3,
            "total_tokens": tokens + 3,
            "prompt_tokens_details": {"cached_tokens": tokens - 1},
        }


async def test_a_raw_prompt_is_parsed_and_a_list_of_ids_is_taken_as_it_is(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        parsed = {"prompt": "<|pre_fim|>a<|suf_fim|>", "max_tokens": 0}
        usage = (await post(host, "/v1/completions", parsed))["usage"]
        assert usage["prompt_tokens"] == len(["bos", "pre", "a", "suf"])
        usage = (await post(host, "/v1/completions", {"prompt": [5, 6], "max_tokens": 0}))["usage"]
        assert usage["prompt_tokens"] == 2


async def test_tokenize_reads_special_tokens_as_text_unless_asked(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        text = "<|mid_fim|>"
        plain = (await post(host, "/tokenize", {"content": text}))["tokens"]
        special = (await post(host, "/tokenize", {"content": text, "special": True}))["tokens"]
        assert (len(plain), len(special)) == (len(text), 1)
        assert (await post(host, "/tokenize", {"content": ""}))["tokens"] == []
        lone_surrogate = {"content": "a\ud800b"}
        response = await host.client.post("/tokenize", content=json.dumps(lone_surrogate))
        assert len(response.json()["tokens"]) == 3


async def test_chat_streams_with_the_models_template(serve: Serve, tiny_model: MakeModel) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        messages = [{"role": "user", "content": "hi <|eot_id|>"}]
        body = {"messages": messages, "max_tokens": 5, "temperature": 0}
        whole = await post(host, "/v1/chat/completions", body)
        assert whole["object"] == "chat.completion"
        assert whole["choices"][0]["message"]["role"] == "assistant"
        # "<|eot_id|>" in the message is ten letters, not the end of the turn.
        short = {**body, "messages": [{"role": "user", "content": "hi "}]}
        usage = (await post(host, "/v1/chat/completions", short))["usage"]
        assert whole["usage"]["prompt_tokens"] >= usage["prompt_tokens"] + len("<|eot_id|>")
        chunks = await events(host, "/v1/chat/completions", body)
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(deltas) == whole["choices"][0]["message"]["content"]
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_a_model_without_a_template_refuses_chat(serve: Serve, tiny_model: MakeModel) -> None:
    async with serve(tiny_model(TinyModel(chat_template=""))) as host:
        body = {"messages": [{"role": "user", "content": "hi"}]}
        error = (await post(host, "/v1/chat/completions", body, 400))["error"]
        assert "no chat template" in error["message"]
        (model,) = (await host.client.get("/v1/models")).json()["data"]
        assert model["rnj"]["chats"] is False


async def test_a_model_that_cannot_fill_in_refuses_a_suffix(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel(name="SmolLM2 tiny"))) as host:
        error = (await post(host, "/v1/completions", {"prompt": "a", "suffix": "b"}, 400))["error"]
        assert error["code"] == "unsupported"
        assert "fill in the middle" in error["message"]
        await post(host, "/v1/completions", {"prompt": "a", "max_tokens": 1})


async def test_a_prompt_too_long_is_refused_with_its_code(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel(context_tokens=512))) as host:
        body = {"prompt": "1" * 1200, "stream": True}
        error = (await post(host, "/v1/completions", body, 400))["error"]
        assert error["code"] == "context_length_exceeded"
        assert "512" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [1, -1]}, "prompt"),
        ({"prompt": [1, 10**9]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1], "suffix": "b"}, "prompt"),
        ({"prompt": "a", "suffix": 1}, "suffix"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "max_tokens": 1.5}, "max_tokens"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens"),
        ({"prompt": "a", "temperature": "hot"}, "temperature"),
        ({"prompt": "a", "temperature": -1}, "temperature"),
        ({"prompt": "a", "top_p": 2}, "top_p"),
        ({"prompt": "a", "seed": "x"}, "seed"),
        ({"prompt": "a", "stop": 5}, "stop"),
        ({"prompt": "a", "stop": ["a", 5]}, "stop"),
        ({"prompt": "a", "stop": ["x"] * 1000}, "stop"),
        ({"prompt": "a", "stop_token_ids": ["x"]}, "stop_token_ids"),
        ({"prompt": "a", "stream": "yes"}, "stream"),
        ({"prompt": "a", "n": 2}, "n"),
        ({"prompt": "a", "echo": True}, "echo"),
    ],
)
async def test_a_wrong_request_names_the_parameter(
    serve: Serve, tiny_model: MakeModel, body: dict[str, Any], param: str
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        error = (await post(host, "/v1/completions", body, 400))["error"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param


async def test_what_is_not_json_and_unknown_paths_have_errors_in_json(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:
        for content in (b"{", b"[1]", b"\xff", b"", b"[" * 100_000):
            response = await host.client.post("/v1/completions", content=content)
            assert response.status_code == 400
            assert "JSON" in response.json()["error"]["message"]
        assert (await host.client.get("/nowhere")).status_code == 404
        assert "error" in (await host.client.get("/nowhere")).json()
        assert (await host.client.get("/v1/completions")).status_code == 405


async def test_sixteen_stop_strings_are_taken(serve: Serve, tiny_model: MakeModel) -> None:
    async with serve(tiny_model(TinyModel(answer=b"abcdefgh"))) as host:
        stop = [f"never{number}" for number in range(15)] + ["ef"]
        body = {"prompt": "x =", "max_tokens": 64, "stop": stop}
        choice = (await post(host, "/v1/completions", body))["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("abcd", "stop")


async def test_a_client_that_leaves_during_the_prompt_ends_its_evaluation(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel(width=192, layers=4))) as host:
        body = {"prompt": LONG, "max_tokens": 10}
        prompt = len((await post(host, "/tokenize", {"content": LONG}))["tokens"]) + 1
        assert prompt > 4000
        asking = asyncio.create_task(host.client.post("/v1/completions", json=body))
        await until(host, "micro_batches_total", 1)
        asking.cancel()
        await asyncio.wait({asking})
        await until(host, "busy", 0, 0)
        done = await metric(host, "micro_batches_total")
        assert done < prompt // 128
        assert await metric(host, "aborted_total") == 1
        assert await metric(host, "generated_total") == 0
        # The next request finds what was finished.
        usage = (await post(host, "/v1/completions", body))["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == done * 128


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_it_waits_never_reaches_the_engine(
    serve: Serve, tiny_model: MakeModel, stream: bool
) -> None:
    async with serve(tiny_model(TinyModel(width=192, layers=4))) as host:
        first = asyncio.create_task(
            host.client.post("/v1/completions", json={"prompt": LONG, "max_tokens": 1000})
        )
        await until(host, "busy", 1)
        body = {"prompt": "x", "max_tokens": 5, "stream": stream}
        second = asyncio.create_task(host.client.post("/v1/completions", json=body))
        await until(host, "waiting", 1)
        second.cancel()
        await asyncio.wait({second})
        await until(host, "waiting", 0, 0)
        first.cancel()
        await asyncio.wait({first})
        await until(host, "busy", 0, 0)
        assert await metric(host, "requests_total") == 1


async def test_many_clients_that_leave_at_any_moment_leave_an_idle_host(
    serve: Serve, tiny_model: MakeModel
) -> None:
    async with serve(tiny_model(TinyModel())) as host:

        async def ask(number: int) -> None:
            body = {"prompt": f"{number}" * 30, "max_tokens": 50, "stream": number % 2 == 0}
            async with host.client.stream("POST", "/v1/completions", json=body) as response:
                async for _ in response.aiter_lines():
                    if number % 3 == 0:
                        return

        asked = [asyncio.create_task(ask(number)) for number in range(50)]
        for number, task in enumerate(asked):
            if number % 5 == 0:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await until(host, "waiting", 0, 0)
        await until(host, "busy", 0, 0)
        body = {"prompt": "x", "max_tokens": 1}
        await post(host, "/v1/completions", body)
