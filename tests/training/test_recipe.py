"""Methods as steps, the folders of the finished agent, and the recipes that come with the package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.config import RECIPES, TrainConfig, load_config, recipe_names, resolved
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.training.recipe import BASE, agent_roles, keeps_base, make_steps
from alpha_umi.types import Role

METHODS = ("glpft", "single", "one-stage", "multi-task", "glpft-without-reuse")
TINY = {"data": {"train": "t.jsonl"}, "model": {"tiny": {}}, "out": "run"}
PUBLISHED = ("alpha-umi", "alpha-umi-without-reuse", "single-llm", "one-stage", "multi-task", "paper-7b", "paper-13b")


ROLES_OF_THREE = (*AGENT_ROLES, Role.BACKBONE)


def config(method="glpft", **adapter):
    return TrainConfig.model_validate({**TINY, "method": method, "adapter": adapter})


def adapters():
    return st.fixed_dictionaries(
        {"kind": st.sampled_from(["none", "lora", "alora"]), "backbone": st.sampled_from(["full", "lora"])}
    ).flatmap(
        lambda chosen: st.sampled_from([None, False] if chosen["kind"] == "none" else [None, False, True]).map(
            lambda joint: {**chosen, "joint": joint}
        )
    )


def test_glpft_tunes_every_role_from_a_backbone():
    backbone, *roles = make_steps(config())
    assert (backbone.name, backbone.starts_from, backbone.learns) == ("backbone", BASE, (Role.BACKBONE,))
    assert [(step.name, step.starts_from, step.learns) for step in roles] == [
        (role.value, "backbone", (role,)) for role in AGENT_ROLES
    ]
    assert [step.settings.learning_rate for step in (backbone, *roles)] == [5e-5, 1e-5, 1e-5, 1e-5]
    agent = agent_roles(config())
    assert {role: agent.get(role).model for role in ROLES_OF_THREE} == {role: role.value for role in ROLES_OF_THREE}


def test_activated_adapters_are_one_step_on_one_backbone():
    steps = make_steps(config(kind="alora"))
    assert [step.name for step in steps] == ["backbone", "roles"]
    assert steps[1].learns == AGENT_ROLES
    assert steps[1].settings == config().stages.roles
    agent = agent_roles(config(kind="alora"))
    assert {agent.get(role).model for role in ROLES_OF_THREE} == {"backbone"}
    assert [agent.get(role).adapter for role in AGENT_ROLES] == ["roles/planner", "roles/caller", "roles/summarizer"]
    assert agent.backbone.adapter is None


def test_separate_adapters_are_a_step_each():
    steps = make_steps(config(kind="lora"))
    assert [step.name for step in steps] == ["backbone", "planner", "caller", "summarizer"]
    assert [step.adapter is not None for step in steps] == [False, True, True, True]
    assert agent_roles(config(kind="lora")).caller.adapter == "caller"


def test_a_backbone_learned_as_a_lora_is_whole_again():
    backbone = make_steps(config(kind="alora", backbone="lora"))[0]
    assert backbone.merged
    assert (backbone.adapter.kind, backbone.adapter.is_joint) == ("lora", False)
    assert agent_roles(config(kind="alora", backbone="lora")).backbone.adapter is None


def test_the_published_baselines():
    assert [step.name for step in make_steps(config("single"))] == ["backbone"]
    assert [step.starts_from for step in make_steps(config("one-stage"))] == [BASE] * 3
    (multi_task,) = make_steps(config("multi-task"))
    assert multi_task.learns == AGENT_ROLES
    assert {agent_roles(config("multi-task")).get(role).model for role in AGENT_ROLES} == {"multi-task"}
    assert agent_roles(config("single")).is_multi is False
    assert agent_roles(config("one-stage")).backbone is None


def test_the_base_model_is_kept_only_where_adapters_lie_on_it():
    kept = {(method, kind): keeps_base(config(method, kind=kind)) for method in METHODS for kind in ("none", "lora")}
    assert [case for case, keeps in kept.items() if keeps] == [("one-stage", "lora")]


def test_without_reuse_the_two_stages_share_no_instruction_and_leave_none_out():
    backbone, *roles = make_steps(config("glpft-without-reuse"))
    assert {(*backbone.part, *step.part) for step in roles} == {(0.0, 0.5, 0.5, 1.0)}
    assert {step.part for step in make_steps(config())} == {(0.0, 1.0)}


@given(method=st.sampled_from(METHODS), adapter=adapters())
def test_every_step_finds_what_it_starts_from_and_every_role_what_it_uses(method, adapter):
    steps = make_steps(config(method, **adapter))
    there = {BASE}
    for step in steps:
        assert step.starts_from in there
        assert step.name not in there
        there.add(step.name)
    if not keeps_base(config(method, **adapter)):
        there.remove(BASE)
    made = {folder for step in steps for folder in step.folders.values()}
    agent = agent_roles(config(method, **adapter))
    kind = [agent.get(role) for role in Role if agent.get(role) is not None]
    for player in kind:
        assert player.model in there
        assert player.adapter is None or player.adapter in made
    assert set(AGENT_ROLES) <= {role for role in Role if agent.get(role)} or agent.backbone is not None


# --- recipes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_says_in_words_what_it_is(tmp_path, name):
    path = RECIPES / f"{name}.toml"
    recipe = load_config(TrainConfig, path, folder=tmp_path)
    assert make_steps(recipe)
    assert path.read_text().startswith("# ")
    assert recipe.out == str(tmp_path / "runs" / name)
    (tmp_path / "again.toml").write_text(resolved(recipe))
    assert load_config(TrainConfig, tmp_path / "again.toml") == recipe


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_have_the_published_hyper_parameters(name):
    stages = load_config(TrainConfig, RECIPES / f"{name}.toml").stages
    backbone = stages.backbone
    assert (backbone.epochs, backbone.learning_rate, backbone.weight_decay, backbone.warmup_ratio) == (2, 5e-5, 0, 0.4)
    assert backbone.schedule == "constant"
    assert {stage.batch_size for stage in (backbone, stages.planner, stages.caller, stages.summarizer)} == {48}
    if name != "one-stage":
        for stage, epochs, warmup in ((stages.planner, 1, 0.2), (stages.caller, 1, 0.2), (stages.summarizer, 2, 0.4)):
            assert (stage.epochs, stage.warmup_ratio, stage.learning_rate, stage.weight_decay) == (
                epochs,
                warmup,
                1e-5,
                0.01,
            )


def test_each_published_baseline_is_one_recipe():
    methods = {name: load_config(TrainConfig, RECIPES / f"{name}.toml").method for name in PUBLISHED[:5]}
    assert methods == {
        "alpha-umi": "glpft",
        "alpha-umi-without-reuse": "glpft-without-reuse",
        "single-llm": "single",
        "one-stage": "one-stage",
        "multi-task": "multi-task",
    }
