"""Stripe's error objects.

    ApiError                       any answer that is not 2xx
    ├── InvalidRequest             400, 401, 403, 404, 409, 413: the request is at fault
    │   └── BadParameters          400: refused before execution began, so nothing is stored
    └── CardError                  402: the bank said no; what was recorded on the way stays

Types, codes, statuses and sentences are those of https://docs.stripe.com/api/errors and of the
live API where the page has none.
"""

from typing import Any

_DOCS = "https://stripe.com/docs/error-codes"

KEYLESS = (
    "You did not provide an API key. You need to provide your API key in the Authorization "
    "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
    "https://stripe.com/docs/api#authentication for details, or we can help at "
    "https://support.stripe.com/."
)


class ApiError(Exception):
    """An error that is answered as Stripe's error object."""

    type = "api_error"
    keeps_effects = False
    """Whether what the request changed before it failed stays changed."""
    executed = True
    """Whether execution had begun, so that an idempotency key stores this answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details: dict[str, Any] = details
        self.headers: dict[str, str] = {}
        self.param = param

    def body(self, request_log_url: str) -> dict[str, Any]:
        """Return the JSON body; absent facts are left out, as Stripe does."""
        facts: dict[str, Any] = {
            **self.details,
            "code": self.code,
            "doc_url": f"{_DOCS}/{self.code.replace('_', '-')}" if self.code else None,
            "message": str(self),
            "param": self.param,
            "request_log_url": request_log_url,
            "type": self.type,
        }
        return {"error": {key: value for key, value in facts.items() if value is not None}}


class InvalidRequest(ApiError):
    """The request cannot be carried out as it stands."""

    type = "invalid_request_error"


class BadParameters(InvalidRequest):
    """Refused while its parameters were read, before anything was done."""

    executed = False


class IdempotencyError(ApiError):
    """An idempotency key that does not go with this request."""

    type = "idempotency_error"
    executed = False


class Busy(ApiError):
    """What the request is about is being worked on; the same request may succeed later."""

    type = "invalid_request_error"
    executed = False


class CardError(ApiError):
    """The card was declined; charge and payment intent record it."""

    type = "card_error"
    keeps_effects = True


def no_such(kind: str, object_id: str, param: str = "id") -> InvalidRequest:
    """Build the error for an id of nothing: 404 in the path, 400 in a parameter."""
    status = 404 if param == "id" else 400
    message = f"No such {kind.replace('_', ' ') if kind != 'payment_intent' else kind}: "
    return InvalidRequest(
        f"{message}'{object_id}'", status=status, code="resource_missing", param=param
    )


def missing(param: str) -> BadParameters:
    """Build the error for a required parameter that is not there."""
    return BadParameters(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown(params: list[str]) -> BadParameters:
    """Build the error for parameters that the endpoint does not have."""
    plural = "s" if len(params) > 1 else ""
    return BadParameters(
        f"Received unknown parameter{plural}: {', '.join(params)}",
        code="parameter_unknown",
        param=params[0],
    )


def unrecognized_url(method: str, path: str) -> InvalidRequest:
    """Build the answer to an address that the API does not have."""
    return InvalidRequest(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we "
        "can help at https://support.stripe.com/.",
        status=404,
    )
