"""Data of the gallery: a card per image, groups of copies, a section per issue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recolor.cleaning.gallery.near import Found


@dataclass(frozen=True, slots=True)
class Facts:
    """Size of an image, and the issues for which it is rejected; `issues` is empty if the image is kept."""

    width_px: int | None
    height_px: int | None
    size_bytes: int
    issues: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Number of pixels, then of bytes: the better copy has the larger rank."""
        return (self.width_px or 0) * (self.height_px or 0), self.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One image under one issue.

    Attributes:
        path: Path in the image folder.
        facts: Size of the image, and the issues for which it is rejected.
        score: 0..1; None for the best copy, which the others are compared with, and for an image that only
            `decisions.csv` rejects.
        reason: Reason of the issue, in a sentence.
        others: Other issues that list the image.
    """

    path: str
    facts: Facts
    score: float | None
    reason: str
    others: tuple[str, ...]

    @property
    def decoded(self) -> bool:
        """Whether the image can be decoded. If not, it is never kept, whatever the decision."""
        return self.facts.width_px is not None

    @property
    def rejected(self) -> bool:
        """Whether `select` rejects the image."""
        return bool(self.facts.issues)


@dataclass(frozen=True, slots=True)
class Group:
    """The best copy of a picture and its other copies; `left_out` more copies are not shown."""

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
        issue: Name of the issue.
        meaning: Description of its images.
        threshold: Threshold that scores were compared with.
        count: Number of outliers.
        left_out: Number of outliers that are not shown.
        outliers: Outliers, worst first; empty for duplicates, which are in `groups`.
        near: Images just above the threshold, lowest score first.
        groups: Copies side by side, most similar first.
        near_groups: Pictures just above the limit of copies.
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
    """Returns a card for each image."""
    return tuple(_card(issue, item.path, item.score, item.reason, facts[item.path]) for item in found)


def make_groups(shown: Sequence[Found], found: Sequence[Found], facts: Mapping[str, Facts]) -> tuple[Group, ...]:
    """Returns groups of copies, sorted by the least similar copy of each group.

    Args:
        shown: The copies to show, most similar first.
        found: All copies.
        facts: Facts of every image, by path.
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
    """Returns why this copy is the best: most pixels that hold detail, then most bytes, then first path."""
    pixels, size_bytes = best.rank
    if any(copy.rank[0] > pixels for copy in copies):
        return "Best copy: it has the most detail; larger copies are enlargements, or have a frame."
    rivals = [copy.size_bytes for copy in copies if copy.rank[0] == pixels]
    if not rivals:
        return "Best copy: it has the most pixels."
    if size_bytes > max(rivals):
        return "Best copy: no other copy has more pixels, and it has the most bytes."
    return "Best copy: no other copy has more pixels or bytes, and its path comes first."
