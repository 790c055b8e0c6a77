"""The scrape: Prometheus text or OpenMetrics, on a token of its own."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from simulators.billing.http.auth import core_of, refused_credential
from simulators.billing.http.documented import refusals

if TYPE_CHECKING:
    from harness.metrics import BillingTelemetry

_bearer = HTTPBearer(auto_error=False, scheme_name="Metrics")


def _authorise(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    secret = core_of(request).settings.metrics_token
    if secret is None or given is None:
        raise refused_credential(request, is_presented=False)
    expected = secret.get_secret_value().encode()
    if not hmac.compare_digest(given.credentials.encode(), expected):
        raise refused_credential(request, is_presented=True)


router = APIRouter(tags=["health"], dependencies=[Depends(_authorise)])
_TEXT = {"schema": {"type": "string"}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics, in the format that `Accept` asks for.",
            "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
        },
        **refusals({401: ("unauthenticated",), 429: ("rate_limited",)}, keyed=False),
    },
)
def metrics(request: Request) -> Response:
    """Give every metric of this process (of all, in multiprocess mode) and of the database."""
    telemetry: BillingTelemetry = request.app.state.telemetry
    body, content_type = telemetry.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
