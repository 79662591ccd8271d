"""ToolBench's tools: names, documents, the service protocol, shortening, and its code injection, which we lack."""

import asyncio
import json
import random
from urllib.parse import parse_qs, urlsplit

import pytest

from alpha_umi.datasets.toolbench import Reading, read_answer
from alpha_umi.environments.access import Access
from alpha_umi.environments.budgets import Budget, Cut, keep_declared, shorten
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.environments.rapidapi import RapidApiEnvironment, load_apis
from alpha_umi.environments.recording import Recording
from alpha_umi.environments.reference import Replies
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.tool_json import (
    DESCRIPTION_LENGTH,
    PROCESSED_LENGTH,
    argument_name,
    category_name,
    read_api,
    standard_name,
    write_spec,
    write_trained_spec,
)
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.types import Call, Observation, Reference, ToolStatus
from support.folders import golden_dir
from support.published_data import OUT_OF_DOMAIN
from support.tool_server import serving

FOLDER = golden_dir("rapidapi")
FLAVOURS = {"umi": Reference.ALPHA_UMI, "openbmb": Reference.OPENBMB}


def load(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def apis():
    """(category, tool, api) -> the APIs declared so; files repeat some."""
    found = {}
    for root in sorted(FOLDER.glob("toolenv*/tools")):
        for api in load_apis(root):
            found.setdefault((api.category, api.tool, api.name), []).append(api)
    return found


def test_names_are_as_published():
    for row in load("names.json"):
        assert standard_name(row["in"]) == row["standardize"]
        assert argument_name(row["in"]) == row["change_name"]
        assert category_name(row["in"]) == row["standardize_category"]


def as_function(spec):
    return {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}


def test_every_api_is_described_as_published(apis):
    rows = [json.loads(line) for path in FOLDER.glob("*.jsonl") for line in path.read_text().splitlines()]
    if not rows:
        pytest.skip(f"no described APIs at {FOLDER}")
    for row in rows:
        written = [as_function(write_spec(api)) for api in apis[row["category"], row["tool"], row["api"]]]
        assert row["umi"][0] in written


def documents(specs):
    return [json.dumps(write_document(spec), ensure_ascii=False) for spec in specs]


def recorded_documents(functions):
    """The documents that training makes of the functions which an answer file records."""
    answer = {"answer_generation": {"query": "q", "function": functions, "train_messages": [[]]}}
    reading = read_answer(answer, "1")
    assert isinstance(reading, Reading)
    return documents(reading.trajectory.task.tools)


def test_live_documents_are_the_training_documents_byte_for_byte():
    compared = 0
    for case in load("env_construction.json"):
        built = case["openbmb"] if isinstance(case["openbmb"], dict) else case["umi"]
        if "functions" not in built:
            continue  # the published code stops at this query
        trained = recorded_documents(built["functions"])
        live = documents(write_trained_spec(read_api(api)) for api in case["query"]["api_list"])
        assert live == trained
        compared += len(live)
    assert compared


def equal_documents(apis, specs, length):
    """How many specs name a known API, and of how many of them the document is one that we write."""
    written = {}
    for same in apis.values():
        for spec in (write_trained_spec(api, length) for api in same):
            written.setdefault(spec.name, set()).update(documents([spec]))
    known = [spec for spec in specs if spec.name in written]
    return len(known), sum(set(documents([spec])) <= written[spec.name] for spec in known)


def test_documents_of_recorded_answers_come_out_byte_for_byte(apis):
    specs = []
    for path in golden_dir("prepro").glob("*/answer/*/*.json"):
        reading = read_answer(json.loads(path.read_text()), path.stem)
        specs += reading.trajectory.task.tools if isinstance(reading, Reading) else ()
    known, equal = equal_documents(apis, specs, DESCRIPTION_LENGTH)
    assert equal == known > 0


def test_documents_of_the_published_test_file_come_out_byte_for_byte_at_its_length(apis):
    path = OUT_OF_DOMAIN
    if not path.exists():
        pytest.skip(f"no {path}")
    specs = [spec for trajectory in read_processed_file(path) for spec in trajectory.task.tools]
    known, equal = equal_documents(apis, specs, PROCESSED_LENGTH)
    assert known > 0.99 * len(specs)
    assert equal >= known - 1  # one API has another description there


# --- the service protocol ---------------------------------------------------------------------------------


def step_cases():
    document = load("step_cases.json")
    for case in document["cases"]:
        if case["action_name"] != "Finish" and case["tag"] != "direct_rapidapi":
            yield document["query"], case


@pytest.mark.parametrize("reference", FLAVOURS)
def test_the_published_clients_observations_are_reproduced_over_real_http(reference):
    """Their Finish is no tool here; where they stop with an error we answer with one."""

    async def check(query, case, access):
        expected = case[reference]
        service = Service(url=server.url, key="TK", compat=FLAVOURS[reference])
        environment = HttpEnvironment(service, [read_api(api) for api in query["api_list"]], access)
        given = case["action_input"] or ""
        call = Call(name=case["action_name"], arguments=given if isinstance(given, str) else json.dumps(given))
        before = len(server.seen)
        seen = await environment.execute(call)
        if "error" in expected:
            assert seen.status is not ToolStatus.OK or case["tag"] == "name_match"
            return 0
        assert seen.content == expected["observation"] or "maxlen" in case
        code = expected["code"]
        assert (seen.status is ToolStatus.OK) == (code == 0)
        assert (seen.status is ToolStatus.UNKNOWN_TOOL) == (code == 1)
        sent = [request.json for request in server.seen[before:]]
        if case["action_input"] is not None:
            # A call's arguments are text here, also where the published client was given an object.
            wanted = [request["json"] for request in expected["requests"]]
            assert sent == [{**each, "tool_input": call.arguments} for each in wanted]
            assert all(each["tool_input"] == given for each in wanted)
        return 1

    current = {}

    def answer(_):
        service = current["case"]["service"] or {"status_code": 200, "body": {"error": "", "response": "DEFAULT"}}
        if service == "TIMEOUT":
            raise ConnectionAbortedError
        body = service["body"]
        return service["status_code"], body if isinstance(body, str) else json.dumps(body)

    async def check_all():
        async with Access() as access:
            checked = 0
            for query, case in step_cases():
                current["case"] = case
                checked += await check(query, case, access)
        return checked

    with serving(answer) as server:
        assert asyncio.run(check_all())


def test_observations_are_cut_and_coded_as_published():
    for _, case in step_cases():
        if not isinstance(case["service"], dict):
            continue
        body = case["service"]["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        for name, reference in FLAVOURS.items():
            if "observation" in case[name]:
                replies = Replies(reference, case.get("maxlen", 1024))
                wanted = (case[name]["observation"], case[name]["code"])
                assert replies.decode(case["service"]["status_code"], text) == wanted


def test_a_name_that_is_only_the_end_of_a_tools_name_is_unknown_by_default():
    query, _ = next(step_cases())
    environment = HttpEnvironment(
        Service(url="http://127.0.0.1:9/never-asked"), [read_api(api) for api in query["api_list"]]
    )
    for name in ("", "s", "inish", environment.tools[0].name[1:], environment.tools[0].name.upper()):
        seen = asyncio.run(environment.execute(Call(name=name, arguments="{}")))
        assert seen.status is ToolStatus.UNKNOWN_TOOL


# --- shortening -------------------------------------------------------------------------------------------


def test_replies_are_filtered_by_their_schema_as_published():
    for row in load("server_cases.json")["dict_shorten"]:
        kept = keep_declared(row["origin"], row["schema"])
        assert "error" in row["out"] or kept == row["out"]["ok"]  # where theirs stops ours goes on


def test_strip_modes_are_as_published():
    document = load("server_cases.json")["observation_shorten"]
    schemas = {}
    for path, tool in document["schema_root"].items():
        category, name = path.removesuffix(".json").split("/")
        for api in tool["api_list"]:
            schemas[f"{category}/{name}/{argument_name(api['name'])}"] = api["schema"]
    compared = 0
    for row in document["rows"]:
        response = row["response_dict"]["response"]
        if "ok" not in row["out"] or not isinstance(response, dict):
            continue
        cut = row["strip"] if row["strip"] in list(Cut) else "truncate"
        budget = Budget(cut=Cut(cut), max_chars=10**6, schemas=schemas)
        chance = random.Random(row["seed"])
        tool = f"{row['category']}/{row['tool']}/{row['api']}"
        # The published server writes Python, not JSON.
        assert str(json.loads(shorten(json.dumps(response), budget, tool, chance))) == row["out"]["ok"], row
        compared += 1
    assert compared


# --- injection --------------------------------------------------------------------------------------------


def test_what_the_published_server_runs_as_code_arrives_as_text():
    """The golden's payload and all its other inputs, sent as GET parameters and as a JSON body."""
    rows = [row for row in load("server_cases.json")["get_rapidapi_response"]["rows"] if row["api_name"] == "echo"]
    assert rows

    async def check_all():
        async with Access() as access:
            for method in ("GET", "POST"):
                document = {
                    "name": "echo",
                    "url": f"{server.url}/echo",
                    "method": method,
                    "required_parameters": [],
                    "optional_parameters": [{"name": "a", "type": "STRING"}, {"name": "b", "type": "STRING"}],
                }
                api = read_api(document, {"tool_name": "dice"}, "Gaming")
                for row in rows:
                    text = row["tool_input"] if isinstance(row["tool_input"], str) else json.dumps(row["tool_input"])
                    await check_echo(api, text, server, access)

    with serving(lambda seen: (200, "ok")) as server:
        asyncio.run(check_all())


async def check_echo(api, text, server, access):
    environment = RapidApiEnvironment([api], key="RK", access=access)
    before = len(server.seen)
    seen = await environment.execute(Call(name="echo_for_dice", arguments=text))
    try:
        given = json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        given = None
    if not isinstance(given, dict) or set(given) - {"a", "b"}:
        assert seen.status is ToolStatus.BAD_ARGUMENTS
        assert len(server.seen) == before
        return
    assert seen == Observation(content="ok")
    request = server.seen[-1]
    given = {key: value for key, value in given.items() if value is not None}
    if api.method == "POST":
        assert request.json == given
    else:
        arrived = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        assert arrived == {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    assert request.headers["X-RapidAPI-Key"] == "RK"


# --- the replay cache -------------------------------------------------------------------------------------


def test_all_recorded_calls_are_found_again_however_their_arguments_are_written():
    recording, calls = Recording(), 0
    rows = [
        json.loads(line)
        for path in sorted(golden_dir("replay_cache").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    for row in rows:
        text = row["observations"][0]["observation"]
        recording.add(Call(name=row["function"], arguments=row["arguments"]), Observation(content=text))
    for row in rows:
        try:
            rewritten = json.dumps(json.loads(row["arguments"]), indent=2)
        except ValueError:
            rewritten = f"  {row['arguments']}\n"
        found = recording.find(Call(name=row["function"], arguments=rewritten))
        assert found is not None
        calls += 1
    assert calls == len(rows) > 0
