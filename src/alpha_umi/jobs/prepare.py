"""Preparation of training data: raw answers, dialogues, public data sets, files of any shape, rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from alpha_umi.config.calls import validated
from alpha_umi.datasets.shapes import SHAPES
from alpha_umi.jobs.bfcl import prepare_bfcl
from alpha_umi.jobs.groups import VerbGroup
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.jobs.preferences import RejectionSamplingOptions, RejectionSamplingResult, rejection_sample
from alpha_umi.jobs.tau2 import prepare_tau2
from alpha_umi.loading.datasets import open_reader
from alpha_umi.loading.formats import open_format
from alpha_umi.output_lock import locks_out
from alpha_umi.preparation.answers import AnswerOptions, prepare_answers
from alpha_umi.preparation.custom import prepare_custom
from alpha_umi.preparation.gsm8k import Gsm8kOptions, MathTool, prepare_gsm8k
from alpha_umi.preparation.masking import collect_words, mask_some
from alpha_umi.preparation.report import PrepareReport
from alpha_umi.preparation.shaped import prepare_any, prepare_shaped
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.types import Reference, Role, Trajectory

OnProgress: TypeAlias = Callable[[int, int], object]


@validated
@locks_out
def prepare_toolbench(
    answers: Path,
    out: Path,
    *,
    test_ids: Path | None = None,
    emit_stages: Path | None = None,
    compat: Literal[Reference.ALPHA_UMI] | None = None,
    limit: AtLeastOne | None = None,
    workers: AtLeastOne | None = None,
    strict: bool = False,
    on_progress: OnProgress | None = None,
) -> PrepareReport:
    """Convert raw ToolBench answers to trajectories.

    `answers`: the folder with G1_answer, G2_answer, G3_answer; `test_ids`: query ids that are left out; `emit_stages`:
    where raw_data_stage_1/2.json go; `workers`: processes, one per core by default; `strict`: stop at a file that
    cannot be read, in place of counting it. Raises DataError, StorageError.
    """
    options = AnswerOptions(
        test_ids=test_ids,
        stages=emit_stages,
        compat=compat is not None,
        limit=limit,
        workers=workers,
        strict=strict,
    )
    return prepare_answers(answers, out, options, _shown(on_progress))


@validated
@locks_out
def prepare_auto(
    files: Sequence[Path],
    out: Path,
    *,
    limit: AtLeastOne | None = None,
    strict: bool = False,
    on_progress: OnProgress | None = None,
) -> PrepareReport:
    """Convert files of public data sets to trajectories, each by the shape of its first row.

    `strict`: stop at a row that cannot be read, in place of counting it; `on_progress`: called with the bytes read and
    those of all files. Raises DataError; for a file of no known shape it says what the file is.
    """
    return prepare_any(files, out, limit, _shown(on_progress), strict=strict)


def _shape_verb(name: str) -> Callable[..., PrepareReport]:
    """Verb that reads the shape `name` alone."""
    shape = SHAPES[name]

    @validated
    @locks_out
    def prepare_shape(
        files: Sequence[Path],
        out: Path,
        *,
        limit: AtLeastOne | None = None,
        strict: bool = False,
        on_progress: OnProgress | None = None,
    ) -> PrepareReport:
        return prepare_shaped(files, out, shape, limit, _shown(on_progress), strict=strict)

    prepare_shape.__name__ = f"prepare_{name}"
    prepare_shape.__doc__ = f"""Convert {shape.title} to trajectories.

    A row: {shape.columns}. `strict`: stop at a row that cannot be read, in place of counting it; `on_progress`: called
    with the bytes read and those of all files. Raises DataError; for rows of another shape it says what reads them.
    """
    return prepare_shape


@validated
@locks_out
def prepare_files(
    files: Sequence[Path],
    out: Path,
    *,
    reader: str | Callable[[Path], Iterable[Trajectory]],
    limit: AtLeastOne | None = None,
    on_progress: OnProgress | None = None,
) -> PrepareReport:
    """Convert files of any shape to trajectories by a function, or the `module:function` of one.

    Raises ConfigError for a reader that is not there, DataError for what it cannot read.
    """
    read = open_reader(reader) if isinstance(reader, str) else reader
    return prepare_custom(read, files, out, limit, _shown(on_progress))


@validated
@locks_out
def prepare_rollouts(
    runs: Sequence[Path],
    out: Path,
    *,
    pairs: Path | None = None,
    format: str = "shared",  # noqa: A002
    roles: Sequence[Role] | None = None,
    judged: Path | None = None,
    everything: bool = False,
) -> RejectionSamplingResult:
    """Keep verified rollouts as training trajectories, and what their searches tried as preference pairs.

    `pairs`: where the pairs go, in the prompts of `format`, of these `roles`; `judged`: a run of `judge pass` whose
    verdicts count where a rollout has none; `everything`: unverified ones, too. Raises DataError where that is
    nothing.
    """
    options = RejectionSamplingOptions(
        runs=runs,
        out=out,
        pairs=pairs,
        everything=everything,
        judged=judged,
        roles=[Role(each) for each in roles or Role],
    )
    return rejection_sample(options, open_format(format))


@validated
@locks_out
def prepare_word_problems(
    files: Sequence[Path],
    out: Path,
    *,
    tool: MathTool = MathTool.CALCULATOR,
    new_numbers: Annotated[int, Field(ge=0)] = 0,
    seed: int = 0,
    held_out: Sequence[Path] = (),
    limit: AtLeastOne | None = None,
    on_progress: OnProgress | None = None,
) -> PrepareReport:
    """Convert GSM8K's annotated solutions to trajectories that call a calculator, or Python in the sandbox.

    `new_numbers`: new problems per problem, at most, with other numbers along its equations; `held_out`: test halves of
    which no 13 words in a row may stand in a question. Raises DataError, ConfigError where the sandbox cannot run.
    """
    options = Gsm8kOptions(tool=tool, new_numbers=new_numbers, seed=seed, held_out=tuple(held_out), limit=limit)
    return prepare_gsm8k(files, out, options, _shown(on_progress))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedTrajectories:
    """File of trajectories, some of them masked."""

    out: Path
    kept: int
    """Trajectories written."""


@validated
@locks_out
def prepare_mask(
    files: Sequence[Path], out: Path, *, share: Annotated[float, Field(ge=0, le=1)] = 0.5, seed: int = 0
) -> MaskedTrajectories:
    """Rename tools and arguments of a fraction (`share`) of trajectories, so that documents must be read."""
    words = collect_words(trajectory for file in files for trajectory in read_trajectories(file))
    plain = (trajectory for file in files for trajectory in read_trajectories(file))
    return MaskedTrajectories(out=out, kept=write_trajectories(out, mask_some(plain, share, words, seed)))


def _shown(on_progress: OnProgress | None) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(done, total)

    return show


class PrepareVerbs(VerbGroup):
    """Prepare training data: `prepare.toolbench`, `.processed`, `.custom`, `.rollouts`, `.mask` and public data sets.

    Word problems by `.gsm8k`, BFCL's questions by `.bfcl`, tau2-bench's by `.tau2`; data sets by the shape of their
    rows: `.openai`, `.sharegpt`, `.swift`, `.hermes`, `.toolllama`, `.toolace`, `.xlam`, `.toolalpaca`; `.auto` tells
    which. `prepare("toolbench", ...)` is `prepare.toolbench(...)`, as on the command line.
    """

    toolbench = staticmethod(prepare_toolbench)
    processed = staticmethod(_shape_verb("processed"))
    custom = staticmethod(prepare_files)
    auto = staticmethod(prepare_auto)
    openai = staticmethod(_shape_verb("openai"))
    sharegpt = staticmethod(_shape_verb("sharegpt"))
    swift = staticmethod(_shape_verb("swift"))
    hermes = staticmethod(_shape_verb("hermes"))
    toolllama = staticmethod(_shape_verb("toolllama"))
    toolace = staticmethod(_shape_verb("toolace"))
    xlam = staticmethod(_shape_verb("xlam"))
    toolalpaca = staticmethod(_shape_verb("toolalpaca"))
    rollouts = staticmethod(prepare_rollouts)
    mask = staticmethod(prepare_mask)
    gsm8k = staticmethod(prepare_word_problems)
    bfcl = staticmethod(prepare_bfcl)
    tau2 = staticmethod(prepare_tau2)


prepare = PrepareVerbs()
