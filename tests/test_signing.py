"""Webhook signatures: ours, and the official package's opinion of them."""

import time
from collections.abc import Callable

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import signing

NOW = 1_800_000_000
SECRET = "whsec_test"
BODY = b'{"object": "event"}'

secrets = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
bodies = st.one_of(st.text().map(str.encode), st.binary(max_size=80))
times = st.integers(NOW - 400, NOW + 400)


def official(payload: bytes, header: str, secret: str, tolerance: int) -> bool | None:
    """Tell whether the official verifier passes; None where it crashes instead of deciding."""
    try:
        stripe.WebhookSignature.verify_header(payload, header, secret, tolerance)
    except stripe.SignatureVerificationError:
        return False
    except TypeError:
        return None  # it compares a v1 outside ASCII
    except UnicodeError:
        return False  # it cannot read the body, or the secret
    return True


def ours(payload: bytes, header: str, secret: str, tolerance: int) -> bool:
    """Tell whether our verifier passes."""
    try:
        signing.verify(payload, header, secret, tolerance_s=tolerance, now=NOW)
    except signing.SignatureError:
        return False
    return True


@pytest.fixture
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the official verifier read the same wall time as ours."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))


@st.composite
def headers(draw: st.DrawFn, body: bytes, secret: str) -> str:
    """Draw headers from right to garbage: rotation, schemes, repeated and broken parts."""
    when = draw(times)
    try:
        right = signing.sign(body, secret, timestamp=when)
    except UnicodeError:
        right = "0" * 64
    value = st.sampled_from([right, right.upper(), right[:-1], f"{right}=x", "é", "", "0" * 64])
    scheme = st.sampled_from(["v1", "v0", "V1", " v1", "t"])
    part = st.tuples(scheme, value).map("=".join)
    stamp = st.sampled_from([f"t={when}", f"t=+{when}", f"t= {when} ", "t=", "t=x", "t", "t=1_0"])
    parts = draw(st.lists(st.one_of(part, stamp), max_size=4))
    parts += draw(st.sampled_from([[f"t={when}"], []]))
    parts += draw(st.sampled_from([[f"v1={right}"], []]))
    return ",".join(draw(st.permutations(parts)))


@pytest.mark.usefixtures("fixed_time")
def test_our_verifier_agrees_with_the_official_one() -> None:
    """Over generated bodies, secrets and headers both pass and refuse the same."""

    @settings(max_examples=500, deadline=None)
    @given(st.data(), bodies, secrets, st.sampled_from([0, 1, 300]))
    def agree(data: st.DataObject, body: bytes, secret: str, tolerance: int) -> None:
        header = data.draw(headers(body, secret))
        theirs = official(body, header, secret, tolerance)
        if theirs is None:
            ascii_only = [part for part in header.split(",") if part.isascii()]
            theirs = official(body, ",".join(ascii_only), secret, tolerance)
        assert ours(body, header, secret, tolerance) is theirs

    agree()


@pytest.mark.usefixtures("fixed_time")
def test_headers_of_ours_pass_and_are_the_official_ones() -> None:
    """What we sign is, byte for byte, what the official package signs."""

    @given(st.text(), secrets.filter(str.strip), st.lists(secrets, max_size=2))
    def agree(body: str, secret: str, old: list[str]) -> None:
        plain = signing.header(body.encode(), secret, NOW)
        assert plain == stripe.WebhookSignature.generate_signature_header(body, secret, NOW)
        rotated = signing.header(body.encode(), [*old, secret], NOW)
        assert official(body.encode(), rotated, secret, 300)

    agree()


@pytest.mark.parametrize(("age", "passes"), [(0, True), (300, True), (301, False), (-86_400, True)])
def test_the_edges_of_the_tolerance(age: int, *, passes: bool) -> None:
    """A signature of 300 s passes, one second more does not; the future always does."""
    header = signing.header(BODY, SECRET, NOW - age)
    assert ours(BODY, header, SECRET, 300) is passes


@pytest.mark.parametrize(
    ("forge", "passes"),
    [
        (signing.wrong_secret, False),
        (signing.only_v0, False),
        (signing.two_v1_one_right, True),
        (signing.non_ascii, False),
        (signing.shifted_timestamp, False),
    ],
)
@pytest.mark.usefixtures("fixed_time")
def test_forgeries_are_what_they_say(
    forge: Callable[[bytes, str, int], str], *, passes: bool
) -> None:
    """Each builder's header is judged alike by both, where the official one does not crash."""
    header = forge(BODY, SECRET, NOW)
    assert ours(BODY, header, SECRET, 300) is passes
    assert official(BODY, header, SECRET, 300) in {passes, None}


def test_what_a_search_has_found() -> None:
    """A second, empty ``t`` spoils a header, as it does for the official verifier."""
    header = f"t={NOW},t,v1={signing.sign(BODY, SECRET, timestamp=NOW)}"
    assert official(BODY, header, SECRET, 0) is False
    assert ours(BODY, header, SECRET, 0) is False


def test_verification_needs_header_and_secret() -> None:
    """No header and no secret are refusals, not crashes."""
    for header, secret in ((None, SECRET), ("", SECRET), (signing.header(BODY, "", NOW), "")):
        with pytest.raises(signing.SignatureError):
            signing.verify(BODY, header, secret, now=NOW)


def test_wall_time_is_the_default() -> None:
    """Without a given time, a verifier goes by the wall clock."""
    signing.verify(BODY, signing.header(BODY, SECRET, int(time.time())), SECRET)
