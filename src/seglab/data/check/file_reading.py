"""What is made of the files before they count: those that are left out, and masks that are read by a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seglab.data.cases import Source
from seglab.data.check.findings import Finding
from seglab.data.labels.label_map import LabelMap
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint

MANY_UNCLEAR = 0.1  # share of a mask's pixels, from which on it is hardly one of black and white
_NAMED = 3  # files in a row


def find_left_out(source: Source) -> Iterator[Finding]:
    """A row for each kind of files that lie beside those which are read: a note where most cases have one."""
    for rest in getattr(source, "left_out", ()):  # of sources that look into folders
        names = ", ".join(file.name for file in rest.files[:_NAMED]) + (", …" if len(rest.files) > _NAMED else "")
        if rest.unlabelled:
            yield Finding.of(
                "files-left-out",
                str(rest.files[0].parent),
                f"{len(rest.files)} images without a mask: {names}",
                "a mask for each image that is to be learnt from or scored",
                "nothing, if they have none; data.unlabelled=refused stops at the first",
            )
            continue
        many = f"{len(rest.files)} file{'s' if len(rest.files) > 1 else ''}"
        yield Finding.of(
            "files-left-out",
            str(rest.files[0].parent),
            f"{many} {rest.pattern or 'of other names'}: {names}",
            "files that data.images, data.masks or data.roi name",
            "nothing, if they are not to be read; if they are other masks of the same images:"
            f" data.masks='{rest.pattern}' takes them in the place of these; if regions of interest: data.roi"
            if rest.pattern
            else "rename those that belong to a case, and move the others elsewhere",
            severity="note" if rest.pattern else None,
        )


def find_thresholded(source: Source, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row that says that the masks are read by a threshold, and how clear they are: a warning where one is not."""
    labels = getattr(source, "label_map", None)  # generated cases have none
    if not isinstance(labels, LabelMap) or labels.threshold is None or not facts:
        return
    worst = max(facts, key=lambda i: facts[i].unclear)
    share = facts[worst].unclear
    mean = sum(one.unclear for one in facts.values()) / len(facts)
    yield Finding.of(
        "mask-thresholded",
        "data.mask_threshold",
        f"{len(facts)} masks are read as two classes, from a brightness of {labels.threshold:g} on; {mean:.2%} of "
        f"their pixels are nearer to it than to black or white, at most {share:.1%} ({worst})",
        f"at most {MANY_UNCLEAR:.0%} of a mask, as lossy compression and soft edges leave them",
        "look at that mask: it may be a photograph, or have more than two classes"
        if share > MANY_UNCLEAR
        else "nothing; masks in PNG with one value a pixel need no threshold",
        severity="warning" if share > MANY_UNCLEAR else None,
    )
