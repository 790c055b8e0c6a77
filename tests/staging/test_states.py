"""The ten states are made and put back, wherever whoever does it was cut off."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from harness.cli import build_app
from harness.customers import load_states
from harness.errors import StagingError
from harness.staging.keys import create_keys, revoke_keys
from harness.staging.states import Ten
from tests.staging.shop import CutOff, Place, Shop

if TYPE_CHECKING:
    from pathlib import Path

Due = dict[str, tuple[Any, ...]]
TEN = list(load_states())
OTHERS = ("ada@acme.dev", "trial@my-example.com")


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out waiting for the disk: no power fails here, and a thousand records are written."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=[True, False], ids=["lists and purges", "only closes"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    """Give a staging with two customers of somebody else's."""
    made = Shop(tmp_path, lists=request.param)
    for email in OTHERS:
        made.session.ok("create_customer", email=email, name="Ada", source="direct")
    return made


def rows(shop: Shop) -> list[dict[str, Any]]:
    """Give the rows of those who are none of ours."""
    return [dict(each) for each in shop.accounts if each["email"] in OTHERS]


def test_a_reset_makes_the_same_ten_again_and_touches_nobody_else(shop: Shop) -> None:
    """Twice in a row the same ten stand as due; who is of another domain keeps every row."""
    before = rows(shop)
    told = [Ten(shop.footing()).reset().to_json() for _ in range(2)]
    first = {"deleted": 0, "created": 10, "fixture_types": TEN}
    assert told == [first, {**first, "deleted": 10}]
    assert rows(shop) == before
    assert [each.standing for each in Ten(shop.footing()).look()] == ["as due"] * 10


def cut_off(folder: Path, at: int, place: Place, due: Due, *, lists: bool, resets: int) -> None:
    """Kill the last of so many resets at a request; reset again, and look at what there is."""
    shop = Shop(folder, lists=lists)
    shop.session.ok("create_customer", email=OTHERS[0], name="Ada", source="direct")
    before, shop.requests = rows(shop), 0
    for _ in range(resets - 1):
        Ten(shop.footing()).reset()
    last = Ten(shop.footing())
    shop.cut = (at, place)
    with pytest.raises(CutOff):
        last.reset()
    shop.cut = None
    done = Ten(shop.footing()).reset()
    found = shop.standing()
    assert found.pop("ada")[0] == "trial"
    assert found == due, f"cut off {place} request {at}"
    assert (len(done.created), done.lost) == (10, [])
    assert rows(shop) == before
    (folder / "staging.json").unlink()


def cuts(folder: Path, *, lists: bool) -> tuple[list[tuple[int, str, int]], Due]:
    """Give every request of two resets, with its kind and which of the two sends it.

    Beside it how they leave things when nobody cuts them off.
    """
    shop = Shop(folder, lists=lists)
    found: list[tuple[int, str, int]] = []
    for number in (1, 2):
        first = shop.requests + 1
        Ten(shop.footing()).reset()
        found += [(at, shop.kinds[at - 1], number) for at in range(first, shop.requests + 1)]
    (folder / "staging.json").unlink()
    return found, shop.standing()


@pytest.mark.parametrize("lists", [True, False], ids=["lists and purges", "only closes"])
def test_cut_off_at_any_step_and_run_again_it_comes_to_the_same(
    tmp_path: Path, *, lists: bool
) -> None:
    """Killed at any kind of step, the next reset makes the same ten, and no eleventh."""
    every, due = cuts(tmp_path, lists=lists)
    kinds = {kind: (at, number) for at, kind, number in reversed(every)}
    places: tuple[Place, Place] = ("after", "before")
    for turn, (at, number) in enumerate(sorted(kinds.values())):
        cut_off(tmp_path, at, places[turn % 2], due, lists=lists, resets=number)


@pytest.mark.nightly
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("lists", [True, False], ids=["lists and purges", "only closes"])
def test_cut_off_at_any_request_and_run_again_it_comes_to_the_same(
    tmp_path: Path, place: Place, *, lists: bool
) -> None:
    """Killed before or after any one request of a first or of a second reset: the same ten."""
    every, due = cuts(tmp_path, lists=lists)
    for at, _, number in every:
        cut_off(tmp_path, at, place, due, lists=lists, resets=number)


def test_what_was_cut_off_is_told(shop: Shop) -> None:
    """Who looks in between sees who is missing, and that a reset did not come to its end."""
    shop.requests, shop.cut = 0, (30, "after")
    with pytest.raises(CutOff):
        Ten(shop.footing()).reset()
    shop.cut = None
    footing = shop.footing()
    assert footing.record.under_way == "reset"
    standings = {each.standing for each in Ten(footing).look()}
    assert "missing" in standings


def test_a_seed_makes_only_who_is_missing(shop: Shop) -> None:
    """Those who stand as due are kept; somebody who differs is told, and only a reset helps."""
    done = Ten(shop.footing()).seed()
    assert (done.deleted, done.created, done.kept) == (0, TEN, [])
    again = Ten(shop.footing()).seed()
    assert (again.created, again.kept) == ([], TEN)
    entry = shop.footing().record.of("payg_active")
    assert entry is not None
    shop.accounts[int(entry.customer or 0) - 1]["units"] = 7
    with pytest.raises(StagingError, match="payg_active: units is 7, where 0 is due") as caught:
        Ten(shop.footing()).seed()
    assert "staging reset" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "Check [auth"), (403, "Check [auth"), (429, "limits are too low"), (500, "again")],
)
def test_what_stops_it_is_told_with_how_to_go_on(shop: Shop, status: int, told: str) -> None:
    """A wrong key, a limit, a fault: told with what was done so far and the next step."""
    Ten(shop.footing()).reset()
    shop.status = status
    with pytest.raises(StagingError, match="so far: 0 removed, 0 made") as caught:
        Ten(shop.footing()).reset()
    hint = caught.value.hint or ""
    listed = shop.session.target.profile.staging.customers
    assert (told if not listed or status in {429, 500} else "[staging.customers]") in hint
    shop.status = None
    assert len(Ten(shop.footing()).reset().created) == 10


def test_two_at_once_do_not_mix(shop: Shop) -> None:
    """While one is at work the other is refused, and told to wait."""
    footing = shop.footing()
    footing.record.path.parent.mkdir(exist_ok=True)
    with footing.record.alone("reset"), pytest.raises(StagingError, match="another command"):
        Ten(shop.footing()).reset()


def test_a_record_that_is_damaged_is_told(shop: Shop) -> None:
    """It is neither believed nor overwritten."""
    Ten(shop.footing()).reset()
    path = shop.footing().record.path
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("{", "utf-8")
    with pytest.raises(StagingError, match="is damaged"):
        shop.footing()


def test_nobody_of_another_domain_is_removed_whatever_the_record_says(shop: Shop) -> None:
    """A record that names somebody else's customer, by mistake or malice, removes nobody."""
    Ten(shop.footing()).reset()
    footing = shop.footing()
    footing.record.entries[0].customer, footing.record.entries[0].email = "1", OTHERS[0]
    footing.record.save()
    before = rows(shop)
    if footing.target.profile.staging.customers:
        assert len(Ten(shop.footing()).reset().created) == 10
    else:
        with pytest.raises(StagingError, match="of no test domain"):
            Ten(shop.footing()).reset()
    assert rows(shop) == before


def test_without_a_record_a_target_that_lists_is_reset_all_the_same(tmp_path: Path) -> None:
    """Whoever asks from another machine removes whom somebody else has made."""
    shop = Shop(tmp_path)
    Ten(shop.footing()).reset()
    due = shop.standing()
    (tmp_path / "staging.json").unlink()
    assert [each.standing for each in Ten(shop.footing()).look()].count("missing") == 0
    assert Ten(shop.footing()).doomed() == sorted(
        f"{s.email}@test.example.com" for s in load_states().values()
    )
    done = Ten(shop.footing()).reset()
    assert (done.deleted, shop.standing()) == (10, due)


def test_keys_are_made_and_taken_back(shop: Shop) -> None:
    """Those of the states that are named, or of all; each is noted, and revoked once."""
    with pytest.raises(StagingError, match="no customer here whose credential is known"):
        create_keys(shop.footing(), [])
    Ten(shop.footing()).reset()
    made = create_keys(shop.footing(), ["pro_active", "trial"])
    assert {each.state for each in made} == {"pro_active", "trial"}
    assert "a-key" not in repr(made)
    assert len(create_keys(shop.footing(), [])) == 10
    assert [revoke_keys(shop.footing()) for _ in range(2)] == [12, 0]


def test_a_state_that_a_target_cannot_have_is_left_out_with_its_reason(shop: Shop) -> None:
    """Without anything that moves time eight are made, and two are told."""
    footing = shop.footing()
    footing.time = None
    done = Ten(footing).reset()
    assert len(done.created) == 8
    assert set(done.left_out) == {"pro_past_due", "pro_rollover"}
    assert all("moving time" in why for why in done.left_out.values())


@pytest.mark.parametrize("command", ["staging status", "staging reset", "audit"])
def test_an_address_where_nothing_is_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A mistyped address is named, with what is up instead, and not every variable that lacks."""
    for name in [name for name in os.environ if name.startswith("STACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("STACK_BILLING_URL", "http://127.0.0.1:1")
    ended = CliRunner().invoke(build_app(), [*command.split(), "--target", "reference"])
    assert isinstance(ended.exception, SystemExit)
    assert ended.exit_code == 2
    assert "STACK_BILLING_URL=http://127.0.0.1:1" in ended.stderr
    assert "None is up on this machine" in ended.stderr
