"""The page on data formats has a row for every shape that is read, and for every one that is written."""

import inspect

from alpha_umi.cli.prepare import SHAPES as VERBS
from alpha_umi.datasets.shapes import SHAPES
from alpha_umi.datasets.writers import WRITERS
from support.folders import REPOSITORY

PAGE = REPOSITORY / "docs" / "data.md"


def tables():
    order = [*VERBS, "processed"]
    shapes = [f"| `{name}` | {SHAPES[name].title} | {SHAPES[name].columns} |" for name in order]
    writers = [
        f"| `{name}` | {inspect.getdoc(write).partition('. ')[0].removeprefix('Write ')} |"
        for name, write in WRITERS.items()
    ]
    return {
        "shapes": ["| verb | reads | a row |", "|---|---|---|", *shapes],
        "writers": ["| `--to` | a row |", "|---|---|", *writers],
    }


def test_the_page_on_data_formats_is_up_to_date(request):
    page = PAGE.read_text(encoding="utf-8")
    made = page
    for name, lines in tables().items():
        before, _, rest = made.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- end of {name} -->\n")
        made = f"{before}<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end of {name} -->\n{after}"
    if request.config.getoption("--update-golden"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made, "stale: run pytest tests/docs/test_data_shapes.py --update-golden"
