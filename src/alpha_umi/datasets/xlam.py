"""Reader of xLAM rows `{query, answers, tools}`: the calls that a query needs, without their results.

A row without a call says that no tool fits; its plan gives up. Source: Salesforce/xlam-function-calling-60k.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Origin, finish, make_reading, read_call_text
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.formats.turn_builder import TurnBuilder
from alpha_umi.types import Json

_CONSUMED = frozenset({"query", "answers", "tools"})


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row. Raises DataError naming the column."""
    query, answers = row.get("query"), row.get("answers")
    if not isinstance(query, str):
        raise DataError("'query' is no text")
    builder = TurnBuilder()
    builder.user(query)
    if answers in ([], "", "[]", None):
        builder.give_up()
        builder.deviations["rows_without_a_call_read_as_give_up"] += 1
    else:
        try:
            for name, arguments in read_call_text(answers):
                builder.call(name, arguments)
        except DataError as error:
            raise DataError(f"answers: {error}") from None
    columns = {key: value for key, value in row.items() if key not in _CONSUMED}
    yield make_reading(finish(builder, read_tools(row.get("tools")), columns=columns), origin)
