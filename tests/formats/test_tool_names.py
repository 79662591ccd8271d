"""Names of tools in every script: as models write them, and as endpoints allow them."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.formats.react import ReActFormat
from alpha_umi.formats.tool_json import Api, argument_name, spoken_argument, spoken_name, standard_name, write_spec
from alpha_umi.models.function_names import stand_in
from alpha_umi.types import Call, Role
from support.examples import examples

LETTERS = "กขคงจชดตนบปมยรลวสอคำนี้あいうえおかきくけこアイウエオ가나다라마абвгдαβγδεאבגדابتثकखगघ"


def test_ten_thousand_names_of_many_scripts_are_distinct_for_models_and_for_endpoints():
    rng = random.Random(0)
    names = {" ".join("".join(rng.choices(f"{LETTERS}天气 a7", k=rng.randint(4, 70))).split()) for _ in range(10_100)}
    spoken = {write_spec(Api(category="c", tool=f"ร้าน {name[:3]}", name=name)).name for name in names}
    assert len(spoken) == len(names) > 10_000
    assert max(map(len, spoken)) == 64
    sent = {stand_in(name) for name in spoken}
    assert len(sent) == len(spoken)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in sent)


@settings(max_examples=examples(200))
@given(st.text(f"{LETTERS}aZ1é_-!μ天", max_size=12))
def test_the_spoken_name_of_a_spoken_name_is_itself(name):
    for spoken in (spoken_name, spoken_argument):
        assert spoken(spoken(name)) == spoken(name)


def test_only_names_that_lose_a_word_are_spoken_otherwise_than_in_toolbench():
    for name in (
        "Météo d'aujourd'hui - Niamey",
        "Creatinine in μmol/L",
        "天气 API",
        "2 Fast",
        "naïve",
        "from",
        "🌤",
        "",
    ):
        assert spoken_name(name) == standard_name(name)
        assert spoken_argument(name) == argument_name(name)
    told = {
        "ค้นหา API": "ค้นหา_api",
        "日本語テスト": "日本語テスト",
        "2 погода": "get_2_погода",
        "あ": "あ",
        "날씨-Now!": "날씨_now",
    }
    assert {name: spoken_name(name) for name in told} == told


def test_names_with_combining_marks_are_read_in_every_notation():
    for name in ("ค้นหา_for_วิกิ", "मौसम", "날씨", "かな"):
        for body in (
            "[{}(a=1)]",
            "{}(a=1)",
            '{}[ARGS]{{"a": 1}}',
            '{{"name": "{}", "arguments": {{"a": 1}}}}',
            "{}\n<arg_key>a</arg_key><arg_value>1</arg_value>",
            "<function={}><parameter=a>1</parameter></function>",
        ):
            turns = ReActFormat().parse(Role.BACKBONE, f"I look.<tool_call>{body.format(name)}</tool_call>")
            assert turns[1:] == (Call(name=name, arguments='{"a": 1}'),)
