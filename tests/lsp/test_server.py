"""The server as an editor sees it: real processes, the scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnj_lsp.bench.client import CAPABILITIES, LspClient, ServerError
from tests.support.editor import editor, script

ONE = {"prefix_ends": "x = ", "text": "foo(1)\n"}


async def open_file(client: LspClient, path: Path, text: str, language: str = "python") -> str:
    path.write_bytes(text.encode("utf-8"))
    client.open(path.as_uri(), language, text)
    return path.as_uri()


async def command(client: LspClient, name: str, *arguments: Any) -> Any:
    params = {"command": name, "arguments": list(arguments)}
    return await client.request("workspace/executeCommand", params)


async def test_the_handshake_advertises_what_the_server_does(tmp_path: Path) -> None:
    client = await LspClient.start(environ={"RNJ_MODEL": script(tmp_path, ONE)})
    answer = await client.initialize(tmp_path)
    capabilities = answer["capabilities"]
    assert capabilities["inlineCompletionProvider"] is not None
    assert "completionProvider" not in capabilities
    assert capabilities["positionEncoding"] == "utf-32"
    assert capabilities["textDocumentSync"]["change"] == 2
    commands = capabilities["executeCommandProvider"]["commands"]
    assert {"rnj.why", "rnj.status", "rnj.accepted", "rnj.model.pull"} <= set(commands)
    assert answer["serverInfo"]["name"] == "rnj-lsp"
    assert await client.close() == 0


async def test_ghost_text_has_a_range_and_an_accept_command(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        uri = await open_file(client, tmp_path / "a.py", "a = 0\nx = \n")
        items = await client.inline_completion(uri, 1, 4)
        here = {"line": 1, "character": 4}
        assert items == [
            {
                "insertText": "foo(1)",
                "range": {"start": here, "end": here},
                "command": {
                    "title": "Suggestion accepted",
                    "command": "rnj.accepted",
                    "arguments": [uri],
                },
            }
        ]
        await command(client, "rnj.accepted", uri)
        assert (await command(client, "rnj.status"))["accepted"] == 1


async def test_the_answer_is_a_list_also_when_there_is_nothing(tmp_path: Path) -> None:
    nothing = [{"prefix_ends": end, "text": ""} for end in ("y = ", "\n")]
    async with editor(tmp_path, model=script(tmp_path, *nothing)) as client:
        assert await client.inline_completion("file:///unknown.py", 0, 0) == []
        uri = await open_file(client, tmp_path / "a.py", "y = \n")
        assert await client.inline_completion(uri, 0, 4) == []
        assert await client.inline_completion(uri, 999, 999) == []
        told = await command(client, "rnj.why", uri)
        assert told["message"] == "the model suggested nothing"
        shown = await client.notification("window/showMessage", type=3)
        assert "the model suggested nothing" in shown["message"]


async def test_a_suggestion_goes_on_from_the_entry_selected_in_the_popup(tmp_path: Path) -> None:
    answer = {"prefix_ends": "x = foobar", "text": "(1)\n"}
    async with editor(tmp_path, model=script(tmp_path, answer)) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = foo\n")
        chosen = {
            "range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 7}},
            "text": "foobar",
        }
        items = await client.inline_completion(uri, 0, 7, selectedCompletionInfo=chosen)
        assert [(item["insertText"], item["range"]) for item in items] == [
            ("foobar(1)", chosen["range"])
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_edits_land_where_the_editor_means_them(tmp_path: Path, encoding: str) -> None:
    answer = {"prefix_matches": "\\ny = 🎉2\u2028\n\x0cx = $", "text": "right\n"}
    capabilities = {**CAPABILITIES, "general": {"positionEncodings": [encoding]}}
    model = script(tmp_path, answer)
    async with editor(tmp_path, model=model, capabilities=capabilities) as client:
        uri = await open_file(client, tmp_path / "a.py", "# \x0c\u2028\r\ny = 🎉1\u2028\n\x0c\n")
        width = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
        edit = {
            "range": {
                "start": {"line": 1, "character": 4 + width},
                "end": {"line": 1, "character": 5 + width},
            },
            "text": "2",
        }
        typed = {
            "range": {
                "start": {"line": 2, "character": 1},
                "end": {"line": 2, "character": 1},
            },
            "text": "x = ",
        }
        client.change(uri, 2, [edit, typed])
        items = await client.inline_completion(uri, 2, 5)
        assert [item["insertText"] for item in items] == ["right"]


async def test_a_whole_new_text_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        uri = await open_file(client, tmp_path / "a.py", "old\n" * 10)
        client.change(uri, 2, [{"text": "x = \n"}])
        items = await client.inline_completion(uri, 0, 4)
        assert [item["insertText"] for item in items] == ["foo(1)"]


async def test_an_editor_without_ghost_text_gets_completion_items(tmp_path: Path) -> None:
    answer = {"prefix_ends": "x = fo", "text": "o(\n    1,\n)\n"}
    capabilities = {"general": {"positionEncodings": ["utf-32"]}}
    client = await LspClient.start(environ={"RNJ_MODEL": script(tmp_path, answer)})
    try:
        told = await client.initialize(tmp_path, capabilities=capabilities)
        assert "." in told["capabilities"]["completionProvider"]["triggerCharacters"]
        uri = await open_file(client, tmp_path / "a.py", "x = fo\n")
        answer = await client.request(
            "textDocument/completion",
            {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 6}},
        )
        assert answer["isIncomplete"]
        (item,) = answer["items"]
        assert item["filterText"] == "fo"
        assert item["textEdit"]["newText"].startswith("foo(")
        assert item["textEdit"]["range"]["start"] == {"line": 0, "character": 4}
        assert item["textEdit"]["range"]["end"] == {"line": 0, "character": 6}
    finally:
        await client.kill()


async def test_completion_items_can_be_switched_on_later(tmp_path: Path) -> None:
    text = {"inlineCompletion": {}, "completion": {"dynamicRegistration": True}}
    capabilities = {**CAPABILITIES, "textDocument": text}
    model = script(tmp_path, ONE)
    async with editor(tmp_path, model=model, capabilities=capabilities) as client:
        await client.notification("rnj/status", state="ready")
        assert "client/registerCapability" not in client.server_requests
        client.settings = {"completion": {"popup": "always"}}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        while "client/registerCapability" not in client.server_requests:
            await command(client, "rnj.status")
        answer = await client.request(
            "textDocument/completion",
            {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 4}},
        )
        assert [item["label"] for item in answer["items"]] == ["foo(1)"]


async def test_cancelling_a_request_ends_it_at_the_model(tmp_path: Path) -> None:
    hang = {"prefix_ends": "x = ", "text": "", "error": "hang"}
    model = script(tmp_path, hang, {"prefix_ends": "y = ", "text": "1\n"})
    async with editor(tmp_path, model=model) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \ny = \n")
        asked = asyncio.create_task(client.inline_completion(uri, 0, 4))
        await asyncio.sleep(0)
        # An answer to a later request shows that the earlier one has begun.
        await command(client, "rnj.status")
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        items = await client.inline_completion(uri, 1, 4)
        assert [item["insertText"] for item in items] == ["1"]


async def test_a_newer_request_answers_and_the_older_one_gets_an_empty_list(tmp_path: Path) -> None:
    hang = {"prefix_ends": "x = ", "text": "", "error": "hang"}
    model = script(tmp_path, hang, {"prefix_ends": "x = y", "text": "1\n"})
    async with editor(tmp_path, model=model) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        older = asyncio.create_task(client.inline_completion(uri, 0, 4))
        await asyncio.sleep(0)
        await command(client, "rnj.status")
        at = {"line": 0, "character": 4}
        client.change(uri, 2, [{"range": {"start": at, "end": at}, "text": "y"}])
        newer = await client.inline_completion(uri, 0, 5)
        assert (await older, [item["insertText"] for item in newer]) == ([], ["1"])


async def test_bad_settings_are_reported_once_and_the_good_ones_hold(tmp_path: Path) -> None:
    settings = {"completion": {"debounceMs": "fast", "maxTokens": -1, "disabledLanguages": ["go"]}}
    async with editor(tmp_path, model=script(tmp_path, ONE), settings=settings) as client:
        shown = await client.notification("window/showMessage", type=2)
        assert "rnj.completion.debounceMs in the editor's settings" in shown["message"]
        assert "rnj.completion.maxTokens" in shown["message"]
        uri = await open_file(client, tmp_path / "a.go", "x = \n", "go")
        assert await client.inline_completion(uri, 0, 4) == []
        told = await command(client, "rnj.why", uri)
        assert "disabledLanguages" in told["message"]
        warnings = [
            message
            for message in client.notifications
            if message["method"] == "window/showMessage" and message["params"]["type"] == 2
        ]
        assert warnings == []


async def test_a_client_that_refuses_to_tell_its_settings_is_served(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE), refuses=True) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        assert await client.inline_completion(uri, 0, 4)


async def test_settings_change_while_the_server_runs(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        await client.notification("rnj/status", state="ready")
        assert await client.inline_completion(uri, 0, 4)
        client.settings = {"completion": {"enabled": False}}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await client.notification("rnj/status", state="off")
        assert await client.inline_completion(uri, 0, 4) == []
        client.settings = {}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await client.notification("rnj/status", state="ready")
        assert await client.inline_completion(uri, 0, 4)


async def test_each_folder_has_its_own_project_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    (one / ".rnj.toml").write_text("[completion]\nenabled = false\n", encoding="utf-8")
    model = script(tmp_path, {**ONE, "prefix_matches": "# b.py"})
    async with editor(tmp_path, model=model, folders=[one, two]) as client:
        off = await open_file(client, one / "a.py", "x = \n")
        on = await open_file(client, two / "b.py", "x = \n")
        assert await client.inline_completion(off, 0, 4) == []
        assert await client.inline_completion(on, 0, 4)
        (one / ".rnj.toml").write_text("", encoding="utf-8")
        changed = {"uri": (one / ".rnj.toml").as_uri(), "type": 2}
        client.notify("workspace/didChangeWatchedFiles", {"changes": [changed]})
        assert await client.inline_completion(off, 0, 4) == []
        told = await command(client, "rnj.why", off)
        assert "the script has no answer" in told["message"]


async def test_a_project_file_cannot_choose_the_model(tmp_path: Path) -> None:
    (tmp_path / ".rnj.toml").write_text('model = "http://127.0.0.1:9/v1#x"\n', encoding="utf-8")
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        shown = await client.notification("window/showMessage", type=2)
        assert "a project file may not set this" in shown["message"]
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        assert await client.inline_completion(uri, 0, 4)


async def test_a_key_file_outside_of_every_folder_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "project").mkdir()
    model, folders = script(tmp_path, ONE), [tmp_path / "project"]
    async with editor(tmp_path, model=model, folders=folders) as client:
        uri = await open_file(client, tmp_path / ".ssh" / "config", "x = \n", "plaintext")
        assert await client.inline_completion(uri, 0, 4) == []
        assert "rnj.completion.exclude" in (await command(client, "rnj.why", uri))["message"]


async def test_a_model_that_does_not_exist_is_said_and_the_server_lives(tmp_path: Path) -> None:
    async with editor(tmp_path, model="no-such-model") as client:
        status = await client.notification("rnj/status", state="unreachable")
        assert "no-such-model" in status["message"]
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        assert await client.inline_completion(uri, 0, 4) == []
        assert "no-such-model" in (await command(client, "rnj.why", uri))["message"]


async def test_the_journal_is_there_for_the_terminal_and_holds_no_code(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        uri = await open_file(client, tmp_path / "a.py", "secret_name = 1\nx = \n")
        assert await client.inline_completion(uri, 1, 4)
        assert await client.close() == 0
    done = subprocess.run(
        [sys.executable, "-m", "rnj_lsp", "why", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (entry,) = [item for item in json.loads(done.stdout) if item["file"] == "a.py"][:1]
    assert (entry["line"], entry["column"], entry["shown"]) == (2, 5, True)
    assert "secret_name" not in done.stdout
    assert "foo" not in done.stdout


async def test_nothing_of_the_users_code_is_logged(tmp_path: Path) -> None:
    client = await LspClient.start(
        environ={"RNJ_MODEL": script(tmp_path, ONE), "RNJ_API_KEY": "key-1234"},
        errors=asyncio.subprocess.PIPE,
    )
    await client.initialize(tmp_path)
    uri = await open_file(client, tmp_path / "a.py", "password_word = 1\nx = \n")
    assert await client.inline_completion(uri, 1, 4)
    client.notify("textDocument/didChange", {"textDocument": {"uri": uri}, "password_word": 1})
    client.notify("textDocument/didOpen", {"password_word": 1})
    with pytest.raises(ServerError):
        await client.request("workspace/executeCommand", {"command": "password_word"})
    assert client.process.stderr is not None
    assert await client.close() == 0
    logged = (await client.process.stderr.read()).decode()
    assert "password_word" not in logged
    assert "foo(1)" not in logged
    assert "key-1234" not in logged


async def test_a_home_that_cannot_be_written_costs_only_the_memory_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"RNJ_HOME": str(tmp_path / "file")}
    async with editor(tmp_path, model=script(tmp_path, ONE), environ=environ) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        assert await client.inline_completion(uri, 0, 4)


async def test_exit_without_shutdown_is_status_1(tmp_path: Path) -> None:
    client = await LspClient.start(environ={"RNJ_MODEL": script(tmp_path, ONE)})
    await client.initialize(tmp_path)
    client.notify("exit", None)
    assert await client.process.wait() == 1
    await client.kill()


async def test_a_closed_pipe_ends_the_server(tmp_path: Path) -> None:
    client = await LspClient.start(environ={"RNJ_MODEL": script(tmp_path, ONE)})
    await client.initialize(tmp_path)
    assert client.process.stdin is not None
    client.process.stdin.close()
    await client.process.wait()
    await client.kill()


async def test_a_vanished_editor_ends_the_server(tmp_path: Path) -> None:
    editor_process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    client = await LspClient.start(environ={"RNJ_MODEL": script(tmp_path, ONE)})
    params: dict[str, Any] = {"processId": editor_process.pid, "capabilities": {}}
    await client.request("initialize", params)
    client.notify("initialized", {})
    editor_process.kill()
    editor_process.communicate()
    assert await client.process.wait() == 1
    await client.kill()


async def test_a_printing_library_does_not_disturb_the_protocol(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    # Loaded at start-up, as an unfortunate plugin of the user's would be.
    code = """
import sys, threading

def print_when_the_server_runs():
    while "rnj_lsp.lsp.handlers" not in sys.modules:
        pass
    for _ in range(100):
        print("noise", flush=True)

threading.Thread(target=print_when_the_server_runs, daemon=True).start()
"""
    (site / "sitecustomize.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    environ = {"PYTHONPATH": path}
    async with editor(tmp_path, model=script(tmp_path, ONE), environ=environ) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        for _ in range(3):
            assert await client.inline_completion(uri, 0, 4)


async def test_a_message_that_is_not_json_costs_only_itself(tmp_path: Path) -> None:
    async with editor(tmp_path, model=script(tmp_path, ONE)) as client:
        uri = await open_file(client, tmp_path / "a.py", "x = \n")
        assert client.process.stdin is not None
        client.process.stdin.write(b"Content-Length: 9\r\n\r\n{garbage}")
        assert await client.inline_completion(uri, 0, 4)
