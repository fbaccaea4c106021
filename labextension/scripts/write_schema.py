"""Write the TypeScript types of a report and of live frames, and the schema that the guard checks, from Python.

Run ``python labextension/scripts/write_schema.py`` after a change to `jupyter_optim.report`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from jupyter_optim.report import LIVE_VERSION, MIME_TYPE, SCHEMA_VERSION, LiveFrame, Report

TARGET = Path(__file__).resolve().parent.parent / "src" / "report" / "schema.ts"

HEADER = """\
// Written by scripts/write_schema.py from jupyter_optim/report/: change that, and run the script.

import type { Definitions } from './guard.js';
"""

PLAIN_TYPES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}

# What guard.ts can check. A keyword outside these would be one that the guard silently ignores.
CHECKED = {"$ref", "anyOf", "enum", "type", "items", "properties", "required", "additionalProperties"}
COMMENTARY = {"title", "description", "default"}


def type_script() -> str:
    """The text of ``schema.ts``."""
    definitions = {**Report.json_schema()["$defs"], **msgspec.json.schema(LiveFrame)["$defs"]}
    checks = (_check(name, _checked(schema)) for name, schema in definitions.items())
    parts = [
        HEADER,
        f"export const MIME_TYPE = {_literal(MIME_TYPE)};\n",
        f"export const SCHEMA_VERSION = {SCHEMA_VERSION};\n",
        f"export const LIVE_VERSION = {LIVE_VERSION};\n",
        *(_interface(name, schema) for name, schema in definitions.items()),
        "export const DEFINITIONS: Definitions = {\n" + ",\n".join(checks) + "\n};\n",
    ]
    return "\n".join(parts)


def _interface(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    fields = [
        f"  readonly {field}{'' if field in required else '?'}: {_type(of)};"
        for field, of in schema["properties"].items()
    ]
    doc = f"/** {schema['description']} */\n" if "description" in schema else ""
    return f"{doc}export interface {name} {{\n" + "\n".join(fields) + "\n}\n"


def _check(name: str, schema: dict[str, Any]) -> str:
    """One entry of the definitions, a property a line."""
    fields = [f"      {field}: {json.dumps(of)}" for field, of in schema["properties"].items()]
    required = json.dumps(schema.get("required", []))
    return (
        f"  {name}: {{\n    type: 'object',\n    required: {required},\n"
        "    properties: {\n" + ",\n".join(fields) + "\n    }\n  }"
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix("#/$defs/")
    if "anyOf" in schema:
        return " | ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind is None:
        return "unknown"
    if kind == "array":
        return f"ReadonlyArray<{_type(schema['items'])}>"
    if kind == "object":
        values = schema.get("additionalProperties", {})
        return f"{{ readonly [key: string]: {_type(values if isinstance(values, dict) else {})} }}"
    return PLAIN_TYPES[kind]


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without its commentary.

    Raises:
        ValueError: a keyword that the guard does not know.
    """
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in COMMENTARY:
            continue
        if keyword not in CHECKED:
            raise ValueError(f"guard.ts does not check the JSON Schema keyword {keyword!r}: teach it to.")
        if keyword == "properties":
            kept[keyword] = {name: _checked(of) for name, of in value.items()}
        elif keyword == "anyOf":
            kept[keyword] = [_checked(option) for option in value]
        elif keyword in {"items", "additionalProperties"} and isinstance(value, dict):
            kept[keyword] = _checked(value)
        else:
            kept[keyword] = value
    return kept


def _literal(value: object) -> str:
    return "'" + value.replace("'", "\\'") + "'" if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    TARGET.write_text(type_script(), encoding="utf-8")
