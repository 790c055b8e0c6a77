"""Drafts a whole profile: what the document says, written down; what it does not, asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.operations import OPERATIONS, Operation
from harness.target.draft.endpoints import endpoints
from harness.target.draft.mapping import Sketch, sketch
from harness.target.draft.matching import assign
from harness.target.draft.sections import (
    Identities,
    currency_of,
    money_of,
    plans_of,
    ready_of,
    schemes_of,
    target_name,
    target_of,
    webhook_of,
)
from harness.target.draft.toml_text import comment, in_one_line, key_of, table
from harness.target.draft.vocabulary import CONTROLS
from harness.target.reader import BLANK, blanks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.draft.document import Document
    from harness.target.draft.endpoints import Endpoint
    from harness.target.draft.matching import Match

_SHOWN_MAX = 40  # requests
_FIELDS_MAX = 12  # of one
_PARTS = {"trial": "trial free basic hobby", "payg": "payg metered usage standard pay_as_you_go"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted profile as TOML, and what is known of it.

    `mapped` are the operations found, each with the document's request for it; `unsure` those of
    them with a question; `blanks` the keys that must be filled in before the profile can be read.
    """

    text: str
    mapped: Mapping[str, str]
    unsure: tuple[str, ...]
    missing: tuple[str, ...]
    blanks: tuple[str, ...]

    @property
    def questions(self) -> int:
        """How many questions the text puts to a person."""
        return self.text.count("# ? ")


def draft_profile(document: Document, source: str) -> Draft:
    """Draft a profile of the API that a document describes; `source` is what it was read from."""
    among = endpoints(document)
    hook = webhook_of(among)
    matches = assign([each for each in among if each is not hook])
    who = _identities(document, among, matches)
    sketches = {name: sketch(match, among, who.role_of(match)) for name, match in matches.items()}
    _say_sources_back(sketches)
    target, asked = target_of(document, among, matches)
    catalog, told = _catalog(among, matches)
    missing = tuple(n for n in OPERATIONS if n not in matches and not (hook and _is_hook(n)))
    data = {
        "target": target,
        "auth": who.auth,
        "operations": {name: made.data for name, made in sketches.items()},
        "catalog": catalog,
    }
    empty = tuple(blanks(data))
    lines = [
        *_head(document, source, len(matches) + bool(hook), len(empty)),
        *table("target", target, asked),
        *_start(ready_of(among)),
        *_auth(who),
        *(line for name, made in sketches.items() for line in _operation(name, made)),
        *_unused([each for each in among if each is not hook], matches),
        *_facts(catalog, told, plans_of(matches)),
        *_webhooks(hook, target_name(document)),
        *_provider(target_name(document), has_clock="advance_time" in matches),
        *_missing(missing, has_hook=bool(hook)),
    ]
    mapped = {name: match.endpoint.request for name, match in matches.items()}
    mapped |= {"receive_webhook": hook.request} if hook else {}
    unsure = tuple(name for name, made in sketches.items() if made.questions)
    return Draft("\n".join(lines) + "\n", mapped, unsure, missing, empty)


def _say_sources_back(sketches: Mapping[str, Sketch]) -> None:
    """Turn the target's word for where a customer came from back into ours."""
    made, read = sketches.get("create_customer"), sketches.get("get_customer")
    said = made.data.get("words", {}).get("source", {}) if made else {}
    if said and read and "source" in read.data.get("reply", {}):
        values = read.data.setdefault("values", {})
        values.setdefault("source", {word: ours for ours, word in said.items()})


def _is_hook(operation: str) -> bool:
    return operation == "receive_webhook"


def _identities(
    document: Document, among: list[Endpoint], matches: Mapping[str, Match]
) -> Identities:
    made = matches.get("create_customer")
    prefix = _prefix(target_name(document))
    return Identities(
        schemes_of(document, among), prefix, bool(made and "credential" in made.given)
    )


def _prefix(name: str) -> str:
    """Give the beginning of the names of a target's variables."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return plain if plain[:1].isalpha() else "TARGET"


def _head(document: Document, source: str, mapped: int, empty: int) -> Iterator[str]:
    info = document.resolve(document.data.get("info"))
    title = f"{info.get('title', 'an API')} {info.get('version', '')}".strip()
    yield from comment(
        f"A draft, from {source} ({title}): {mapped} of {len(OPERATIONS)} operations found."
    )
    yield "# A line with `# ?` is a question to you: answer it, then delete the line."
    if empty:
        yield f'# "{BLANK}" is a blank, and has to be filled in: {empty} of them.'
    yield "# Every key: docs/PROFILE.md. Then try it: billing-harness doctor --target FILE"
    yield ""


def _start(ready: str) -> Iterator[str]:
    yield "# ? Shall the harness start the API itself, beside a Stripe simulator? Then base_url is"
    yield '#   "http://127.0.0.1:${PORT}", and secret_env below "STACK_WEBHOOK_SECRET".'
    yield "# [target.start]"
    yield '# command = "my-api --port ${PORT}"'
    yield f"# {_line('ready', ready)}"
    yield "# [target.start.env]   # what the API calls the things that it is given"
    yield '# STRIPE_API_BASE = "${STACK_STRIPE_URL}"'
    yield '# STRIPE_API_KEY = "${STACK_STRIPE_API_KEY}"'
    yield '# WEBHOOK_SECRET = "${STACK_WEBHOOK_SECRET}"'
    yield '# OPERATOR_KEY = "${STACK_OPERATOR_KEY}"'


def _line(key: str, value: Any) -> str:
    """Give one key and its value."""
    return list(table("", {key: value}))[1]


def _auth(who: Identities) -> Iterator[str]:
    for role, auth in who.auth.items():
        asked = [(key, text) for key, text in who.questions if key == f"auth.{role}"]
        yield ""
        yield from table(f"auth.{role}", auth, [("", text) for _, text in asked])
    if not who.auth:
        yield ""
        yield "# ? The document does not say how anybody identifies himself. If somebody has to:"
        yield "# [auth.operator]"
        yield f'# headers = {{ "Authorization" = "Bearer ${{{who.prefix}_OPERATOR_KEY}}" }}'


def _operation(name: str, made: Sketch) -> Iterator[str]:
    yield ""
    yield from table(f"operations.{name}", made.data, made.questions)


def _catalog(
    among: list[Endpoint], matches: Mapping[str, Match]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    currency = currency_of(among)
    money, doubt = money_of(among, matches)
    asked = [] if currency else [("currency", 'ISO 4217 in small letters, such as "usd"')]
    asked += [("money", doubt)] if doubt else []
    return {"currency": currency or BLANK, "money": money}, asked


def _facts(
    catalog: dict[str, Any], asked: list[tuple[str, str]], plans: list[str]
) -> Iterator[str]:
    yield ""
    yield "# Facts of your product, which no document tells; what is due is computed from them."
    yield from table("catalog", catalog, asked)
    yield "# ? How many units are given away at sign-up, and with the first payment method?"
    yield "# grants = { sign_up = 5, billing_added = 0 }"
    yield "# ? Below how many units is a customer warned? Must he consent to be charged?"
    yield "# low_credit_threshold = 3"
    yield "# consent_required = true"
    yield "# ? Is usage beyond those units charged at once, or with each period's invoice?"
    yield '# usage_billed = "with_invoice"'
    yield ""
    yield "# ? What does each plan cost, in the currency's smallest unit? `role` is its part in"
    yield "#   the stories: trial (free), payg (pays by use) or pro (pays by the month)."
    for plan in plans or ["pro"]:
        yield f"# [catalog.plans.{key_of(plan)}]"
        yield f'# role = "{_part(plan)}"'
        yield "# price_minor = 2900           # a period"
        yield "# included_units = 100         # that come with it"
        yield "# overage_minor = 30           # each unit beyond those at hand"
        yield "# rollover_cap = 0             # units that stay at a renewal"


def _part(plan: str) -> str:
    """Guess a plan's part in the stories from its name."""
    for part, names in _PARTS.items():
        if plan.lower() in names.split():
            return part
    return "pro"


def _webhooks(hook: Endpoint | None, name: str) -> Iterator[str]:
    yield ""
    prefix = "" if hook else "# "
    if hook is None:
        yield "# ? Where does the API receive Stripe's events, and which variable holds the secret?"
    yield f"{prefix}[webhooks]"
    yield prefix + _line("path", hook.path if hook else "/webhooks/stripe")
    yield f'{prefix}secret_env = "{_prefix(name)}_WEBHOOK_SECRET"'


def _provider(name: str, *, has_clock: bool) -> Iterator[str]:
    yield ""
    yield "# ? Where is money truth read: a key of Stripe's test mode, or our simulator's address?"
    yield "#   Without it nothing can be said of money."
    yield "# [payment_provider]"
    yield f'# stripe_key_env = "{_prefix(name)}_STRIPE_TEST_KEY"'
    yield '# simulator = "${STACK_STRIPE_URL}"   # where the harness starts the API'
    if has_clock:
        yield ""
        yield "# ? Does `advance_time` move the API's clock? Then stories of time can be told."
        yield "# [clock]"
        yield '# kind = "target"'


def _missing(missing: tuple[str, ...], *, has_hook: bool) -> Iterator[str]:
    if not missing:
        return
    yield ""
    yield "# Not found in the document. What the API has nevertheless can be mapped by hand; what"
    yield "# it lacks stays out, and the tests that need it are skipped with that reason."
    for name in missing:
        if name != "receive_webhook" or has_hook:
            yield "#"
            yield from _skeleton(OPERATIONS[name])


def _unused(among: list[Endpoint], matches: Mapping[str, Match]) -> Iterator[str]:
    """Show what the document has beside: who knows the API finds the missing operations there."""
    used = {match.endpoint.request for match in matches.values()}
    unused = [each for each in among if each.request not in used]
    if not unused:
        return
    yield ""
    yield "# Requests of the document that stand for no operation above. What they do is yours to"
    yield "# say: one of them may be what was not found (see the end)."
    for each in unused[:_SHOWN_MAX]:
        asked = ", ".join(".".join(field.path) for field in (*each.body, *each.query)[:_FIELDS_MAX])
        told = ", ".join(".".join(field.path) for field in each.reply[:_FIELDS_MAX])
        yield in_one_line(f"# {each.request}" + (f"   takes {asked}" if asked else ""))
        if told:
            yield in_one_line(f"#     gives {told}")
    if len(unused) > _SHOWN_MAX:
        yield f"# and {len(unused) - _SHOWN_MAX} more"


def _skeleton(operation: Operation) -> Iterator[str]:
    yield f"# [operations.{operation.name}]" + (
        "   # only a test environment has this" if operation.name in CONTROLS else ""
    )
    method = "GET" if operation.reads else "POST"
    yield f'# request = "{method} /path"   # inputs: {", ".join(operation.inputs)}'
    outputs = operation.item_outputs or operation.outputs
    pairs = ", ".join(f'{output} = "{output}"' for output in outputs)
    if operation.lists:
        yield f'# items = {{ path = "data", reply = {{ {pairs} }} }}'
    elif outputs:
        yield f"# reply = {{ {pairs} }}"
