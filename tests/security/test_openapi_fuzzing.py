"""Requests that schemathesis makes of the OpenAPI documents of both servers: none is an error of the server's own."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from alpha_umi.serving.endpoint.openapi import openapi_document as agent_document
from alpha_umi.serving.http.guard import LOOPBACK
from alpha_umi.serving.virtual_tools.openapi import openapi_document as tools_document
from alpha_umi.serving.virtual_tools.simulators import WorldSimulator
from support import agent_server, virtual_server
from support.coded_agents import Echo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
EXAMPLES = 40
"""Requests of each operation."""


def attack(document, url):
    """Every operation of a document, asked at a server; the number of requests."""
    import schemathesis  # takes every worker seconds
    from schemathesis.specs.openapi import checks

    refused = [schemathesis.checks.not_a_server_error, checks.status_code_conformance]
    refused += [checks.content_type_conformance, checks.response_schema_conformance]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    sent = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)))
        def ask(case):
            nonlocal sent
            sent += 1
            case.call_and_validate(checks=refused)

        ask()
    return sent


def test_the_endpoint_of_an_agent():
    with agent_server.serving(Echo()) as served:
        assert attack(agent_document(), served.root) > 4 * EXAMPLES


def test_the_virtual_tool_service(tmp_path):
    with virtual_server.serving(tmp_path / "c.sqlite", WorldSimulator("tiny", 0), hosts=LOOPBACK) as served:
        assert attack(tools_document(), served.url) > EXAMPLES
