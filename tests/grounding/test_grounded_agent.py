"""A grounded agent: which tools it tries, which call it makes, when it asks, and what it answers."""

import asyncio
import json
import re

import pytest

from alpha_umi.agent import MultiAgent, RoleModel, undrafted, with_role_models, with_streaming
from alpha_umi.environments.acknowledging import AcknowledgingEnvironment
from alpha_umi.formats.load import builtin
from alpha_umi.formats.optional_roles import CriticFormat
from alpha_umi.grounding import GroundedAgent
from alpha_umi.grounding.attempts import Attempts
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.search import DepthFirst, NodeStatus, Tree, explore
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Hint,
    Observation,
    Plan,
    Review,
    Role,
    Task,
    ToolSpec,
    ToolStatus,
    User,
)

FORM = builtin("shared")
ROOM = {"type": "string", "enum": ["kitchen", "study", "bedroom"]}


def tool(name, description, **properties):
    required = [key for key, about in properties.items() if "default" not in about]
    schema = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=description, parameters=schema)


LAMP = tool("set_lamp", "Switch a lamp on.", room=ROOM, brightness={"type": "integer"})
WARM = tool("room_temperature", "How warm a room is.", room=ROOM)
LOANS = tool("list_loans", "The books that a member has at home.", member_id={"type": "integer"})
RENEW = tool("renew_loan", "Keep a book for longer.", member_id={"type": "integer"}, book_code={"type": "string"})
STOCK = tool(
    "get_stock",
    "Pieces left.",
    sku={"type": "string"},
    warehouse={**ROOM, "enum": ["north", "south"], "default": "north"},
)


class Roles:
    """Planner that picks `pick` and else agrees to every tool it begins with; caller with arguments by tool; critic."""

    def __init__(self, pick="", arguments=(), answer="Done.", reviews=()):
        self.pick, self.arguments, self.answer, self.begun = pick, dict(arguments), answer, []
        model = RoleModel(model=ScriptedModel(self.reply))
        roles = dict.fromkeys((Role.PLANNER, Role.CALLER, Role.SUMMARIZER), model)
        if reviews:
            critic = ScriptedModel([CriticFormat(FORM).write(Role.CRITIC, (each,)) for each in reviews])
            roles[Role.CRITIC] = RoleModel(model=critic)
        form = CriticFormat(FORM) if reviews else FORM
        self.agent = GroundedAgent(drafter=MultiAgent(role_models=roles, format=form))

    def reply(self, prompt):
        _, _, said = prompt.rpartition("<|")
        role, _, begun = said.partition("|>")
        if role == "caller":
            name = re.findall(r"<\|planner\|>(\w+)", prompt)[-1]
            values = self.arguments.get(name, {})
            chosen = values.pop(0) if isinstance(values, list) else values
            return f"{name}\n{json.dumps(chosen)}"
        if role == "summarizer":
            return self.answer
        self.begun.append(begun)
        if begun or self.pick:
            return f"{'' if begun else self.pick} fits.<|call|>"
        return "No tool does this.<|conclude|>"

    def propose(self, query, tools, *turns):
        task = Task(id="0", query=query, tools=tools)
        return asyncio.run(self.agent.propose(task, (User(text=query), *turns))).turns


def calls(turns):
    return [(turn.name, json.loads(turn.arguments)) for turn in turns if isinstance(turn, Call)]


def test_a_call_whose_values_were_named_is_made():
    roles = Roles("room_temperature", {"room_temperature": {"room": "bedroom"}})
    assert calls(roles.propose("How warm is it in the bedroom?", (LAMP, WARM))) == [
        ("room_temperature", {"room": "bedroom"})
    ]
    assert roles.begun == [""]  # the planner chose the likeliest tool and left nothing: no other is tried


def test_a_tool_with_a_value_that_nobody_named_is_left_for_another():
    roles = Roles(
        "renew_loan", {"list_loans": {"member_id": 4012}, "renew_loan": {"member_id": 4012, "book_code": "B1"}}
    )
    turns = roles.propose("Which books does member 4012 have at home?", (RENEW, LOANS))
    assert calls(turns) == [("list_loans", {"member_id": 4012})]


def test_a_missing_value_is_asked_for():
    turns = Roles("set_lamp", {"set_lamp": {"room": "study", "brightness": 5}}).propose(
        "Switch on the lamp in the study", (LAMP, WARM)
    )
    assert calls(turns) == []
    assert isinstance(turns[-1], Answer)
    assert "brightness" in turns[-1].text


def test_a_choice_that_no_word_names_is_asked_for():
    lamp = tool("set_lamp", "Switch a lamp on.", room=ROOM)
    turns = Roles("set_lamp", {"set_lamp": {"room": "study"}}).propose("Turn on the lamp.", (lamp, WARM))
    assert calls(turns) == []
    assert "kitchen, study, bedroom" in turns[-1].text


def test_nothing_is_called_where_no_tool_has_to_do_with_the_request():
    turns = Roles("", {"room_temperature": {"room": "study"}}).propose("Sing me a song.", (LAMP, WARM))
    assert [type(turn) for turn in turns] == [Plan, Answer]


def test_a_tool_whose_whole_name_the_request_has_is_called_though_the_planner_declines():
    notes = tool("my_notes", "Notes on a topic.", topic={"type": "string"})
    roles = Roles("", {"my_notes": {"topic": "moss"}})
    assert calls(roles.propose("Show me my notes on moss", (notes, WARM))) == [("my_notes", {"topic": "moss"})]
    assert calls(roles.propose("Show me your list of moss", (notes, WARM))) == []


def test_an_optional_value_that_nobody_named_is_dropped():
    roles = Roles("get_stock", {"get_stock": {"sku": "LD-05", "warehouse": "south"}})
    assert calls(roles.propose("How many pieces of LD-05 are left?", (STOCK,))) == [("get_stock", {"sku": "LD-05"})]


def test_an_optional_value_that_was_named_is_asked_of_the_caller_once_more():
    roles = Roles("get_stock", {"get_stock": [{"sku": "LD-05"}, {"sku": "LD-05", "warehouse": "south"}]})
    turns = roles.propose("How many pieces of LD-05 are left in the south?", (STOCK,))
    assert calls(turns) == [("get_stock", {"sku": "LD-05", "warehouse": "south"})]


def test_a_tool_that_lacked_a_value_is_called_when_an_observation_has_told_it():
    roles = Roles(
        "list_loans", {"list_loans": {"member_id": 4077}, "renew_loan": {"member_id": 4077, "book_code": "B118"}}
    )
    query = "Member 4077 wants to keep their book for longer."
    first = roles.propose(query, (RENEW, LOANS))
    assert calls(first) == [("list_loans", {"member_id": 4077})]
    second = roles.propose(query, (RENEW, LOANS), *first, Observation(content='[{"code": "B118"}]'))
    assert calls(second) == [("renew_loan", {"member_id": 4077, "book_code": "B118"})]


def test_what_is_left_of_a_request_asks_for_a_further_call():
    roles = Roles("room_temperature", {"room_temperature": [{"room": "kitchen"}, {"room": "study"}, {"room": "study"}]})
    query = "How warm are the kitchen and the study?"
    first = roles.propose(query, (WARM,))
    second = roles.propose(query, (WARM,), *first, Observation(content="21.5"))
    assert calls(first + second) == [("room_temperature", {"room": "kitchen"}), ("room_temperature", {"room": "study"})]
    turns = (*first, Observation(content="21.5"), *second, Observation(content="20"))
    assert [turn.decision for turn in roles.propose(query, (WARM,), *turns)] == [Decision.CONCLUDE]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("It is 21.5 degrees.", "It is 21.5 degrees."),
        ("It is 25.1 degrees.", "Room temperature: celsius 21.5."),
        ("It is warm.", "Room temperature: celsius 21.5."),
    ],
)
def test_an_answer_tells_what_the_tools_told(said, answer):
    turns = (
        Plan(thought="", decision=Decision.CALL),
        Call(name="room_temperature", arguments='{"room": "study"}'),
        Observation(content='{"celsius": 21.5}'),
        Plan(thought="", decision=Decision.CONCLUDE),
    )
    assert Roles(answer=said).propose("How warm is the study?", (WARM,), *turns) == (Answer(text=answer),)


def test_an_identifier_alone_is_no_answer():
    turns = (
        Plan(thought="", decision=Decision.CALL),
        Call(name="find_event", arguments='{"title": "lesson"}'),
        Observation(content='{"id": 3, "start": "08:00"}'),
        Plan(thought="", decision=Decision.CONCLUDE),
    )
    found = Roles(answer="It has the number 3.").propose("When is my lesson?", (WARM,), *turns)
    assert found == (Answer(text="Find event: id 3, start 08:00."),)


def test_an_answer_about_a_failure_stays():
    turns = (
        Plan(thought="", decision=Decision.CALL),
        Call(name="room_temperature", arguments='{"room": "study"}'),
        Observation(content="no sensor 7", status=ToolStatus.ERROR),
        Plan(thought="", decision=Decision.CONCLUDE),
    )
    said = Roles(answer="I could not measure it.").propose("How warm is the study?", (WARM,), *turns)
    assert said == (Answer(text="I could not measure it."),)


def test_its_models_can_be_changed_and_nothing_of_it_is_streamed():
    agent = Roles().agent
    changed = with_role_models(agent, lambda role, each: RoleModel(model=each.model, constrained=True))
    assert all(each.constrained for each in changed.drafter.role_models.values())
    assert with_streaming(agent, print) is agent
    assert undrafted(agent) is agent.drafter
    assert undrafted(agent.drafter) is agent.drafter


def test_without_tools_it_is_its_own_agent():
    assert Roles("x").propose("Hello", ())[0].decision is Decision.CALL


CUPS = tool("cups_to_ml", "Cups to millilitres.", cups={"type": "number"})
LENGTH = tool(
    "convert_length",
    "Convert a length.",
    value={"type": "number"},
    to_unit={"type": "string", "enum": ["cm", "mile"]},
)
SPOT = tool("find_spot", "Where a place is.", place={"type": "string"})


def test_each_part_of_a_request_is_called_for_though_the_planner_would_not():
    roles = Roles("", {"convert_length": {"value": 5, "to_unit": "cm"}, "cups_to_ml": {"cups": 3}})
    query = "How much are 5 feet in cm, and how many millilitres are 3 cups?"
    first = roles.propose(query, (CUPS, LENGTH))
    assert calls(first) == [("convert_length", {"value": 5, "to_unit": "cm"})]
    second = roles.propose(query, (CUPS, LENGTH), *first, Observation(content="152.4"))
    assert calls(second) == [("cups_to_ml", {"cups": 3})]
    last = roles.propose(query, (CUPS, LENGTH), *first, Observation(content="152.4"), *second, Observation(content="7"))
    assert calls(last) == []


def test_a_tool_that_takes_another_unit_is_not_called():
    turns = Roles("cups_to_ml", {"cups_to_ml": {"cups": 10}}).propose("How many litres are ten gallons?", (CUPS,))
    assert [type(turn) for turn in turns] == [Plan, Answer]


def test_what_is_left_of_a_name_asks_for_no_further_call():
    made = (Plan(thought="", decision=Decision.CALL), Call(name="find_spot", arguments='{"place": "Bergen"}'))
    for query, further in (("Bergen, Oslo", []), ("Bergen or Oslo", [("find_spot", {"place": "Oslo"})])):
        roles = Roles("", {"find_spot": {"place": "Oslo"}})
        turns = roles.propose(f"Where is the {query}?", (SPOT,), *made, Observation(content="there"))
        assert calls(turns) == further


def test_the_tool_that_tells_what_is_lacking_goes_before_one_that_takes_more():
    text, count = {"type": "string"}, {"type": "integer"}
    order = tool("order_item", "Order an item.", sku=text, count=count, supplier=text)
    price = tool("get_price", "Price of pieces.", sku=text, count=count)
    item = tool("get_item", "Name and supplier of an item.", sku=text)
    arguments = {
        "order_item": {"sku": "SC-22", "count": 30, "supplier": "whoever supplies it"},
        "get_price": {"sku": "SC-22", "count": 30},
        "get_item": {"sku": "SC-22"},
    }
    turns = Roles("order_item", arguments).propose("Order 30 of SC-22 from whoever supplies it.", (order, price, item))
    assert calls(turns) == [("get_item", {"sku": "SC-22"})]


def test_a_value_put_together_is_asked_for_in_words_that_were_said():
    tools = (tool("art_price", "Price of a work of art.", artist={"type": "string"}),)
    said = [{"artist": "Van Gogh's painting, artist Van Gogh"}, {"artist": "Van Gogh"}]
    roles = Roles("art_price", {"art_price": said})
    turns = roles.propose("What is the price of Van Gogh's painting 'Starry Night'?", tools)
    assert calls(turns) == [("art_price", {"artist": "Van Gogh"})]


def test_an_identifier_with_its_value_is_no_name():
    find = tool("find_book", "Where a book stands.", title={"type": "string"})
    arguments = {"find_book": {"title": "member 4077"}, "list_loans": {"member_id": 4077}}
    turns = Roles("find_book", arguments).propose("Where does the book stand that member 4077 has?", (find, LOANS))
    assert calls(turns) == [("list_loans", {"member_id": 4077})]


def test_an_object_for_a_value_is_no_reason_to_fail():
    spec = tool("set_all", "Set all.", body={"type": "object", "properties": {"fan": {"type": "integer"}}})
    turns = Roles("set_all", {"set_all": {"body": {"fan": 3}}}).propose("Set all: fan 3", (spec,))
    assert calls(turns) == [("set_all", {"body": {"fan": 3}})]


def test_a_misspelled_request_is_read_as_the_tools_spell():
    points = tool("team_points", "Points of a team.", team={"type": "string"})
    roles = Roles("", {"team_points": {"team": "Otters"}})
    reply = roles.reply

    def planned(prompt):
        is_spelled = "How many points do the Otters have?" in prompt
        return "team_points fits.<|call|>" if is_spelled and prompt.endswith("<|planner|>") else reply(prompt)

    model = RoleModel(model=ScriptedModel(planned))
    agent = with_role_models(roles.agent, lambda role, each: model)
    for query, made in (
        ("How many ponts do the Otters have?", [("team_points", {"team": "Otters"})]),
        ("How many cats?", []),
    ):
        task = Task(id="0", query=query, tools=(points,))
        assert calls(asyncio.run(agent.propose(task, (User(text=query),))).turns) == made


def test_an_answer_to_when_has_the_time():
    move = tool("move_event", "Move an event.", title={"type": "string"})
    roles = Roles("move_event", {"move_event": {"title": "car service"}}, answer="car service is moved, with id 3.")
    query = "Move my car service. At what time is it then?"
    made = (Plan(thought="x", decision=Decision.CALL), Call(name="move_event", arguments='{"title": "car service"}'))
    seen = Observation(content='{"id": 3, "start": "08:00"}')
    end = Plan(thought="Done.", decision=Decision.CONCLUDE)
    (answer,) = roles.propose(query, (move,), *made, seen, end)
    assert "08:00" in answer.text


ACCOUNT = tool("account", "Owner, balance and branch of an account.", account_no={"type": "string"})
SEND = tool("transfer", "Transfer money.", source={"type": "string"}, target={"type": "string"})
HOURS = tool("branch_hours", "When a branch opens and closes.", branch={"type": "string"})
SEEN = '{"owner": "Mira Kowal", "balance": 15.5, "branch": "Elmgate"}'


@pytest.mark.parametrize(
    ("query", "tools", "arguments", "further"),
    [
        ("How much money is on account AT-204?", (SEND, ACCOUNT),
         {"transfer": {"source": "Mira Kowal", "target": "Elmgate"}}, []),
        ("When does the branch close that has account AT-204?", (ACCOUNT, HOURS),
         {"branch_hours": {"branch": "Elmgate"}}, [("branch_hours", {"branch": "Elmgate"})]),
        ("When does the branch close that has account AT-204?", (ACCOUNT, HOURS),
         {"branch_hours": {"branch": "Mira Kowal"}}, []),
    ],
)  # fmt: skip
def test_what_a_tool_told_is_taken_on_by_arguments_of_its_kind_alone(query, tools, arguments, further):
    made = (Plan(thought="", decision=Decision.CALL), Call(name="account", arguments='{"account_no": "AT-204"}'))
    turns = Roles("", arguments).propose(query, tools, *made, Observation(content=SEEN))
    assert calls(turns) == further


def test_a_tool_that_changes_something_goes_on_only_where_the_request_says_so():
    cancel = tool("cancel_event", "Take an event off.", event_id={"type": "integer"})
    find = tool("find_event", "Find an event by its title.", title={"type": "string"})
    made = (Plan(thought="", decision=Decision.CALL), Call(name="find_event", arguments='{"title": "dentist"}'))
    for query, further in (
        ("When is the event dentist?", []),
        ("Cancel the event dentist", [("cancel_event", {"event_id": 3})]),
    ):
        roles = Roles("", {"cancel_event": {"event_id": 3}})
        turns = roles.propose(query, (find, cancel), *made, Observation(content='{"id": 3, "title": "dentist"}'))
        assert calls(turns) == further


def test_what_the_tool_that_was_asked_for_still_lacks_is_asked_for_at_the_end():
    made = (Plan(thought="", decision=Decision.CALL), Call(name="account", arguments='{"account_no": "AT-204"}'))
    roles = Roles("", {"transfer": {"source": "Mira Kowal", "target": "Elmgate"}})
    turns = roles.propose("Transfer it to AT-204.", (SEND, ACCOUNT), *made, Observation(content=SEEN))
    assert calls(turns) == []
    assert "source and target" in turns[-1].text


def test_a_planner_that_means_a_tool_is_held_to_one_that_can_be_called():
    roles = Roles("branch_hours", {"branch_hours": {"branch": "AT-204"}, "account": {"account_no": "AT-204"}})
    reply = roles.reply
    planned = lambda prompt: "account does not.<|conclude|>" if prompt.endswith("<|planner|>account") else reply(prompt)  # noqa: E731
    model = RoleModel(model=ScriptedModel(planned))
    agent = with_role_models(roles.agent, lambda role, each: model)
    query = "When does the branch close that has account AT-204?"
    task = Task(id="0", query=query, tools=(HOURS, ACCOUNT))
    turns = asyncio.run(agent.propose(task, (User(text=query),))).turns
    assert calls(turns) == [("account", {"account_no": "AT-204"})]


def test_one_verb_of_a_tool_that_changes_something_is_enough():
    text = {"type": "string"}
    order = tool("create_order", "New purchase.", sku=text, supplier=text)
    item = tool("get_item", "Supplier of an item.", sku=text)
    made = (Plan(thought="", decision=Decision.CALL), Call(name="get_item", arguments='{"sku": "SC-22"}'))
    roles = Roles("", {"create_order": {"sku": "SC-22", "supplier": "Tallstep"}})
    turns = roles.propose(
        "Order SC-22 from whoever has it.", (order, item), *made, Observation(content='{"supplier": "Tallstep"}')
    )
    assert calls(turns) == [("create_order", {"sku": "SC-22", "supplier": "Tallstep"})]


# --- what was sent back -------------------------------------------------------------------------------------

DIM = "Set the lamp of the kitchen to 30."
KITCHEN = {"set_lamp": {"room": "kitchen", "brightness": 30}, "room_temperature": {"room": "kitchen"}}
LIT = (
    Plan(thought="set_lamp fits.", decision=Decision.CALL),
    Call(name="set_lamp", arguments=json.dumps(KITCHEN["set_lamp"])),
)
NOTED, DONE = Observation(content="{}"), (Plan(thought="Done.", decision=Decision.CONCLUDE), Answer(text="Done."))
WRONG, RIGHT = Review(text="That is wrong.", accepted=False), Review(text="That is right.", accepted=True)


@pytest.mark.parametrize(
    "sent_back", [(*LIT, NOTED, *DONE, WRONG), (Hint(text="You tried set_lamp with 30.", tried=((*LIT, NOTED),)),)]
)
def test_a_call_that_was_sent_back_is_not_made_again(sent_back):
    roles = Roles(pick="set_lamp", arguments=KITCHEN)
    assert calls(roles.propose(DIM, (LAMP, WARM))) == [("set_lamp", KITCHEN["set_lamp"])]
    assert calls(roles.propose(DIM, (LAMP, WARM), *sent_back)) == [("room_temperature", KITCHEN["room_temperature"])]
    (plan,) = roles.propose(DIM, (LAMP,), *sent_back)
    assert plan.decision is Decision.GIVE_UP


def test_of_several_calls_the_last_is_taken_back_alone():
    before = (User(text=DIM), *LIT, NOTED)
    later = (Plan(thought="", decision=Decision.CALL), Call(name="room_temperature", arguments="{}"), NOTED, *DONE)
    tried = Attempts.of((*before, *later, WRONG))
    assert tried.turns == before
    assert tried.include(Call(name="room_temperature", arguments="{ }"))
    assert not tried.include(LIT[1])
    assert Attempts.of((*before, *later, RIGHT)) == Attempts(turns=(*before, *later))


def test_an_answer_without_a_call_that_was_sent_back_is_no_answer_again():
    tried = Attempts.of((User(text=DIM), *DONE, WRONG))
    assert tried.turns == (User(text=DIM),)
    assert tried.answered
    assert tried.end(DONE)[0].decision is Decision.GIVE_UP
    assert Attempts.of((User(text=DIM),)).end(DONE) == DONE


@pytest.mark.parametrize("strategy", [None, DepthFirst()])
def test_a_critic_sends_a_wrong_answer_back_into_the_search(strategy):
    roles = Roles(pick="set_lamp", arguments=KITCHEN, answer="Done.", reviews=(WRONG, RIGHT))
    task = Task(id="0", query=DIM, tools=(LAMP, WARM))

    async def run():
        tree = Tree(task=task)
        async for node in explore(roles.agent, AcknowledgingEnvironment(task), task, strategy=strategy):
            tree.add(node)
        return tree

    tree = asyncio.run(run())
    assert [call.name for call in tree.best.calls] == ["set_lamp", "room_temperature"]
    assert tree.nodes[-1].status is NodeStatus.ANSWERED
    assert tree.best.turns[-1] == RIGHT


def test_an_answer_that_declines_is_reviewed_too():
    roles = Roles(reviews=(WRONG,))
    assert roles.propose("Sing a song about it.", (LAMP,))[-1] == WRONG


# --- choices, and what is still open ------------------------------------------------------------------------

RAIN = tool("rain_total", "Rain over several days.", first_day={"type": "string", "description": "YYYY-MM-DD"})
RECORD = tool("record", "The day that holds a record.", kind={"type": "string", "enum": ["coldest", "hottest"]})
COLD = {"record": {"kind": "coldest"}}


def test_a_tool_whose_choice_was_named_goes_before_one_that_lacks_a_value():
    query = "On which days was the total rain coldest?"
    assert calls(Roles("", COLD).propose(query, (RAIN, RECORD))) == [("record", {"kind": "coldest"})]


def test_a_tool_whose_choice_was_named_is_asked_about_rather_than_declined():
    vehicle = {"type": "string", "enum": ["car", "van"], "default": "car"}
    fee = tool("parking_fee", "What it costs.", hours={"type": "number"}, vehicle=vehicle)
    assert "hours" in Roles().propose("What must I pay for my van?", (fee,))[-1].text
    assert "none of my tools" in Roles().propose("Charge the battery of my car.", (fee,))[-1].text


def test_what_the_request_still_asks_is_looked_up_by_what_was_told():
    find = tool("find_work", "Look a work up.", title={"type": "string"})
    hall = tool("hall_info", "Floor and theme of a hall.", hall={"type": "integer"})
    made = (Plan(thought="", decision=Decision.CALL), Call(name="find_work", arguments='{"title": "Blue Orchard"}'))
    roles = Roles("", {"hall_info": {"hall": 7}})
    query = "On which floor is the Blue Orchard?"
    told = Observation(content='{"artist": "Lund", "hall": 7}')
    assert calls(roles.propose(query, (find, hall), *made, told)) == [("hall_info", {"hall": 7})]
    who = "Who made the Blue Orchard?"
    assert calls(roles.propose(who, (find, hall), *made, told)) == []


def test_an_answer_tells_the_field_that_was_asked_for():
    roles = Roles("reading", {"reading": {"day": "2025-03-15"}}, answer="It was 4.1 degrees.")
    reading = tool("reading", "What was measured.", day={"type": "string", "description": "YYYY-MM-DD"})
    made = (Plan(thought="", decision=Decision.CALL), Call(name="reading", arguments='{"day": "2025-03-15"}'))
    told = Observation(content='{"low_c": 4.1, "gust_kmh": 71}')
    end = Plan(thought="Done.", decision=Decision.CONCLUDE)
    (answer,) = roles.propose("How strong were the gusts on 15 March 2025?", (reading,), *made, told, end)
    assert "71" in answer.text
