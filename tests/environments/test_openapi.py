"""OpenAPI documents as tools: names, schemas, requests, keys, replies, and documents that are broken or hostile."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from alpha_umi.config import EnvironmentConfig
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.openapi.environment import OpenApiEnvironment
from alpha_umi.environments.openapi.tool_file import load_api_tools, parse_auth, read_api_document, write_document
from alpha_umi.environments.rapidapi import load_apis
from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.jobs.toolbox import open_toolbox, read_environment
from alpha_umi.jobs.tools import tools_from_openapi
from alpha_umi.loading.environments import open_environment
from alpha_umi.types import Call, Task, ToolStatus
from support.commands import run_here
from support.examples import examples

PET = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "example": "Rex"},
        "tags": {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
}
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Pets & co", "description": "All pets."},
    "servers": [{"url": "https://{region}.pets.test/v1/", "variables": {"region": {"default": "eu"}}}],
    "security": [{"key": []}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        "schemas": {"Pet": PET, "Tag": {"type": "string", "enum": ["cat", "dog"]}},
        "parameters": {"limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}},
        "requestBodies": {
            "pet": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}
        },
    },
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "get pet",
                "summary": "One pet.",
                "parameters": [{"name": "X-Key", "in": "header", "schema": {}}],
            },
            "/pets/{id}/owner": {
                "get": {
                    "summary": "Its owner.",
                    "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
                }
            },
        },
        "/pets": {
            "get": {
                "parameters": [
                    {"$ref": "#/components/parameters/limit"},
                    {
                        "name": "tag",
                        "in": "query",
                        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}},
                    },
                    {
                        "name": "ids",
                        "in": "query",
                        "explode": False,
                        "schema": {"type": "array", "items": {"type": "integer"}},
                    },
                    {"name": "where", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                ]
            },
            "post": {"operationId": "add", "requestBody": {"$ref": "#/components/requestBodies/pet"}},
            "put": {
                "operationId": "add",
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {"schema": {"properties": {"a b": {"type": "string"}}}}
                    }
                },
            },
            "patch": {
                "operationId": "many",
                "requestBody": {
                    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "integer"}}}}
                },
            },
        },
    },
}


def read(document=DOCUMENT, **options):
    return read_api_document(document, "pets.json", **options)


@dataclass
class RecordedAccess:
    """Access that keeps requests and answers each with one reply."""

    reply: httpx2.Response = field(default_factory=lambda: httpx2.Response(200, json={"ok": "Málaga"}))
    requests: list = field(default_factory=list)

    async def send(self, request, repeatable=True, **_):
        self.requests.append((request, repeatable))
        return self.reply

    def redact(self, text):
        return text

    async def aclose(self):
        pass


@pytest.fixture
def access(monkeypatch):
    monkeypatch.setenv("PETS_CO_KEY", "s3cret")
    return RecordedAccess()


def call(access, name, /, **arguments):
    environment = OpenApiEnvironment(read()[0], access=access)
    return asyncio.run(environment.execute(Call(name=name, arguments=json.dumps(arguments))))


def test_operations_become_tools_with_valid_schemas():
    api, notes = read()
    tools = {operation.tool.name: operation.tool for operation in api.operations}
    assert list(tools) == ["get_pet", "pets_get", "add", "add_2", "many", "pets_id_owner_get"]
    assert tools["get_pet"].description == "One pet."
    assert list(tools["get_pet"].parameters["properties"]) == ["id"]  # the key is no argument
    assert tools["pets_get"].parameters["properties"]["tag"]["items"] == {"type": "string", "enum": ["cat", "dog"]}
    added = tools["add"].parameters
    assert added["required"] == ["name"]
    assert added["properties"]["name"] == {"type": "string"}
    assert added["properties"]["parent"]["properties"]["parent"] == {"$ref": "#/$defs/Pet"}
    assert list(tools["many"].parameters["properties"]) == ["body"]
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.parameters)
    assert any("holds itself" in note for note in notes)
    assert any("stands inside the path" in note for note in notes)
    assert any("another operation is called 'add'" in note for note in notes)
    assert api.base_url == "https://eu.pets.test/v1"


@pytest.mark.parametrize(
    ("name", "arguments", "method", "url", "content"),
    [
        ("get_pet", {"id": "a/b c"}, "GET", "/pets/a%2Fb%20c", None),
        ("pets_get", {"limit": 2, "tag": ["cat", "dog"], "ids": [1, 2], "where": {"age": 3}}, "GET",
         "/pets?limit=2&tag=cat&tag=dog&ids=1%2C2&where%5Bage%5D=3", None),
        ("pets_get", {}, "GET", "/pets", None),
        ("add", {"name": "é", "tags": ["cat"]}, "POST", "/pets", {"name": "é", "tags": ["cat"]}),
        ("add_2", {"a b": "x&y"}, "PUT", "/pets", b"a+b=x%26y"),
        ("many", {"body": [1, 2]}, "PATCH", "/pets", [1, 2]),
    ],
)  # fmt: skip
def test_a_call_is_the_request_that_the_document_describes(access, name, arguments, method, url, content):
    seen = call(access, name, **arguments)
    assert (seen.content, seen.status) == ('{"ok":"Málaga"}', ToolStatus.OK)
    ((request, repeatable),) = access.requests
    assert (request.method, request.url) == (method, f"https://eu.pets.test/v1{url}")
    sent = request.content if isinstance(content, bytes) or content is None else json.loads(request.content)
    assert sent == content
    assert request.headers["X-Key"] == "s3cret"
    assert repeatable is (method == "GET")


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("get_pet", {}, ToolStatus.BAD_ARGUMENTS),
        ("get_pet", {"id": ".."}, ToolStatus.BAD_ARGUMENTS),
        ("get_pet", {"id": "x", "X-Key": "mine"}, ToolStatus.BAD_ARGUMENTS),
        ("pets_get", {"tag": ["cow"]}, ToolStatus.BAD_ARGUMENTS),
        ("nope", {}, ToolStatus.UNKNOWN_TOOL),
    ],
)
def test_a_wrong_call_is_an_observation_and_no_request(access, name, arguments, status):
    assert call(access, name, **arguments).status is status
    assert not access.requests


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (httpx2.Response(404, text="no pet"), ToolStatus.ERROR, "status 404: no pet"),
        (httpx2.Response(429), ToolStatus.RATE_LIMITED, "429"),
        (
            httpx2.Response(200, content=b"\x89PNG", headers={"content-type": "image/png"}),
            ToolStatus.OK,
            "4 bytes of image/png",
        ),
        (httpx2.Response(204), ToolStatus.OK, "status 204 and no content"),
        (httpx2.Response(200, text="<|im_start|>"), ToolStatus.OK, "<|im_start|>"),
    ],
)
def test_replies_are_observations(access, reply, status, said):
    access.reply = reply
    seen = call(access, "get_pet", id="1")
    assert seen.status is status
    assert said in seen.content


def test_keys_are_named_and_never_stored(monkeypatch, tmp_path):
    api, _ = read(auth=(parse_auth("query:limit=$LIMIT_KEY"),))
    assert [(each.place, each.name, each.value) for each in api.auth] == [
        ("query", "limit", "$LIMIT_KEY"),
        ("header", "X-Key", "$PETS_CO_KEY"),
    ]
    monkeypatch.setenv("LIMIT_KEY", "k&y")
    with pytest.raises(ConfigError, match="PETS_CO_KEY is not set"):
        OpenApiEnvironment(api)
    monkeypatch.setenv("PETS_CO_KEY", "other")
    fake = RecordedAccess()
    environment = OpenApiEnvironment(api, access=fake)
    asyncio.run(environment.execute(Call(name="pets_get", arguments='{"ids": [1]}')))
    assert fake.requests[0][0].url.endswith("/pets?ids=1&limit=k%26y")
    assert "limit" not in dict(environment.tools[1].parameters["properties"])
    assert "k&y" not in json.dumps(write_document(api))
    assert OpenApiEnvironment(api).access.redact("it is k%26y, or k&y, or other") == "it is [key], or [key], or [key]"
    monkeypatch.setenv("LIMIT_KEY", "a\nb")
    with pytest.raises(ConfigError, match="more than one line"):
        OpenApiEnvironment(api)


def test_swagger_2_documents_are_read():
    document = {
        "swagger": "2.0", "info": {"title": "Old"}, "host": "old.test", "basePath": "/api", "schemes": ["http"],
        "securityDefinitions": {"b": {"type": "basic"}}, "security": [{"b": []}],
        "paths": {"/a": {"post": {"parameters": [
            {"name": "n", "in": "query", "type": "array", "items": {"type": "string"}, "description": "some"},
            {"name": "thing", "in": "body", "required": True, "schema": {"$ref": "#/definitions/T"}}]}}},
        "definitions": {"T": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}},
    }  # fmt: skip
    api, _ = read(document)
    (operation,) = api.operations
    assert (api.base_url, operation.tool.name, api.auth[0].value) == ("http://old.test/api", "a_post", "Basic $OLD_B")
    assert operation.tool.parameters["required"] == ["x"]
    assert operation.tool.parameters["properties"]["n"]["description"] == "some"


def test_a_file_of_tools_is_read_again_and_is_toolbench_json_too(tmp_path):
    (tmp_path / "pets.json").write_text(json.dumps(DOCUMENT))
    out = tmp_path / "Animals" / "tools.json"
    done = tools_from_openapi(str(tmp_path / "pets.json"), out, timeout_s=3, only=["get_pet", "add"])
    assert load_api_tools(out) == done.api
    assert [operation.tool.name for operation in done.api.operations] == ["get_pet", "add"]
    apis = load_apis(out)
    assert [(api.name, api.method, api.category, len(api.required)) for api in apis] == [
        ("get_pet", "GET", "Animals", 1),
        ("add", "POST", "Animals", 1),
    ]
    with pytest.raises(ConfigError, match="no such tool; there are get_pet"):
        tools_from_openapi(str(tmp_path / "pets.json"), out, only=["gone"])


@pytest.mark.parametrize("name", ["tools.json", "pets.json"])
def test_tools_and_environments_take_the_file_and_the_document(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PETS_CO_KEY", "x")
    (tmp_path / "pets.json").write_text(json.dumps(DOCUMENT))
    assert run_here("tools", "from-openapi", tmp_path / "pets.json", "--out", tmp_path / "tools.json").code == 0
    task, environment = open_toolbox(tmp_path / name).open("A pet?")
    assert [tool.name for tool in task.tools] == [tool.name for tool in environment.tools]
    config = read_environment(str(tmp_path / name))
    assert isinstance(config, EnvironmentConfig)
    opened = open_environment(config).open(Query(task=Task(id="t", query="q")))
    assert len(opened.tools) == 6


def test_yaml_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "openapi: 3.1.0\ninfo: {title: T, version: 2020-01-01}\nservers: [{url: 'https://t.test'}]\n"
        "paths:\n  /x:\n    get:\n      responses: {200: {description: fine}}\n"
    )
    done = run_here("tools", "from-openapi", tmp_path / "a.yaml", "--out", tmp_path / "t.json")
    assert (done.code, "x_get: GET /x" in done.out) == (0, True), done
    (tmp_path / "b.yaml").write_text("a: [")
    with pytest.raises(DataError, match="broken YAML"):
        tools_from_openapi(str(tmp_path / "b.yaml"), tmp_path / "t.json")


def minimal(**more):
    return {"openapi": "3.0.0", "servers": [{"url": "https://a.test"}], "paths": {"/a": {"get": {}}}, **more}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no OpenAPI document"),
        ({"openapi": "3.0.0"}, "'paths' is needed"),
        (minimal(paths={}), "holds no operation"),
        (minimal(servers=[{"url": "/v3"}]), r"'/v3' is no whole one; give it by --base-url"),
        (minimal(servers=[{"url": "file:///etc"}]), "is no whole one"),
        (minimal(servers=[]), "does not tell the API's address"),
    ],
)
def test_a_document_without_tools_is_refused(document, said):
    with pytest.raises(DataError, match=said):
        read(document)


def test_cycles_and_missing_references_are_noted_and_the_rest_is_read():
    document = minimal(
        components={"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}},
        paths={"/a": {"get": {"parameters": [
            {"name": "x", "in": "query", "schema": {"$ref": "#/components/schemas/A"}},
            {"name": "y", "in": "query", "schema": {"$ref": "#/gone"}},
            {"name": "z", "in": "query", "schema": {"$ref": "other.yaml#/Z"}},
            {"$ref": "#/gone/too"}]}}},
    )  # fmt: skip
    api, notes = read(document)
    assert list(api.operations[0].tool.parameters["properties"]) == ["x", "y", "z"]
    for said in ("refers to itself", "'#/gone' names nothing", "in another document", "has no name"):
        assert any(said in note for note in notes), said


def test_schemas_that_multiply_stay_small():
    schemas = {
        f"S{n}": {"properties": {k: {"$ref": f"#/components/schemas/S{n + 1}"} for k in "abcdefgh"}} for n in range(12)
    }
    schemas["S12"] = {"type": "string"}
    parameter = {"name": "x", "in": "query", "schema": {"$ref": "#/components/schemas/S0"}}
    api, _ = read(minimal(components={"schemas": schemas}, paths={"/a": {"get": {"parameters": [parameter]}}}))
    assert len(json.dumps(write_document(api))) < 2_000_000


KEYS = (
    *("get", "parameters", "name", "in", "schema", "$ref", "type", "properties", "allOf", "requestBody", "content"),
    *("application/json", "required", "/a", "/a/{b}", "security", "x"),
)
VALUES = st.sampled_from(["", "a", "query", "path", "#/paths", "#/components/x", "string", "/b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(30))
@given(JSON, JSON, JSON)
def test_any_document_is_read_or_refused(paths, components, security):
    with suppress(AlphaUMiError):
        read(minimal(paths=paths, components=components, security=security))
