"""Tools from OpenAPI documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from alpha_umi.config.calls import validated
from alpha_umi.environments.access import Access, Request
from alpha_umi.environments.openapi.tool_file import ApiTools, parse_auth, read_api_document, write_document
from alpha_umi.errors import ConfigError, DataError, explain_missing_extra
from alpha_umi.event_loops import run_blocking
from alpha_umi.output_lock import locks_out
from alpha_umi.store import write_json
from alpha_umi.text_files import open_text, parse_json
from alpha_umi.types import Json, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiTools:
    """Tools that were made from a document."""

    out: Path
    api: ApiTools
    notes: tuple[str, ...] = ()
    """What in the document is not used, or was read otherwise than it is written, one sentence each."""


@validated
@locks_out
def tools_from_openapi(
    source: str,
    out: Path,
    *,
    base_url: str | None = None,
    auth: Sequence[str] = (),
    only: Sequence[str] = (),
    timeout_s: Annotated[float, Field(gt=0)] = 30.0,
) -> OpenApiTools:
    """Write the operations of an OpenAPI document as a file of tools that call the API.

    `source`: a file (JSON or YAML) or an address; `base_url`: the API's address, in place of the document's; `auth`:
    keys as `header:NAME=$VARIABLE`; `only`: names of tools that are kept; `timeout_s`: of one request. Raises DataError
    for what is no such document, ConfigError for an option.
    """
    keys = tuple(parse_auth(text) for text in auth)
    api, notes = read_api_document(_read(source), source, base_url=base_url, auth=keys)
    if unknown := set(only) - {operation.tool.name for operation in api.operations}:
        names = ", ".join(operation.tool.name for operation in api.operations)
        raise ConfigError(f"--only {min(unknown)!r}: no such tool; there are {names}")
    kept = tuple(each for each in api.operations if not only or each.tool.name in only)
    api = replace(api, operations=kept, timeout_s=timeout_s)
    write_json(out, write_document(api))
    return OpenApiTools(out=out, api=api, notes=notes)


def _read(source: str) -> Json:
    if source.startswith(("http://", "https://")):
        return _parse(run_blocking(_fetch(source)), source)
    with open_text(Path(source)) as text:
        return _parse(text.read(), source)


async def _fetch(url: str) -> str:
    async with Access() as access:
        reply = await access.send(Request(method="GET", url=url))
    if isinstance(reply, Observation):
        raise DataError(f"{url}: {reply.content}")
    if not reply.is_success:
        raise DataError(f"{url}: answers with status {reply.status_code}")
    return reply.text


def _parse(text: str, source: str) -> Json:
    if text.lstrip()[:1] in ("{", "["):
        return parse_json(text, Path(source))
    with explain_missing_extra("judge", f"{source}: reading YAML", instead="save it as JSON"):
        import yaml
    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{source}: broken YAML: {' '.join(str(error).split())[:200]}") from None


def _loader() -> type:
    """Loader of plain values that leaves dates the texts that they are in JSON."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
    return Loader
