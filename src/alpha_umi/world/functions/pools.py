"""Pools of names that every domain shares, partly kept back for tests."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from alpha_umi.world.random_streams import RandomStream, random_bits

_TEST_PART = 4
"""One name in so many is kept back for tests."""
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_CONSONANTS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "w")
_CLOSED: Mapping[str, tuple[str, ...]] = {"weekday": _WEEKDAYS, "month": MONTHS}


@cache
def load_pools() -> Mapping[str, tuple[str, ...]]:
    """Pool -> its written names."""
    document = tomllib.loads((files("alpha_umi.world.functions") / "pools.toml").read_text("utf-8"))
    return {name: tuple(" ".join(entry.split()) for entry in text.split(",")) for name, text in document.items()}


def names_for(names: Sequence[str], *, train: bool) -> Sequence[str]:
    """The names of a list that a split draws from: of training all but those kept back."""
    return _seen_names(tuple(names)) if train else names


@cache
def _seen_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if random_bits("kept back", name) % _TEST_PART) or names


def draw_name(rng: RandomStream, pool: str, *, train: bool) -> str:
    """Draw a name of a pool; for tests from the names kept back, too."""
    if pool in _CLOSED:
        return rng.pick(_CLOSED[pool])
    if pool in _MADE:
        return _MADE[pool](rng, train)
    if pool in ("first_name", "surname", "city") and rng.below(6) == 0:
        return _invented(rng)
    return rng.pick(names_for(load_pools()[pool], train=train))


def _invented(rng: RandomStream) -> str:
    word = "".join(rng.pick(_CONSONANTS) + rng.pick("aeiou") for _ in range(rng.between(2, 3)))
    return (word + rng.pick(("", "n", "r", "l", "s", "th", "ck"))).capitalize()


def _person(rng: RandomStream, train: bool) -> str:
    return f"{draw_name(rng, 'first_name', train=train)} {draw_name(rng, 'surname', train=train)}"


def _company(rng: RandomStream, train: bool) -> str:
    first = _invented(rng) if rng.below(2) else draw_name(rng, "word" if rng.below(2) else "surname", train=train)
    return f"{first[:1].upper()}{first[1:]} {rng.pick(load_pools()['company_kind'])}"


def _street(rng: RandomStream, train: bool) -> str:
    name, kind = draw_name(rng, "street_name", train=train), rng.pick(load_pools()["street_kind"])
    number = f"{rng.between(1, 240)}{rng.pick(['', '', '', '', 'a', 'B'])}"
    return f"{number} {name} {kind}" if rng.below(3) else f"{name} {kind} {number}"


def _email(rng: RandomStream, train: bool) -> str:
    first, last = (draw_name(rng, pool, train=train).lower().replace("'", "") for pool in ("first_name", "surname"))
    host = draw_name(rng, "word", train=train)
    name = rng.pick([f"{first}.{last}", f"{first[0]}{last}", f"{first}{rng.between(2, 99)}", f"{last}_{first}"])
    return f"{name}@{host}.{rng.pick(load_pools()['site_ending'])}"


def _phone(rng: RandomStream, _: bool) -> str:
    country = rng.pick(["43", "351", "49", "44", "33", "48", "1", "81", "47", "39"])
    return f"+{country} {rng.between(200, 999)} {rng.between(10000, 9999999)}"


def _url(rng: RandomStream, train: bool) -> str:
    host, page = draw_name(rng, "word", train=train), rng.pick(load_pools()["file_stem"])
    path = rng.pick(["", f"/{page}", f"/{page}/{rng.between(2, 400)}", f"/{page}.html"])
    return f"https://{rng.pick(['', 'www.'])}{host}.{rng.pick(load_pools()['site_ending'])}{path}"


def _username(rng: RandomStream, train: bool) -> str:
    word = draw_name(rng, "word", train=train)
    other = draw_name(rng, "first_name", train=train).lower().replace("'", "")
    return rng.pick(
        [f"{word}{rng.between(1, 99)}", f"{other}_{word}", f"{word}.{other}", f"{other}{rng.between(1, 999)}"]
    )


def _file_name(rng: RandomStream, train: bool) -> str:
    stem, word = rng.pick(load_pools()["file_stem"]), draw_name(rng, "word", train=train)
    name = rng.pick(
        [stem, f"{stem}_{word}", f"{word}-{stem}", f"{stem}{rng.between(1, 40)}", f"{stem}_{rng.between(2019, 2029)}"]
    )
    return f"{name}.{rng.pick(load_pools()['file_ending'])}"


def _ip_address(rng: RandomStream, _: bool) -> str:
    return ".".join(str(rng.between(1, 254)) for _ in range(4))


def _date(rng: RandomStream, _: bool) -> str:
    return f"{rng.between(2024, 2029)}-{rng.between(1, 12):02}-{rng.between(1, 28):02}"


def _time(rng: RandomStream, _: bool) -> str:
    return f"{rng.between(0, 23):02}:{5 * rng.below(12):02}"


def _datetime(rng: RandomStream, train: bool) -> str:
    return f"{_date(rng, train)}T{_time(rng, train)}"


def _year(rng: RandomStream, _: bool) -> str:
    return str(rng.between(1900, 2029))


_MADE: Mapping[str, Callable[[RandomStream, bool], str]] = {
    "person": _person,
    "company": _company,
    "street": _street,
    "email": _email,
    "phone": _phone,
    "url": _url,
    "username": _username,
    "file_name": _file_name,
    "ip_address": _ip_address,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "year": _year,
}
