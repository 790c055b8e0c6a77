"""Currencies: which there are, which have no minor unit, and the least that can be charged."""

from dataclasses import dataclass

from simulators.stripe.errors import BadParameters, InvalidRequest
from simulators.stripe.forms import Raw

ZERO_DECIMAL = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)

TWO_DECIMAL = frozenset(
    [
        "usd",
        "aed",
        "all",
        "amd",
        "ang",
        "aoa",
        "ars",
        "aud",
        "awg",
        "azn",
        "bam",
        "bbd",
        "bdt",
        "bgn",
        "bmd",
        "bnd",
        "bob",
        "brl",
        "bsd",
        "bwp",
        "byn",
        "bzd",
        "cad",
        "cdf",
        "chf",
        "cny",
        "cop",
        "crc",
        "cve",
        "czk",
        "dkk",
        "dop",
        "dzd",
        "egp",
        "etb",
        "eur",
        "fjd",
        "fkp",
        "gbp",
        "gel",
        "gip",
        "gmd",
        "gtq",
        "gyd",
        "hkd",
        "hnl",
        "htg",
        "huf",
        "idr",
        "ils",
        "inr",
        "isk",
        "jmd",
        "kes",
        "kgs",
        "khr",
        "kyd",
        "kzt",
        "lak",
        "lbp",
        "lkr",
        "lrd",
        "lsl",
        "mad",
        "mdl",
        "mkd",
        "mmk",
        "mnt",
        "mop",
        "mur",
        "mvr",
        "mwk",
        "mxn",
        "myr",
        "mzn",
        "nad",
        "ngn",
        "nio",
        "nok",
        "npr",
        "nzd",
        "pab",
        "pen",
        "pgk",
        "php",
        "pkr",
        "pln",
        "qar",
        "ron",
        "rsd",
        "rub",
        "sar",
        "sbd",
        "scr",
        "sek",
        "sgd",
        "shp",
        "sle",
        "sos",
        "srd",
        "std",
        "szl",
        "thb",
        "tjs",
        "top",
        "try",
        "ttd",
        "twd",
        "tzs",
        "uah",
        "ugx",
        "uyu",
        "uzs",
        "wst",
        "xcd",
        "yer",
        "zar",
        "zmw",
    ]
)

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_MINIMUM_MINOR = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1_500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17_500, "inr": 50, "jpy": 50, "mxn": 1_000,
    "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50,
    "thb": 1_000, "usd": 50,
}  # fmt: skip
_MAXIMUM_MINOR = 99_999_999


@dataclass(frozen=True)
class Currency:
    """A parameter that names a currency, in any case."""

    def read(self, raw: Raw, path: str) -> str:
        """Return the code in small letters."""
        code = raw.lower() if isinstance(raw, str) else ""
        if code not in ZERO_DECIMAL | TWO_DECIMAL:
            raise BadParameters(
                f"Invalid currency: {str(raw)[:20]}. Stripe currently supports these currencies: "
                f"{', '.join(sorted(ZERO_DECIMAL | TWO_DECIMAL))}",
                param=path,
            )
        return code


def format_money(amount_minor: int, currency: str) -> str:
    """Return the amount as Stripe's sentences have it.

    >>> format_money(1050, "usd"), format_money(500, "jpy")
    ('$10.50', '¥500')
    """
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, "")
    if currency in ZERO_DECIMAL:
        return f"{symbol}{amount_minor}"
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{symbol}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def minimum_minor(currency: str) -> int:
    """Return the least amount that can be charged."""
    return _MINIMUM_MINOR.get(currency, 1)


def check_chargeable(amount_minor: int, currency: str) -> None:
    """Raise Stripe's error for an amount outside what can be charged."""
    minimum = minimum_minor(currency)
    if amount_minor < minimum:
        raise InvalidRequest(
            f"Amount must be at least {format_money(minimum, currency)} {currency}",
            code="amount_too_small",
            param="amount",
        )
    if amount_minor > _MAXIMUM_MINOR:
        raise InvalidRequest(
            f"Amount must be no more than {format_money(_MAXIMUM_MINOR, currency)} {currency}",
            code="amount_too_large",
            param="amount",
        )
