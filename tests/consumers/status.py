#!/usr/bin/python3
"""Example of a program that reads `pmc-lite get status --json` by its schema alone.

    pmc-lite get status --json | status.py docs/status.schema.json

Prints one line of JSON: whether the clock is synchronised, the leader, and the phase error. Fails if the status violates the schema;
with --strict also if it has a key that is not in the schema, which other programs have to ignore.
"""
import json
import sys

import jsonschema


def strict(schema):
    """Returns the schema without permission for other keys."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(part) for key, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        schema["additionalProperties"] = False
    return schema


def main():
    words = [word for word in sys.argv[1:] if word != "--strict"]
    with open(words[0], encoding="utf-8") as file:
        schema = json.load(file)
    if "--strict" in sys.argv:
        schema = strict(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    status = json.load(sys.stdin)
    jsonschema.Draft202012Validator(schema).validate(status)

    observer, steerer, relay = status["dante4l"], status["dante2sys"], status["danteshm"]
    leader = observer.get("leader") if observer["running"] else None
    print(json.dumps({
        "locked": steerer["running"] and steerer["state"] == "LOCKED",
        "feeding": relay["running"] and relay["state"] == "FEEDING",
        "leader": leader and leader["id"],
        "off_ns": steerer["phase_error_ns"] if steerer["running"] else None,
        "troubles": [found["kind"] for found in status["findings"]],
    }))


main()
