"""Lets random requests through to their effect: to who exists, with cards that can be charged.

A request that is made up as a whole hardly ever gets past *not found*. The first good ones to each
operation are the harness's own, so that a success is seen; the others are about things that exist.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from harness.target.template import PLACEHOLDER
from suites.contract.guests import good_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemathesis import Case, HookContext

    from suites.contract.document import Documented
    from suites.contract.guests import Guests

# The first good request to each operation is the harness's own; of those after it, every fourth is
# left as it was made up.
_OWN = 1
_LEFT_EVERY = 4


class Filling:
    """Changes the cases of one run before they are sent."""

    def __init__(self, guests: Guests, documented: Mapping[str, Documented]) -> None:
        self._guests = guests
        self._documented = documented
        self._turns: Counter[str] = Counter()

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Take part in every call that the engine makes inside."""
        hook = self.before_call
        GLOBAL_HOOK_DISPATCHER.register_hook_with_name(hook, "before_call")
        try:
            yield
        finally:
            GLOBAL_HOOK_DISPATCHER.unregister(hook)

    def before_call(self, context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        """Put what exists in place of what does not, never in place of what is wrong by intent."""
        del context, kwargs
        documented = self._documented.get(case.operation.label)
        if documented is None or case.method != documented.label.partition(" ")[0]:
            return
        is_good = case.meta is None or case.meta.generation.mode.is_positive
        stays = case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL
        if stays and self._guests.come_as_owner(_strings(case)):
            return  # an earlier answer of the run said whom this is about
        self._turns[documented.label] += is_good
        turn = self._turns[documented.label]
        if is_good and turn <= _OWN and documented.operation and not stays:
            self._guests.come_prepared(documented.operation)
            self._put_own(case, documented, documented.operation)
            return
        self._guests.come(documented.operation, is_good=is_good)
        if is_good:
            self._put_samples(case, documented)
        if not (is_good and turn % _LEFT_EVERY == 0):
            self._put_ids(case, documented)

    def _put_own(self, case: Case[Any], documented: Documented, operation: str) -> None:
        """Send what the harness sends, about somebody with whom it succeeds."""
        call = good_call(self._guests.session, operation, self._guests.now)
        case.path_parameters = documented.ids(call.path) or case.path_parameters
        query = dict(call.query) | dict(parse_qsl(urlsplit(call.path).query))
        case.query = {**query}
        if call.body and self._guests.session.target.profile.target.encoding == "json":
            case.body = json.loads(call.body)

    def _put_samples(self, case: Case[Any], documented: Documented) -> None:
        """Put e-mail addresses that nobody has, and cards that can be charged, into a good body."""
        mapping = self._guests.session.target.profile.operations.get(documented.operation or "")
        if mapping is None or not isinstance(case.body, dict):
            return
        said: dict[str, object] = {"email": self._guests.session.names.email()}
        if documented.operation == "add_payment_method":
            said |= {"token": "pm_card_visa", "consent": True}
        _put(case.body, mapping.body, said)

    def _put_ids(self, case: Case[Any], documented: Documented) -> None:
        if case.meta is not None and case.meta.is_negative_at(ParameterLocation.PATH):
            return
        ids = self._guests.now.ids if documented.inputs else {}
        for parameter, name in documented.inputs.items():
            if parameter in case.path_parameters and name in ids:
                case.path_parameters[parameter] = ids[name]


def _strings(case: Case[Any]) -> Iterator[object]:
    yield from case.path_parameters.values()
    if isinstance(case.body, dict):
        yield from (value for value in case.body.values() if isinstance(value, str))


def _put(body: dict[str, Any], template: object, said: Mapping[str, object]) -> None:
    """Set the fields of a body that a profile's template fills with these inputs.

    >>> body = {"card": {"token": "x", "name": "y"}}
    >>> _put(body, {"card": {"token": "{token}"}}, {"token": "pm_1"}); body
    {'card': {'token': 'pm_1', 'name': 'y'}}
    """
    if not isinstance(template, dict):
        return
    for key, entry in template.items():
        lone = PLACEHOLDER.fullmatch(entry) if isinstance(entry, str) else None
        if lone and lone[1] in said:
            body[key] = said[lone[1]]
        elif isinstance(body.get(key), dict):
            _put(body[key], entry, said)
