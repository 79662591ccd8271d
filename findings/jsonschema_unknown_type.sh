#!/usr/bin/env bash
# jsonschema 4.26.0: a type that JSON Schema does not know ("float", "dict"), as tools of many data sets declare it.
# Guessed: `is_valid` returns True or False; whether the schema is wrong does not depend on the value.
# Seen:    `is_valid` raises UnknownType, which is neither a ValidationError nor a SchemaError, and only for values that reach the type:
#          not for one that fits an earlier type of the list, nor where the property is missing. So a schema passes its tests and raises later.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jsonschema==4.26.0
cd "$folder"
PYTHONPATH='' venv/bin/python -W error - <<'PY'
from importlib.metadata import version

import jsonschema

CASES = [
    ({"type": ["string", "float"]}, "a"),
    ({"type": ["string", "float"]}, 1.5),
    ({"properties": {"price": {"type": "float"}}}, {}),
    ({"properties": {"price": {"type": "float"}}}, {"price": 1.5}),
    ({"anyOf": [{"type": "float"}, {"type": "number"}]}, 1.5),
]


def outcome(schema, value):
    try:
        return jsonschema.Draft202012Validator(schema).is_valid(value)
    except Exception as error:
        assert not isinstance(error, jsonschema.ValidationError | jsonschema.SchemaError), "this has changed"
        return type(error).__name__


print(f"jsonschema {version('jsonschema')}")
seen = [outcome(schema, value) for schema, value in CASES]
for (schema, value), said in zip(CASES, seen):
    print(f"  {schema} of {value!r}: {said}")
assert seen == [True, "UnknownType", True, "UnknownType", "UnknownType"], "this has changed"
PY
