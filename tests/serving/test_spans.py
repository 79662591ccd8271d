"""Spans of served replies, as an exporter of OpenTelemetry gets them."""

import pytest

from alpha_umi.serving.endpoint.spans import OPT_IN, STABILITY, Spans, open_spans
from support.agent_server import serving

sdk = pytest.importorskip("opentelemetry.sdk.trace")


def test_a_reply_is_a_span_around_its_plans_completions_and_calls():
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with serving(spans=Spans(provider.get_tracer("test"))) as served:
        assert served.chat("What is the weather in Lima?").status_code == 200
    *inner, whole = exporter.get_finished_spans()
    assert whole.name == "invoke_agent umi-tiny"
    assert [span.name for span in inner] == [
        "plan planner",
        "chat caller",
        "execute_tool conditions_for_skycast",
        "plan planner",
        "chat summarizer",
    ]
    assert {span.parent.span_id for span in inner} == {whole.context.span_id}
    assert inner[0].attributes["gen_ai.usage.input_tokens"] > 0
    assert "Lima" not in str([dict(span.attributes) for span in (*inner, whole)])


def test_spans_are_made_where_the_environment_asks_for_them_alone(monkeypatch):
    monkeypatch.delenv(STABILITY, raising=False)
    assert open_spans() is None
    monkeypatch.setenv(STABILITY, f"http,{OPT_IN}")
    assert open_spans() is not None
