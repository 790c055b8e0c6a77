"""The rate limit: one key sends more than an hour's allowance, and is refused from there on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import TargetError
from harness.target.wire import Reply
from suites.load.scenarios import crowd
from suites.load.scenarios.base import Base, pick
from suites.load.schedule import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result
    from suites.load.scenarios import Options

_TOO_MANY = 429  # RFC 6585, section 4
_BEYOND = 50
_LIMIT_MAX = 5000
_RATE_MAX = 250.0


class RateLimit(Base):
    """Sends a limit's worth of requests and some more, one after the other, over one connection."""

    name: ClassVar[str] = "rate-limit"
    help: ClassVar[str] = "More than an hour's allowance on one key: the next is refused, and told."
    needs: ClassVar[frozenset[str]] = frozenset({"create_customer", "get_balance"})
    rate: ClassVar[float] = 50.0
    connections: ClassVar[int] = 1
    wants_limits: ClassVar[bool] = True
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {
        "requests": (0, f"requests in all; 0 means the limit and {_BEYOND} more"),
    }
    objectives: ClassVar[tuple[str, ...]] = ("errors.ratio<0.01",)

    def __init__(self) -> None:
        super().__init__()
        self.limit = 0
        self._answered = 0
        self._customer: Any = None

    def meet(self, ground: LoadGround) -> None:
        """Learn the limit. Raises `TargetError` where the profile states none that can be tried."""
        limit = ground.target.profile.limits.get("api_per_hour")
        if limit is None or limit > _LIMIT_MAX:
            told = "states none" if limit is None else f"states {limit}"
            raise TargetError(
                f"the limit of a key cannot be tried: the profile {told}",
                hint=f"Say api_per_hour in [limits], {_LIMIT_MAX} at most, as the target has it.",
            )
        self.limit = limit

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Give one stage for all requests; in the closed model one user sends them."""
        self.model = options.model
        self.own |= self.wanted(options.extra)
        count = self.own["requests"] or self.limit + _BEYOND
        rate = self.rate if options.rate is None else options.rate
        if options.model == "closed":
            return (Stage(options.duration_s or count / rate, 1.0),)
        return (Stage(options.duration_s or count / rate, rate),)

    def resized(self, stages: tuple[Stage, ...], scale: float) -> tuple[Stage, ...]:
        """Send as many in less time: fewer would not reach the limit."""
        faster = min(1 / scale, _RATE_MAX / stages[0].rate) if self.model == "open" else 1.0
        self.stages = tuple(
            Stage(stage.duration_s / faster, stage.rate * faster) for stage in stages
        )
        return self.stages

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Make the customer whose allowance is spent."""
        (customer,) = crowd.many(ground, 1, crowd.sign_up)
        self._customer = customer
        return {"customers": crowd.ids([customer]), "limit": self.limit}

    def arrive(self, k: int, client: Client) -> None:
        """Read once more, and hold what the answer says of the limit against the profile."""
        customer = pick(client, "customers", 0)
        client.perform("get_balance", kind="read", customer=customer, expect=("ok", "refused"))
        reply = client.last_reply
        if not isinstance(reply, Reply):
            return
        # What was dropped, or had no answer, may be counted there or not; and what other workers
        # send, before or after.
        last = k if client.workers == 1 else max(k, client.data["limit"])
        numbers = range(min(self._answered, k), last + 1)
        self._answered += 1
        refused = reply.status == _TOO_MANY
        client.count("limit_refused" if refused else "limit_passed")
        limit = client.data["limit"]
        if refused and numbers[-1] < limit:
            client.count("limit_refused_early")
        if not refused and numbers[0] >= limit:
            client.count("limit_passed_late")
        if told := _wrongly_told(reply, limit, numbers, refused=refused):
            client.count("limit_headers_wrong")
            client.fail(f"headers: {told}")

    def review(self, ground: LoadGround, result: Result) -> list[dict[str, Any]]:
        """Tell where the limit is not where it is said to be; ask once more, which is refused."""
        counts = result.counters
        passed = counts.get("limit_passed", 0)
        found = []
        if passed > self.limit:
            told = f"{passed} requests of one key passed in an hour, where {self.limit} may"
            found.append({"what": told, "verdict": "invalid"})
        unheard = max(0, result.scheduled - passed - counts.get("limit_refused", 0))
        fell_short = passed + unheard < self.limit and "limit_refused" in counts
        if counts.get("limit_refused_early") or fell_short:
            told = f"the limit struck after {passed} requests, before the {self.limit} it is said"
            found.append({"what": told, "verdict": "invalid"})
        if counts.get("limit_headers_wrong"):
            told = f"{counts['limit_headers_wrong']} answers tell another limit than is enforced"
            found.append({"what": told, "verdict": "invalid"})
        if not counts.get("limit_refused"):
            told = f"the limit of {self.limit} was not reached: {passed} requests passed"
            return [*found, {"what": told, "verdict": "unknown"}]
        session = ground.aside("load/rate-limit")
        session.patient = False
        session.perform("get_balance", customer=self._customer)
        last = session.last_reply
        if isinstance(last, Reply) and last.status != _TOO_MANY:
            told = f"after the limit, a request was answered {last.status} again"
            found.append({"what": told, "verdict": "invalid"})
        return found


def _wrongly_told(reply: Reply, limit: int, numbers: range, *, refused: bool) -> str | None:
    """Say what of the customary fields fits none of the numbers that the request may have.

    `X-RateLimit-Limit`, `-Remaining`, and `Retry-After` on a refusal (RFC 9110, 10.2.3).
    """
    if refused and not (reply.header("Retry-After") or "").isdigit():
        return f"Retry-After is {reply.header('Retry-After')!r} on a refusal"
    told, left = (_number(reply, name) for name in ("Limit", "Remaining"))
    if told is not None and told != limit:
        return f"the limit is told as {told}"
    least, most = (max(0, limit - number - 1) for number in (numbers[-1], numbers[0]))
    if left is not None and not least <= left <= most:
        due = f"{most}" if least == most else f"{least} to {most}"
        return f"{left} are told to remain, where {due} do"
    return None


def _number(reply: Reply, name: str) -> int | None:
    text = reply.header(f"X-RateLimit-{name}") or ""
    return int(text) if text.isdigit() else None
