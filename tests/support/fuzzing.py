"""Asking an API whatever its OpenAPI document permits and forbids, and looking whether the answers are in it."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


def no_fault_of_ours(ctx: Any, response: Any, case: Any) -> None:  # noqa: ARG001 - the interface of checks
    """A 503 tells that something is away, and when to ask again; a 500 is a fault."""
    assert response.status_code != 500, response.text


_CHECKS = [no_fault_of_ours, status_code_conformance, content_type_conformance, response_schema_conformance]
_ENDLESS = frozenset({"/api/stream"})


def contradictions(url: str, *, examples: int, headers: dict[str, str] | None = None) -> dict[str, str]:
    """Operations of the API at `url` that answer otherwise than the document says, with what was wrong."""
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers or {})
    found: dict[str, str] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in _ENDLESS:
            continue
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                case.call_and_validate(checks=_CHECKS, headers=headers or {})

            try:
                ask()
            except (Exception, FailureGroup) as error:  # noqa: BLE001 - whatever it finds is told
                found[f"{operation.method.upper()} {operation.path} {mode.name}"] = str(error)[:2000]
    return found
