"""The engine: streaming, stopping, the KV cache, aborting."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from rnj_lsp.models.host.engine import Abort, Engine, Generation, Piece
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.host.sampling import Sampling
from rnj_lsp.models.model import HostFailed, PromptTooLong, Unsupported
from tests.host.conftest import MakeModel, OpenEngine
from tests.support.tiny_gguf import TinyModel

SPOKEN = "né 🦀 ok"
"""Multi-byte characters whose bytes are all different, each in a token of its own."""


def scripted(text: str) -> TinyModel:
    return TinyModel(answer=text.replace(" ", "").encode())


def raw(engine: Engine, text: str) -> list[int]:
    return engine.vocabulary.with_bos(engine.vocabulary.tokenize(text, special=False))


def answered(engine: Engine, prompt: Sequence[int], request: Generation) -> tuple[str, Piece]:
    pieces = list(engine.generate(prompt, request, Abort()))
    return "".join(piece.text for piece in pieces), pieces[-1]


def long_prompt(engine: Engine, tokens: int) -> list[int]:
    return raw(engine, "".join(f"x{number} = {number}\n" for number in range(tokens)))[:tokens]


def test_characters_spread_over_tokens_are_streamed_whole(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer="né→🦀k".encode()))
    pieces = list(engine.generate(raw(engine, "x ="), Generation(64), Abort()))
    assert [piece.text for piece in pieces] == ["n", "é", "→", "🦀", "k", ""]
    assert pieces[-1].finish == "stop"
    assert pieces[-1].usage.completion_tokens == len("né→🦀k".encode())


def test_a_character_cut_by_the_token_limit_is_replaced(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer="né→🦀k".encode()))
    text, last = answered(engine, raw(engine, "x ="), Generation(2))
    assert (text, last.finish) == ("n\ufffd", "length")


def test_a_stop_string_across_tokens_ends_the_answer_without_it(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer=b"abcdefgh"))
    text, last = answered(engine, raw(engine, "x ="), Generation(64, stop=("xyz", "def")))
    assert (text, last.finish) == ("abc", "stop")


def test_text_that_only_began_like_a_stop_string_is_kept(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer=b"abcdefgh"))
    text, _ = answered(engine, raw(engine, "x ="), Generation(64, stop=("deg", "h!")))
    assert text == "abcdefgh"


def test_a_stop_token_ends_the_answer_without_it(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer=b"abcdefgh"))
    stop = frozenset(engine.vocabulary.tokenize("d", special=False))
    text, last = answered(engine, raw(engine, "x ="), Generation(64, stop_tokens=stop))
    assert (text, last.finish) == ("abc", "stop")


def test_the_familys_end_of_a_middle_ends_the_answer(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer=b"abc"))
    end = engine.vocabulary.specials["<|eoc_fim|>"]
    # llama.cpp itself does not take Rnj-1's token for an end.
    assert end not in engine.vocabulary.ends
    text, last = answered(engine, raw(engine, "x ="), Generation(64))
    assert (text, last.finish) == ("abc", "stop")


@pytest.mark.parametrize("user_defined", [False, True])
def test_any_control_token_ends_a_middle(open_engine: OpenEngine, user_defined: bool) -> None:
    engine = open_engine(TinyModel(user_defined=user_defined))
    filling = engine.filling(Generation(8))
    assert engine.vocabulary.specials["<|exec_start|>"] in filling.stop_tokens
    assert ord("a") not in filling.stop_tokens


def test_zero_tokens_only_evaluate_the_prompt(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    prompt = long_prompt(engine, 300)
    text, last = answered(engine, prompt, Generation(0))
    assert (text, last.finish) == ("", "length")
    assert (engine.counters.prompt_evaluated, engine.counters.generated) == (300, 0)


def test_a_prompt_that_continues_the_last_one_is_evaluated_from_there(
    open_engine: OpenEngine,
) -> None:
    engine = open_engine(TinyModel())
    prompt = long_prompt(engine, 400)
    answered(engine, prompt[:300], Generation(0))
    _, last = answered(engine, prompt, Generation(0))
    assert last.usage.cached_tokens == 300
    assert engine.counters.prompt_reused == 300
    assert engine.counters.prompt_evaluated == 300 + 100
    assert engine.counters.prompt_asked == 300 + 400


def test_the_answer_is_reused_as_part_of_the_next_prompt(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(answer=b"abcdefgh"))
    prompt = raw(engine, "x =")
    answered(engine, prompt, Generation(64))
    _, last = answered(engine, [*prompt, *b"abcde"], Generation(1))
    assert last.usage.cached_tokens == len(prompt) + 4


@pytest.mark.parametrize("sliding_window", [0, 64])
def test_after_a_change_in_the_middle_the_answer_is_that_of_a_fresh_engine(
    open_engine: OpenEngine, sliding_window: int
) -> None:
    model = TinyModel(sliding_window=sliding_window)
    used, fresh = open_engine(model), open_engine(model)
    prompt = long_prompt(used, 700)
    changed = [*prompt[:350], *used.vocabulary.tokenize("changed!", special=False), *prompt[360:]]
    answered(used, prompt, Generation(20))
    text, last = answered(used, changed, Generation(40))
    assert last.usage.cached_tokens >= 350
    expected, expected_last = answered(fresh, changed, Generation(40))
    assert text == expected
    assert last.usage.completion_tokens == expected_last.usage.completion_tokens > 0


def test_the_same_prompt_twice_gives_the_same_answer(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    prompt = long_prompt(engine, 200)
    first, _ = answered(engine, prompt, Generation(30))
    second, last = answered(engine, prompt, Generation(30))
    assert first == second
    assert last.usage.cached_tokens == 199


def test_a_seed_makes_a_sampled_answer_repeatable(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    prompt = long_prompt(engine, 50)

    def sampled(seed: int) -> str:
        sampling = Sampling(temperature=1.5, top_p=0.95, top_k=0, seed=seed)
        return answered(engine, prompt, Generation(30, sampling))[0]

    assert sampled(7) == sampled(7)
    assert sampled(7) != sampled(8)


def test_a_prompt_as_long_as_the_window_is_refused_with_both_numbers(
    open_engine: OpenEngine,
) -> None:
    engine = open_engine(TinyModel(), EngineOptions(context_tokens=512, threads=1))
    assert engine.context_tokens == 512
    with pytest.raises(PromptTooLong, match=r"raise rnj\.host\.contextTokens") as caught:
        answered(engine, long_prompt(engine, 512), Generation(1))
    assert (caught.value.prompt_tokens, caught.value.limit_tokens) == (512, 512)


def test_an_answer_ends_where_the_window_ends(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(), EngineOptions(context_tokens=512, threads=1))
    _, last = answered(engine, long_prompt(engine, 500), Generation(1000))
    assert last.finish == "length"
    assert last.usage.completion_tokens == 12
    # The cache is full to the last cell, and the next request finds its way.
    _, last = answered(engine, long_prompt(engine, 511), Generation(1000))
    assert last.usage.completion_tokens == 1
    assert last.usage.cached_tokens == 500


def test_the_window_is_never_larger_than_the_model_was_trained_for(
    open_engine: OpenEngine,
) -> None:
    engine = open_engine(TinyModel(context_tokens=1024))
    assert engine.context_tokens == 1024
    with pytest.raises(PromptTooLong, match="no larger one"):
        engine.require_fit(1024)


@pytest.mark.parametrize("micro_batch", [32, 128])
def test_an_abort_during_the_prompt_ends_it_within_one_micro_batch(
    open_engine: OpenEngine, micro_batch: int
) -> None:
    engine = open_engine(TinyModel(), EngineOptions(threads=1, micro_batch=micro_batch))
    prompt, abort = long_prompt(engine, 4000), Abort()
    at_abort: list[int] = []

    def abort_after_the_first_micro_batch() -> None:
        while engine.counters.micro_batches == 0:
            time.sleep(0)
        abort.set()
        at_abort.append(engine.counters.micro_batches)

    watcher = threading.Thread(target=abort_after_the_first_micro_batch)
    watcher.start()
    pieces = list(engine.generate(prompt, Generation(10), abort))
    watcher.join()
    done = engine.counters.micro_batches
    assert pieces[-1].finish == "aborted"
    assert done <= at_abort[0] + 1
    assert done < len(prompt) / micro_batch
    assert (engine.counters.busy, engine.counters.aborted, engine.counters.generated) == (0, 1, 0)
    # The next request works, and finds what was finished.
    fresh = open_engine(TinyModel(), EngineOptions(threads=1, micro_batch=micro_batch))
    text, last = answered(engine, prompt, Generation(10))
    assert last.usage.cached_tokens == done * micro_batch
    assert text == answered(fresh, prompt, Generation(10))[0]


def test_llama_cpp_itself_sees_the_abort_inside_a_batch(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(), EngineOptions(threads=1))
    prompt, abort = long_prompt(engine, 100), Abort()
    answered(engine, prompt[:50], Generation(0))
    abort.watch(engine._context)
    abort.set()
    # Past the check between batches: the batch itself is begun, and not finished.
    assert engine._decode(prompt[50:], True) is False
    assert engine._cached == prompt[:50]
    text, last = answered(engine, prompt, Generation(10))
    assert last.usage.cached_tokens == 50
    fresh = open_engine(TinyModel(), EngineOptions(threads=1))
    assert text == answered(fresh, prompt, Generation(10))[0]


def test_an_abort_while_generating_ends_the_answer(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    abort = Abort()
    texts = []
    for piece in engine.generate(long_prompt(engine, 20), Generation(1000), abort):
        texts.append(piece)
        abort.set()
    assert texts[-1].finish == "aborted"
    assert len(texts) <= 3
    assert engine.counters.busy == 0


def test_a_reader_that_stops_reading_leaves_the_engine_idle(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    answer = engine.generate(long_prompt(engine, 20), Generation(1000), Abort())
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert engine.counters.busy == 0


def test_a_model_without_the_tokens_refuses_to_fill_in(tiny_model: MakeModel) -> None:
    engine = Engine.open(
        tiny_model(TinyModel(name="SmolLM2 tiny")), EngineOptions(threads=1, extra_buffers=False)
    )
    try:
        assert not engine.facts.fills
        with pytest.raises(Unsupported, match="fill in the middle"):
            engine.prompt_of("a", "b")
    finally:
        engine.close()


def test_loading_can_be_given_up(tiny_model: MakeModel) -> None:
    with pytest.raises(HostFailed, match="given up"):
        Engine.open(tiny_model(TinyModel()), EngineOptions(threads=1), lambda percent: False)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_both_kv_types_answer(open_engine: OpenEngine, kv_type: str) -> None:
    options = EngineOptions(threads=1, kv_type="q8_0" if kv_type == "q8_0" else "f16")
    engine = open_engine(TinyModel(answer=b"abc"), options)
    assert answered(engine, raw(engine, "x ="), Generation(64))[0] == "abc"
