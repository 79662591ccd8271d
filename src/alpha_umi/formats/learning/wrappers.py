"""Recovery of turn wrappers: the text around each turn of a rendered history, from texts that contain it.

Each history is known turn by turn but not how it was wrapped. Between two turns stands what closes the one
and what opens the other; pairs of kinds, votes of many rows, and what comes before and after the histories
settle where one ends and the other starts. Where several cuts give the same text, white space closes a turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from alpha_umi.errors import FormatError

_LONGEST_GAP = 200
_OCCURRENCES = 8
_WEIGHT = 40
_SHARE = 0.8
_TAIL = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Text and the turns that it is known to contain, in order."""

    group: str
    """Texts of one group go on alike after their history."""
    text: str
    turns: tuple[tuple[str, str], ...]
    """Kind and words of every turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrappers:
    """Opening and closing text of a turn, by kind; kinds that never occurred are missing."""

    opening: Mapping[str, str]
    closing: Mapping[str, str]
    joints: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Text between two kinds that together are one utterance."""


def common_end(texts: Iterable[str], share: float = _SHARE) -> str:
    """Longest common end of at least `share` of the distinct `texts`."""
    return common_start((text[::-1] for text in texts), share)[::-1]


def common_start(texts: Iterable[str], share: float = _SHARE) -> str:
    """Longest common start of at least `share` of the distinct `texts`."""
    group: list[str] = sorted(set(texts))
    least = max(1.0, share * len(group))
    length = 0
    while group:
        counts = Counter(text[length] for text in group if len(text) > length)
        if not counts:
            break
        letter, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        if count < least:
            break
        group = [text for text in group if len(text) > length and text[length] == letter]
        length += 1
    return group[0][:length] if group else ""


def recover_wrappers(chains: Sequence[Chain], joined: frozenset[tuple[str, str]] = frozenset()) -> Wrappers:
    """Recover the wrappers that explain most of the chains. Raises FormatError when the turns cannot be found."""
    gaps = _vote(chains)
    places = [(chain, at) for chain in chains if (at := _locate(chain, gaps)) is not None]
    if not places:
        raise FormatError(
            "the turns of 'history' were not found one after the other in any 'input'; "
            "is 'input' rendered from this history?"
        )
    joints = {pair: gap for pair, gap in gaps.items() if pair in joined}
    between = {pair: gap for pair, gap in gaps.items() if pair not in joined}
    return _Cut(between, _Surroundings.of(places)).wrappers(joints)


# --- finding the turns --------------------------------------------------------------------------------


def _vote(chains: Sequence[Chain]) -> dict[tuple[str, str], str]:
    """Most frequent text between two kinds; long turns count for more, since short ones also occur by chance."""
    votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for chain in chains:
        for (kind, words), (next_kind, next_words) in zip(chain.turns, chain.turns[1:], strict=False):
            if words and next_words:
                weight = min(len(words), len(next_words), _WEIGHT) ** 2
                for gap in _gaps(chain.text, words, next_words):
                    votes[kind, next_kind][gap] += weight
    return {pair: min(counts, key=lambda gap: (-counts[gap], len(gap), gap)) for pair, counts in votes.items()}


def _gaps(text: str, words: str, next_words: str) -> set[str]:
    found: set[str] = set()
    at = text.find(words)
    for _ in range(_OCCURRENCES):
        if at < 0:
            break
        end = at + len(words)
        following = text.find(next_words, end, end + _LONGEST_GAP + len(next_words))
        if following >= 0:
            found.add(text[end:following])
        at = text.find(words, at + 1)
    return found


def _locate(chain: Chain, gaps: Mapping[tuple[str, str], str]) -> tuple[int, int] | None:
    """Positions of the turns; None where they are not found, or in several places."""
    parts = [chain.turns[0][1]] if chain.turns else []
    for (kind, _), (next_kind, words) in zip(chain.turns, chain.turns[1:], strict=False):
        if (kind, next_kind) not in gaps:
            return None
        parts += [gaps[kind, next_kind], words]
    whole = "".join(parts)
    at = chain.text.find(whole)
    if not whole or at < 0 or chain.text.find(whole, at + 1) >= 0:
        return None
    return at, at + len(whole)


# --- cutting what stands between them -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """Text before the first turn (by its kind) and after the last (by group and kind)."""

    heads: Mapping[str, Sequence[str]]
    tails: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, places: Sequence[tuple[Chain, tuple[int, int]]]) -> _Surroundings:
        before: dict[tuple[str, str], list[str]] = defaultdict(list)
        after: dict[tuple[str, str], list[str]] = defaultdict(list)
        for chain, (start, end) in places:
            before[chain.turns[0][0], chain.group].append(chain.text[max(0, start - _TAIL) : start])
            after[chain.group, chain.turns[-1][0]].append(chain.text[end : end + _TAIL])
        heads: dict[str, list[str]] = defaultdict(list)
        for (kind, _), texts in sorted(before.items()):
            heads[kind].append(common_end(texts))
        return cls(heads=heads, tails={key: common_start(texts) for key, texts in after.items()})


@dataclass(frozen=True, slots=True)
class _Cut:
    """Solver that cuts every gap into a closing and an opening text, the same everywhere for one kind."""

    gaps: Mapping[tuple[str, str], str]
    surroundings: _Surroundings

    def wrappers(self, joints: Mapping[tuple[str, str], str]) -> Wrappers:
        opening: dict[str, str] = {}
        closing: dict[str, str] = {}
        for pairs in self._components():
            best = min(self._ways(pairs), key=lambda way: self._cost(way, closing), default=None)
            if best is None:
                kinds = ", ".join(sorted({kind for pair in pairs for kind in pair}))
                raise FormatError(f"what stands between the turns of 'history' ({kinds}) differs from row to row")
            opening |= best.opening
            closing |= best.closing
        self._open_the_first(opening)
        self._close_the_last(closing)
        return Wrappers(opening=opening, closing=closing, joints=joints)

    def _components(self) -> list[list[tuple[str, str]]]:
        """Pairs that share a first or a second kind must be cut together; the most connected come first."""
        rest = sorted(self.gaps)
        components: list[list[tuple[str, str]]] = []
        while rest:
            component = [rest.pop(0)]
            for first, second in component:
                linked = [pair for pair in rest if pair[0] == first or pair[1] == second]
                component += linked
                rest = [pair for pair in rest if pair not in linked]
            components.append(component)
        return sorted(components, key=lambda component: (-len(component), component))

    def _ways(self, pairs: Sequence[tuple[str, str]]) -> list[Wrappers]:
        gap = self.gaps[pairs[0]]
        ways = (self._spread(pairs, length) for length in range(len(gap) + 1))
        return [way for way in ways if way is not None and self._holds(way)]

    def _spread(self, pairs: Sequence[tuple[str, str]], length: int) -> Wrappers | None:
        """All of a component, once the first gap is cut after `length` characters."""
        closing = {pairs[0][0]: self.gaps[pairs[0]][:length]}
        opening: dict[str, str] = {}
        for _ in range(2 * len(pairs)):
            for first, second in pairs:
                gap = self.gaps[first, second]
                if first in closing and second not in opening and gap.startswith(closing[first]):
                    opening[second] = gap[len(closing[first]) :]
                elif second in opening and first not in closing and gap.endswith(opening[second]):
                    closing[first] = gap[: len(gap) - len(opening[second])]
        for first, second in pairs:
            if first not in closing or second not in opening:
                return None
            if closing[first] + opening[second] != self.gaps[first, second]:
                return None
        return Wrappers(opening=opening, closing=closing)

    def _holds(self, way: Wrappers) -> bool:
        """Return True if the text before and after the histories agrees."""
        for kind, heads in self.surroundings.heads.items():
            if kind in way.opening and not all(_ends_alike(head, way.opening[kind]) for head in heads):
                return False
        rests: dict[str, str] = {}
        for (group, kind), tail in sorted(self.surroundings.tails.items()):
            if kind not in way.closing:
                continue
            if not tail.startswith(way.closing[kind]):
                return False
            rest = tail[len(way.closing[kind]) :]
            known = rests.setdefault(group, rest)
            if not (known.startswith(rest) or rest.startswith(known)):
                return False
        return True

    def _cost(self, way: Wrappers, closing: Mapping[str, str]) -> tuple[int, int, int, int, int]:
        """Less is likelier: every turn has a label, is closed as others are, and labels start with a letter."""
        unlike = sum(not end or end not in closing.values() for end in way.closing.values()) if closing else 0
        blank = sum(start[:1].isspace() for start in way.opening.values())
        empty = sum(not start.strip() for start in way.opening.values())
        lead = common_start(way.opening.values(), 1.0) if len(way.opening) > 1 else ""
        heads = [head for heads in self.surroundings.heads.values() for head in heads]
        strange = int(bool(lead.strip()) and not any(lead in head for head in heads))
        return empty, unlike, strange, blank, sum(map(len, way.closing.values()))

    def _open_the_first(self, opening: dict[str, str]) -> None:
        """A kind that only ever came first: its label is what the heads end with, from where labels start."""
        lead = common_start(opening.values(), 1.0) if len(opening) > 1 else ""
        for kind, heads in self.surroundings.heads.items():
            if kind in opening:
                continue
            head = common_end(heads, 1.0)
            at = head.rfind(lead) if lead.strip() else -1
            opening[kind] = head[at:] if at >= 0 else last_line(head)

    def _close_the_last(self, closing: dict[str, str]) -> None:
        """A kind that only ever came last: what follows the history elsewhere ends it, or what closes others."""
        known = [end for end, _ in Counter(end for end in closing.values() if end).most_common()]
        rests = {
            group: tail[len(closing[kind]) :][:_WEIGHT]
            for (group, kind), tail in sorted(self.surroundings.tails.items())
            if kind in closing
        }
        for (group, kind), tail in sorted(self.surroundings.tails.items()):
            if kind in closing:
                continue
            at = tail.find(rests[group]) if rests.get(group) else -1
            likely = [tail[:at]] if at >= 0 else [end for end in known if tail.startswith(end)]
            closing[kind] = likely[0] if likely else tail[: len(tail) - len(tail.lstrip("\n"))]


def last_line(text: str) -> str:
    """Return the last line with its break; the one before it, too, where the last is blank."""
    ended = text.rstrip("\n")
    return text[ended.rfind("\n") + 1 :]


def _ends_alike(head: str, opening: str) -> bool:
    return head.endswith(opening) or opening.endswith(head)
