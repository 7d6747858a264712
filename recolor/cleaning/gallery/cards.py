"""What the gallery is made of: a card for an image, groups of copies, a section for an issue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recolor.cleaning.gallery.near import Found


@dataclass(frozen=True, slots=True)
class Facts:
    """What the measurements, and the last selection, say of an image; `issues` is empty if it was kept."""

    width_px: int | None
    height_px: int | None
    size_bytes: int
    issues: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Pixels, then bytes: what makes one copy better than another."""
        return (self.width_px or 0) * (self.height_px or 0), self.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One image as one issue shows it.

    Attributes:
        path: Its path in the image folder.
        facts: Its size, and what the last selection made of it.
        score: 0..1; None for the best copy, which the others are compared with.
        reason: Why, in a sentence.
        others: Other issues that list it.
    """

    path: str
    facts: Facts
    score: float | None
    reason: str
    others: tuple[str, ...]

    @property
    def decoded(self) -> bool:
        """Whether it can be decoded: what cannot be is never kept, whatever is decided."""
        return self.facts.width_px is not None

    @property
    def rejected(self) -> bool:
        """Whether the last selection rejected it."""
        return bool(self.facts.issues)


@dataclass(frozen=True, slots=True)
class Group:
    """The best copy of a picture and its other copies, of which `left_out` more are not shown."""

    best: Card
    copies: tuple[Card, ...]
    left_out: int

    @property
    def cards(self) -> tuple[Card, ...]:
        """The best copy, then the others."""
        return self.best, *self.copies


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One issue.

    Attributes:
        issue: Its name.
        meaning: What it lists.
        threshold: What scores were compared with.
        count: How many outliers it lists.
        left_out: How many of them are not shown.
        outliers: Worst first; none for duplicates, which are in `groups`.
        near: Not listed, but nearly; least score first.
        groups: Copies side by side, the surest first.
        near_groups: Pictures that are nearly copies.
    """

    issue: str
    meaning: str
    threshold: float
    count: int
    left_out: int
    outliers: tuple[Card, ...] = ()
    near: tuple[Card, ...] = ()
    groups: tuple[Group, ...] = ()
    near_groups: tuple[Group, ...] = ()

    @property
    def cards(self) -> Iterator[Card]:
        """Every card, in the order of the page."""
        yield from self.outliers
        yield from self.near
        for group in (*self.groups, *self.near_groups):
            yield from group.cards


def make_cards(issue: str, found: Sequence[Found], facts: Mapping[str, Facts]) -> tuple[Card, ...]:
    """A card for each image that an issue found."""
    return tuple(_card(issue, item.path, item.score, item.reason, facts[item.path]) for item in found)


def make_groups(shown: Sequence[Found], found: Sequence[Found], facts: Mapping[str, Facts]) -> tuple[Group, ...]:
    """Copies beside the best of them, by the least alike of each group.

    Args:
        shown: The copies to show, most alike first.
        found: All copies there are.
        facts: Of every image.
    """
    copies, shown_copies = _by_best(found), _by_best(shown)
    surest_first = sorted(shown_copies.items(), key=lambda item: (item[1][-1].score, item[0]))
    return tuple(_group(best, some, copies[best], facts) for best, some in surest_first)


def _group(best: str, shown: Sequence[Found], copies: Sequence[Found], facts: Mapping[str, Facts]) -> Group:
    reason = _advantage(facts[best], [facts[copy.path] for copy in copies])
    first = _card("duplicate", best, None, reason, facts[best])
    return Group(first, make_cards("duplicate", shown, facts), len(copies) - len(shown))


def _card(issue: str, path: str, score: float | None, reason: str, facts: Facts) -> Card:
    others = tuple(other for other in facts.issues if other not in (issue, "decision"))
    return Card(path=path, facts=facts, score=score, reason=reason, others=others)


def _by_best(found: Sequence[Found]) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for copy in found:
        groups.setdefault(copy.kept_path or "", []).append(copy)
    return groups


def _advantage(best: Facts, copies: Sequence[Facts]) -> str:
    """Why this copy is the best: most pixels, then most bytes, then first path."""
    pixels, size_bytes = best.rank
    rivals = [copy.size_bytes for copy in copies if copy.rank[0] == pixels]
    if not rivals:
        return "Best copy: most pixels."
    if size_bytes > max(rivals):
        return "Best copy: no other has more pixels, and it has most bytes."
    return "Best copy: no other has more pixels or bytes, and its path comes first."
