"""The engine's counters for Prometheus."""

from __future__ import annotations

from rnj_lsp.models.host.engine import EngineCounters
from rnj_lsp.models.host.service import Service

_HELP = {
    "requests": "Requests that reached the engine.",
    "aborted": "Requests whose generation was ended early.",
    "busy": "1 while a request is being answered.",
    "prompt_asked": "Tokens of all prompts.",
    "prompt_reused": "Prompt tokens found in the KV cache.",
    "prompt_evaluated": "Prompt tokens evaluated.",
    "micro_batches": "Micro-batches of prompts finished.",
    "generated": "Tokens generated.",
    "prompt_s": "Seconds spent on prompts.",
    "generation_s": "Seconds spent on generating.",
}


def metrics_text(service: Service) -> str:
    """Return the counters in Prometheus's text format; zeros before the model is loaded."""
    engine = service.engine_now
    counters = engine.counters if engine is not None else EngineCounters()
    lines = []
    for name, text in _HELP.items():
        kind = "gauge" if name == "busy" else "counter"
        lines += _metric(name.removesuffix("_s"), text, kind, getattr(counters, name), name)
    waiting = "Requests waiting for their turn."
    lines += _metric("waiting", waiting, "gauge", service.waiting, "waiting")
    return "\n".join(lines) + "\n"


def _metric(base: str, text: str, kind: str, value: float, name: str) -> list[str]:
    full = f"rnj_host_{base}" + ("_seconds" if name.endswith("_s") else "")
    full += "_total" if kind == "counter" else ""
    return [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f"{full} {value}"]
