"""Tells what Schemathesis found in sentences: what was sent, what came of it, and how to see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemathesis.engine import events
from schemathesis.openapi.checks import UseAfterFree

from harness.checks.verdict import Finding
from harness.errors import Unknown
from harness.target.interpret import search
from harness.target.wire import Call

if TYPE_CHECKING:
    from schemathesis.core.failures import Failure
    from schemathesis.core.transport import Response
    from schemathesis.engine.recorder import ScenarioRecorder

    from harness.redact import Redactor
    from suites.contract.wire import Wire

_REASON_CHARS_MAX = 500
_REFUSED = 400
_SHAPE = "documented_shape_accepted"
# These end something that stays to be seen, as Stripe's do: nothing is gone that must not be found.
_ENDING = frozenset({"cancel_subscription", "close_customer"})


class Teller:
    """Hears an engine out. There is one breach for each operation and check, free of secrets."""

    def __init__(self, wire: Wire, redactor: Redactor, malformed: str | None) -> None:
        self.doubts: list[str] = []
        self._found: dict[tuple[str, str], Finding] = {}
        self._wire = wire
        self._redactor = redactor
        self._malformed = malformed

    @property
    def breaches(self) -> list[Finding]:
        """What breaks the document."""
        return list(self._found.values())

    def hear(self, event: events.EngineEvent) -> None:
        """Take note of an event. Raises `Unknown` where the engine itself broke."""
        if isinstance(event, events.ScenarioFinished):
            self._note_failures(event.recorder)
            self._note_refused_shapes(event.recorder)
        elif isinstance(event, events.NonFatalError):
            said = " ".join(f"{event.info.title}: {event.info.message}".split())
            self.doubts.append(self._redactor.text(f"{event.label} could not be tried: {said}"))
        elif isinstance(event, events.FatalError):
            raise Unknown(f"Schemathesis broke off: {type(event.exception).__name__}")

    def _note_failures(self, recorder: ScenarioRecorder) -> None:
        for case_id, checks in recorder.checks.items():
            for check in checks:
                told = check.failure_info
                if told is None or self._is_ending(told.failure):
                    continue
                answer = recorder.find_response(case_id=told.failure.case_id or case_id)
                label = told.failure.operation or recorder.label
                self._tell(label, check.name, str(told.failure), answer, told.code_sample)

    def _note_refused_shapes(self, recorder: ScenarioRecorder) -> None:
        """Note requests that keep to the document, and are told that they do not."""
        for case_id, node in recorder.cases.items():
            case, answer = node.value, recorder.find_response(case_id=case_id)
            is_good = case.meta is not None and case.meta.generation.mode.is_positive
            if answer is None or not is_good or answer.status_code < _REFUSED:
                continue
            if search(self._malformed, _json(answer)) is True:
                why = "a request of the documented shape is refused for its shape"
                again = case.as_curl_command(headers=dict(answer.request.headers))
                self._tell(case.operation.label, _SHAPE, why, answer, again)

    def _is_ending(self, failure: Failure) -> bool:
        if not isinstance(failure, UseAfterFree):
            return False
        method, _, path = failure.free.partition(" ")
        documented, _ = self._wire.documented(Call(method, path))
        return documented is not None and documented.operation in _ENDING

    def _tell(self, label: str, check: str, why: str, answer: Response | None, again: str) -> None:
        came = f"HTTP {answer.status_code}" if answer else "nothing"
        reason = " ".join(why.split())[:_REASON_CHARS_MAX]
        steps = " && ".join(line for line in again.splitlines() if line.strip())
        message = f"{label} answered {came}, which breaks {check}: {reason}; again: {steps}"
        self._found.setdefault((label, check), Finding(self._redactor.text(message)))


def _json(answer: Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
