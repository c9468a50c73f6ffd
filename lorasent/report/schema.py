"""The JSON Schema of a verdict: `python -m lorasent.report.schema FILE` writes it."""

import sys
from pathlib import Path
from typing import Any

from lorasent import files
from lorasent.gate.verdict import SCHEMA_VERSION, Verdict

ABOUT = "The JSON of lorasent's verdict, as `lorasent gate --json` and `--json-out` write it. Later versions may add keys."


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `Verdict.to_json`."""
    from pydantic import TypeAdapter

    made = TypeAdapter(Verdict).json_schema(mode="serialization")
    version = {"const": SCHEMA_VERSION, "title": "Schema Version", "type": "integer"}
    finding = made["$defs"]["Finding"]
    finding["properties"]["waived"]["anyOf"][0].update(
        required=["reason", "until"], properties={"reason": {"type": "string"}, "until": {"format": "date", "type": "string"}}
    )
    finding["required"] = [*finding["properties"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "description": ABOUT,
        "properties": {"schema_version": version, **made["properties"]},
        "required": ["schema_version", *made["properties"]],
    }


if __name__ == "__main__":
    files.write(Path(sys.argv[1]), [files.canonical(schema())])
