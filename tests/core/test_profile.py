from __future__ import annotations

import re
import tomllib
from collections import UserDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ProfileError, TargetError
from harness.target.load import find_target, fixtures_folder
from harness.target.mapped import ProfileTarget
from harness.target.reader import ProfileFile, read_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ACME = Path(__file__).parents[1] / "targets" / "acme.toml"
REFERENCE = fixtures_folder() / "profiles" / "reference.toml"
SMALL = """
[target]
name = "small"
base_url = "https://billing.example.com"
environment = "test"
[auth.operator]
headers = { "Authorization" = "Bearer ${OPERATOR_KEY}" }
[catalog]
currency = "usd"
"""
SECRET = "s3cret-of-the-tests"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], ProfileFile]:
    """Give a reader of text."""

    def reader(text: str) -> ProfileFile:
        path = tmp_path / "small.toml"
        path.write_text(text)
        return read_profile(path)

    return reader


def _operation(lines: str, name: str = "close_customer") -> str:
    return f'{SMALL}[operations.{name}]\nrequest = "DELETE /v1/customers/{{customer}}"\n{lines}\n'


MISTAKES = {
    "an unknown key": (
        _operation('boddy = { a = "{customer}" }'),
        "operations.close_customer.boddy: is not a key here; did you mean 'body'?",
    ),
    "an unknown section": (f"{SMALL}[catalogue]\n", "catalogue: is not a key here; did you mean"),
    "an unknown operation": (
        SMALL + '[operations.subscibe]\nrequest = "POST /x"\n',
        "operations.subscibe: is not an operation of the harness; did you mean 'subscribe'?",
    ),
    "a missing key": (
        SMALL.replace('name = "small"', ""),
        "target.name: this key is required",
    ),
    "a missing section": (SMALL.replace("[catalog]\ncurrency", "#"), "catalog: this key is req"),
    "a wrong type": (
        SMALL + 'plans.pro.price_minor = "59900"\n',
        "catalog.plans.pro.price_minor: expected input should be a valid integer",
    ),
    "a number out of bounds": (SMALL + "plans.pro.price_minor = -1\n", "pro.price_minor: expected"),
    "a placeholder that is no input": (
        _operation('body = { a = "{client}" }'),
        "operations.close_customer.body: {client} is no input (inputs: customer)",
    ),
    "a bad expression": (
        _operation("", "subscribe").replace("DELETE", "POST") + 'reply = { status = "data[" }\n',
        "operations.subscribe.reply.status: expected a JMESPath expression",
    ),
    "a bad pattern": (
        _operation("reply = { status = 'header:Location | /x(/' }", "subscribe"),
        "operations.subscribe.reply.status: expected a pattern after `|`",
    ),
    "an unknown role": (
        _operation('as = "admin"'),
        "operations.close_customer.as: expected a role of [auth]: operator",
    ),
    "a literal secret": (
        SMALL + f'[auth.customer]\nheaders = {{ "X-Key" = "{SECRET}" }}\n',
        "auth.customer.headers.X-Key: expected ${NAME}",
    ),
    "a literal password": (
        SMALL + f'[auth.customer]\nbasic = {{ user = "me", password = "{SECRET}" }}\n',
        "auth.customer.basic.password: expected ${NAME}",
    ),
    "a bad request": (
        SMALL + '[operations.close_customer]\nrequest = "FETCH /x"\n',
        'operations.close_customer.request: expected a method and a path, like "POST /v1/',
    ),
    "an output that is none": (
        _operation('reply = { colour = "c" }', "subscribe"),
        "operations.subscribe.reply.colour: is no output of subscribe (outputs: subscription,",
    ),
    "a required output that is missing": (
        _operation("", "create_customer").replace("{customer}", "x"),
        "operations.create_customer.reply.customer: this output is required",
    ),
    "a list without items": (
        _operation("", "list_ledger"),
        "operations.list_ledger.items: a list needs `items` with `path` and `reply`",
    ),
    "an item's output that is none": (
        _operation('items = { path = "data", reply = { colour = "c" } }', "list_ledger"),
        "operations.list_ledger.items.reply.colour: is no output (outputs: units,",
    ),
    "a default for what is no input": (
        _operation("defaults = { nmae = 1 }"),
        "operations.close_customer.defaults.nmae: is no input (inputs: customer)",
    ),
    "a poll that is neither operation nor request": (
        _operation('settle = { poll = "get_subscripton", until = "true" }'),
        "operations.close_customer.settle.poll: expected an operation that is mapped here, or a",
    ),
    "a poll by an operation that is not mapped": (
        _operation('settle = { poll = "get_customer", until = "true" }'),
        "operations.close_customer.settle.poll: expected an operation that is mapped here, or a",
    ),
    "a poll of what is neither input nor output": (
        _operation('settle = { poll = "GET /jobs/{job}", until = "true" }'),
        "operations.close_customer.settle.poll: {job} is neither input nor mapped output",
    ),
    "two ways to start": (
        SMALL.replace("[auth", 'stack = "reference"\nstart = { command = "x" }\n[auth'),
        "target.start: either `start` or `stack`, not both",
    ),
    "a webhook's path that is none": (
        SMALL + '[webhooks]\npath = "hooks"\nsecret_env = "S"\n',
        "webhooks.path: expected a path, like",
    ),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_each_mistake_is_told_with_file_and_key(
    text: str, told: str, read: Callable[[str], ProfileFile]
) -> None:
    """A mistake is one line with the file, the key and what was expected there, and no secret."""
    with pytest.raises(ProfileError) as caught:
        read(text)
    assert any(
        str(p).startswith(f"small.toml: {told}") or told in str(p) for p in caught.value.problems
    )
    assert len(caught.value.problems) == 1
    assert SECRET not in str(caught.value)


def test_all_mistakes_are_told_at_once(read: Callable[[str], ProfileFile]) -> None:
    """One mistake hides no other: eight of different kinds come as eight lines."""
    text = f"""
[target]
name = "small"
enviroment = "test"
base_url = 5
[auth.operator]
headers = {{ "Authorization" = "Bearer {SECRET}" }}
[operations.subscibe]
request = "POST /x"
[operations.subscribe]
as = "admin"
request = "POST /v1/{{client}}"
reply = {{ status = "data[" }}
[catalog]
currency = "usd"
"""
    with pytest.raises(ProfileError) as caught:
        read(text)
    assert [problem.key for problem in caught.value.problems] == [
        "auth.operator.headers.Authorization",
        "operations.subscibe",
        "operations.subscribe.as",
        "operations.subscribe.reply.status",
        "operations.subscribe.request",
        "target.base_url",
        "target.enviroment",
        "target.environment",
    ]
    assert {problem.file for problem in caught.value.problems} == {"small.toml"}
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("8 mistakes in the profile:")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\xff", "text in UTF-8"), (b"[target\n", "TOML (Expected ']'"), (b"", "this key is requ")],
)
def test_a_file_that_is_no_profile_is_told_so(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    """What is not text, not TOML or empty is told as a mistake of the file."""
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=re.escape(expected)):
        read_profile(path)


@pytest.mark.parametrize("spec", ["nowhere.toml", "no_such_name", "no.such:Class", "os:Class"])
def test_a_target_that_is_not_there_is_told_with_a_way_on(spec: str) -> None:
    """A name, a file or a class that does not exist is an error with a hint, by its own name."""
    with pytest.raises(TargetError, match=re.escape(spec.partition(":")[0])) as caught:
        find_target(spec)
    assert caught.value.hint


class _Everything(UserDict[str, str]):
    """An environment in which every variable is set."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return "8080" if name == "PORT" else f"http://{name.lower().replace('_', '-')}.test"


@pytest.mark.parametrize("path", [REFERENCE, ACME], ids=["reference", "acme"])
def test_the_profiles_at_hand_read_cleanly(path: Path) -> None:
    """The reference's and Acme's profiles have no mistake, and map the core."""
    profile, _ = read_profile(path).resolve(_Everything())
    assert {"create_customer", "record_usage", "get_balance"} <= set(profile.operations)
    assert find_target(str(path)).file.profile.target.name == path.stem


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            REFERENCE,
            {
                "STACK_OPERATOR_KEY",
                "STACK_TEST_CONTROL_TOKEN",
                "STACK_METRICS_TOKEN",
                "STACK_WEBHOOK_SECRET",
                "STACK_PREVIOUS_WEBHOOK_SECRET",
                "STACK_DATABASE_URL",
            },
        ),
        (ACME, {"STACK_OPERATOR_KEY", "STACK_WEBHOOK_SECRET", "ACME_DATABASE_URL"}),
    ],
    ids=["reference", "acme"],
)
def test_the_secrets_of_a_resolved_profile_are_known(path: Path, names: set[str]) -> None:
    """Whatever stands in [auth], and whatever an `…_env` key names, is told to be a secret."""
    _, secrets = read_profile(path).resolve(_Everything())
    assert secrets == {_Everything()[name] for name in names}


def test_every_named_variable_is_a_secret(read: Callable[[str], ProfileFile]) -> None:
    """Secrets of headers, passwords, webhooks, provider and evidence are told to the caller."""
    text = f"""{SMALL}
[auth.customer]
basic = {{ user = "me", password = "${{PASSWORD}}" }}
[webhooks]
path = "/hooks"
secret_env = "HOOK"
[payment_provider]
stripe_key_env = "KEY"
[evidence]
database_url_env = "DATABASE"
"""
    names = ["OPERATOR_KEY", "PASSWORD", "HOOK", "KEY", "DATABASE"]
    environment = {name: f"value-of-{name}" for name in names} | {"OTHER": "public"}
    profile, secrets = read(text).resolve(environment)
    assert secrets == {f"value-of-{name}" for name in names}
    assert profile.auth["operator"].headers == {"Authorization": "Bearer value-of-OPERATOR_KEY"}


def test_every_variable_that_is_not_set_is_told(read: Callable[[str], ProfileFile]) -> None:
    """Unset variables are told all at once, with the keys that need them."""
    file = read(SMALL.replace("billing.example.com", "${HOST}:${PORT}"))
    unset = "the environment variable {} is not set"
    with pytest.raises(ProfileError) as caught:
        file.resolve({})
    assert [str(problem) for problem in caught.value.problems] == [
        f"small.toml: auth.operator.headers.Authorization: {unset.format('OPERATOR_KEY')}",
        f"small.toml: target.base_url: {unset.format('HOST')}",
        f"small.toml: target.base_url: {unset.format('PORT')}",
    ]


@pytest.mark.parametrize(
    "value", ["", "localhost:8000", "ftp://host", "http://", "http://[::1", "http://h:x"]
)
def test_an_address_that_is_none_is_told(value: str, read: Callable[[str], ProfileFile]) -> None:
    """What a variable makes of the address is checked once it is filled in."""
    file = read(SMALL.replace("https://billing.example.com", "${BASE_URL}"))
    with pytest.raises(ProfileError, match=r"target\.base_url: expected an address like https://"):
        file.resolve({"BASE_URL": value, "OPERATOR_KEY": SECRET})


def _strings(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every string of nested tables and lists."""
    if isinstance(data, str):
        yield path
    elif isinstance(data, dict | list):
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        for key, entry in pairs:
            yield from _strings(entry, (*path, key))


def _with_odd_value_at(place: tuple[Any, ...]) -> ProfileFile:
    """Give Acme's profile with a variable in place of one of its strings."""
    data = tomllib.loads(ACME.read_text())
    node = data
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = "${ODD}"
    return ProfileFile("acme.toml", data, read_profile(ACME).profile)


def _told(file: ProfileFile, environment: Mapping[str, str]) -> str | None:
    """Give the error that a profile makes of an environment, if it makes one."""
    try:
        file.resolve(environment)
    except ProfileError as error:
        return str(error)
    return None


def test_no_error_repeats_what_a_variable_holds() -> None:
    """Wherever in a profile a secret is put by a variable, no error about it repeats the secret."""
    odd = f"{SECRET}[`#"
    places = list(_strings(tomllib.loads(ACME.read_text())))
    told = [_told(_with_odd_value_at(place), _Everything(ODD=odd)) for place in places]
    errors = [error for error in told if error]
    assert len(errors) > 30
    assert not [error for error in errors if SECRET in error or odd in error]


def test_a_class_is_built_from_the_profile_beside_it() -> None:
    """`module:Class` reads the profile that the class names, and makes the class of it."""
    source = find_target(f"{__name__}:Classy")
    profile, _ = source.file.resolve(_Everything())
    assert isinstance(source.build(profile), Classy)
    assert source.file.profile.target.name == "acme"


class Classy(ProfileTarget):
    """A target by its class."""

    profile_file = "../targets/acme.toml"


def test_whole_numbers_will_do_for_seconds(read: Callable[[str], ProfileFile]) -> None:
    """A deadline may be written without a fraction."""
    assert read(SMALL.replace("[auth", "timeout_s = 3\n[auth")).profile.target.timeout_s == 3
