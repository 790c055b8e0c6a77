"""What holds for the whole target: its address, who may ask, how errors and amounts are written."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from harness.target.draft.mapping import expression
from harness.target.draft.words import all_of, meanings, words
from harness.target.reader import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.target.draft.document import Document
    from harness.target.draft.endpoints import Endpoint, Field
    from harness.target.draft.matching import Match

_READY = all_of("health healthz ready readyz live livez ping status")
_AMOUNTS = all_of("amount price charged cost total fee")
Question = tuple[str, str]
_LOCAL = ("localhost", "127.", "[::1]", "0.0.0.0")  # noqa: S104 - where a document may point
_NO_NAME = all_of("api service billing the rest openapi http server public reference doc")
_KEY_HEADER = re.compile(
    r"authorization|api[-_]?key|(access|auth)[-_]?token|(?<!idempotency)[-_](key|secret|token)$",
    re.IGNORECASE,
)
_CODES = ("code", "error code", "reason", "error", "type", "slug", "error type")
_OWN_HEADERS = re.compile(r"idempoten|signature|^accept|^content-|^user-agent", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way of saying who asks: headers with `{secret}`, or HTTP Basic."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    basic: bool = False
    role: str = "customer"
    doubt: str = ""


def target_of(
    document: Document, among: Iterable[Endpoint], matches: Mapping[str, Match]
) -> tuple[dict[str, Any], list[Question]]:
    """Give `[target]` and what is to be asked about it."""
    questions: list[Question] = []
    base_url = _base_url(document)
    is_local = bool(base_url) and urlsplit(base_url).netloc.startswith(_LOCAL)
    if not base_url:
        questions.append(
            ("base_url", "the document names no server: where is a test one of yours?")
        )
    if not is_local:
        told = "test, staging or production? Whatever writes refuses production"
        questions.append(("environment", told))
    target: dict[str, Any] = {
        "name": target_name(document),
        "base_url": base_url or BLANK,
        "environment": "test" if is_local else BLANK,
    }
    used = [match.endpoint for match in matches.values()]
    forms = Counter(each.encoding for each in used if each.body)
    if forms["form"] > forms["json"]:
        target["encoding"] = "form"
    headers = [each for endpoint in among for each in endpoint.headers]
    key = next((each.name for each in headers if "idempoten" in each.name.lower()), None)
    target |= {"idempotency_header": key} if key else {}
    code, doubt = _refusal_code(used)
    target |= {"refusal_code": code} if code else {}
    questions += [("refusal_code", doubt)] if doubt else []
    more, asked = _headers(used)
    return {**target, **more}, questions + asked


def target_name(document: Document) -> str:
    """Give a short name of the target, from the document's title."""
    info = document.data.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    told = words(title) if isinstance(title, str) else []
    own = [word for word in told if word not in _NO_NAME] or told
    return "-".join(own[:2]) or "mine"


def _base_url(document: Document) -> str:
    servers = document.data.get("servers")
    first = document.resolve(servers[0]) if isinstance(servers, list) and servers else {}
    url = first.get("url")
    variables = first.get("variables")
    if isinstance(url, str) and isinstance(variables, dict):
        for name, variable in variables.items():
            default = document.resolve(variable).get("default")
            url = url.replace(f"{{{name}}}", str(default)) if default is not None else url
    url = url if isinstance(url, str) else "/"
    try:
        whole = urljoin(f"{document.origin}/", url) if document.origin else url
        parts = urlsplit(whole)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    return whole.rstrip("/") if good and not re.search(r"[\s{}$<]", whole) else ""


def _headers(used: Iterable[Endpoint]) -> tuple[dict[str, Any], list[Question]]:
    """Give the headers that every request needs, beside those that say who asks."""
    found: dict[str, str] = {}
    questions: list[Question] = []
    for each in (header for endpoint in used for header in endpoint.headers if header.required):
        if each.name in found or _KEY_HEADER.search(each.name) or _OWN_HEADERS.search(each.name):
            continue
        value = each.choices[0] if each.choices else each.value
        found[each.name] = BLANK if value is None else str(value)
        questions.append(("headers", f"{each.name} is required: {each.about or 'which value?'}"))
    return ({"headers": found} if found else {}), questions


def _refusal_code(used: Iterable[Endpoint]) -> tuple[str | None, str]:
    """Give where an error's stable code stands: the likeliest name, in most of the errors."""
    seen: Counter[str] = Counter()
    ranks: dict[str, int] = {}
    for endpoint in used:
        for each in endpoint.errors:
            named = " ".join(words(each.name))
            if named in _CODES and each.type in {"string", ""}:
                place = expression(each.path)
                seen[place] += 1
                ranks[place] = _CODES.index(named)
    if not ranks:
        return None, "the document shows no stable code in errors: is there one? JMESPath"
    best = min(ranks, key=lambda place: (ranks[place], -seen[place]))
    return best, "" if ranks[best] < len(_CODES[:2]) else "is that a code that never changes?"


def schemes_of(document: Document, among: Iterable[Endpoint]) -> dict[str, Scheme]:
    """Give the document's ways of saying who asks, by name."""
    components = document.resolve(document.data.get("components"))
    told = document.resolve(components.get("securitySchemes"))
    found = {str(name): _scheme(str(name), document.resolve(node)) for name, node in told.items()}
    if found:
        return found
    for endpoint in among:
        for each in endpoint.headers:
            if _KEY_HEADER.search(each.name):
                bearer = "Bearer " if each.name.lower() == "authorization" else ""
                headers = {each.name: f"{bearer}{{secret}}"}
                doubt = "the document declares no security scheme, only this header"
                found.setdefault(each.name, Scheme(each.name, headers, doubt=doubt))
    return found


def _scheme(name: str, node: dict[str, Any]) -> Scheme:
    said = {*meanings(name), *meanings(str(node.get("description", "")))}
    role = "customer"
    if "test" in said or "test" in words(name):
        role = "test_control"
    elif "operator" in meanings(name):
        role = "operator"
    kind, place = node.get("type"), node.get("in")
    header = str(node.get("name") or "Authorization")
    if kind == "http" and str(node.get("scheme")).lower() == "basic":
        return Scheme(name, basic=True, role=role)
    if kind == "apiKey" and place == "header":
        return Scheme(name, {header: "{secret}"}, role=role)
    if kind == "apiKey" and place == "cookie":
        return Scheme(name, {"Cookie": f"{header}={{secret}}"}, role=role)
    if kind == "http":
        return Scheme(name, {"Authorization": "Bearer {secret}"}, role=role)
    doubt = f"the document says {kind} in {place or 'a header'}: a profile only knows headers"
    return Scheme(name, {"Authorization": "Bearer {secret}"}, role=role, doubt=doubt)


@dataclass
class Identities:
    """Who performs each operation, and `[auth]`, which grows with the roles that are needed."""

    schemes: dict[str, Scheme]
    prefix: str
    has_credential: bool
    auth: dict[str, dict[str, Any]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def role_of(self, match: Match) -> str | None:
        """Give the role of an operation; None for the customer."""
        endpoint = match.endpoint
        named = [self.schemes[name] for name in endpoint.schemes if name in self.schemes]
        if not endpoint.schemes:
            named = self._by_header(match)
        if not named or (endpoint.is_open and endpoint.schemes):
            return "anonymous"
        role = self._role(match, named[0])
        self._add(role, named[0])
        return role if role != "customer" else None

    def _by_header(self, match: Match) -> list[Scheme]:
        """Give the headers that identify; of several, a customer's is not that which makes him."""
        headers = [h.name for h in match.endpoint.headers if _KEY_HEADER.search(h.name)]
        named = [self.schemes[name] for name in headers if name in self.schemes]
        taken = self.auth.get("operator", {}).get("headers", {})
        if match.operation != "create_customer" and self.has_credential:
            named.sort(key=lambda scheme: any(name in taken for name in scheme.headers))
        return named or list(self.schemes.values())[: len(headers)][:1]

    def _role(self, match: Match, scheme: Scheme) -> str:
        if scheme.role != "customer":
            return scheme.role
        speaks = "operator" in {*match.endpoint.steps, *match.endpoint.tagged}
        makes = match.operation == "create_customer"
        return "operator" if speaks or makes or not self.has_credential else "customer"

    def _add(self, role: str, scheme: Scheme) -> None:
        if role in self.auth:
            return
        if scheme.doubt:
            self.questions.append((f"auth.{role}", scheme.doubt))
        variable = f"${{{self.prefix}_{role.upper()}_KEY}}"
        secret = "{credential}" if role == "customer" else variable
        if scheme.basic:
            self.auth[role] = {"basic": {"user": BLANK, "password": variable}}
            self.questions.append((f"auth.{role}", "HTTP Basic: whose name is it?"))
            return
        headers = {name: text.replace("{secret}", secret) for name, text in scheme.headers.items()}
        self.auth[role] = {"headers": headers}


def money_of(among: Iterable[Endpoint], matches: Mapping[str, Match]) -> tuple[str, str]:
    """Give how amounts are written, and a doubt about it."""
    fields: list[Field] = [
        bound.field
        for match in matches.values()
        for found in (match.given, match.items, match.taken.body)
        for name, bound in found.items()
        if name.endswith("_minor")
    ]
    fields = fields or [
        each
        for endpoint in among
        for each in endpoint.reply
        if set(words(".".join(each.path))) & _AMOUNTS
        and each.type in {"integer", "string", "number"}
    ]
    kinds = Counter(each.type for each in fields)
    if not kinds:
        return "minor", "no amount was recognised: minor, decimal_string or decimal_number?"
    most = kinds.most_common(1)[0][0]
    if most == "string":
        return "decimal_string", ""
    if most == "number":
        return "decimal_number", "the document says number: whole cents are `minor`"
    said = any({"minor", "cent", "penny"} & set(words(f"{f.name} {f.about}")) for f in fields)
    return "minor", "" if said else "integers: in the smallest unit of the currency?"


def currency_of(among: Iterable[Endpoint]) -> str | None:
    """Give the only currency that the document names, if there is just one."""
    found = {
        choice.lower()
        for endpoint in among
        for each in (*endpoint.reply, *endpoint.body)
        if each.name == "currency"
        for choice in (each.choices or ([str(each.value)] if each.value else []))
    }
    known = {code for code in found if re.fullmatch(r"[a-z]{3}", code)}
    return known.pop() if len(known) == 1 else None


def webhook_of(among: Iterable[Endpoint]) -> Endpoint | None:
    """Give where Stripe's events are received: not where endpoints for events are managed."""
    for each in among:
        signed = any("signature" in header.name.lower() for header in each.headers)
        manages = any("url" in words(one.name) for one in each.body)
        about = "webhook" in each.steps and "{" not in each.path
        if each.method == "POST" and not manages and (signed or about):
            return each
    return None


def plans_of(matches: Mapping[str, Match]) -> list[str]:
    """Give the names of plans that the document lists."""
    found = [
        choice
        for match in matches.values()
        for bounds in (match.taken.body, match.given)
        for name, bound in bounds.items()
        if name == "plan"
        for choice in bound.field.choices
    ]
    return list(dict.fromkeys(found))


def ready_of(among: Iterable[Endpoint]) -> str:
    """Give the path that answers once the API serves, as far as it is named so."""
    paths = [each.path for each in among if each.method == "GET" and "{" not in each.path]
    named = [path for path in paths if set(words(path)[-1:]) & _READY]
    return min(named, key=len, default="/health")
