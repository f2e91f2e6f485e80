"""What ties two splits together: groups, the same images, near-duplicates, slices or frames of one sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import mannwhitneyu

from seglab.data.cases import SPLIT_NAMES, Case, natural_key
from seglab.data.check.duplicates import DuplicateSearch
from seglab.data.check.findings import Finding
from seglab.data.check.kept_results import KeptResults
from seglab.data.check.shrinking import evenly
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.splits import Split
from seglab.runtime.waiting import step

# A flat picture sets hardly any bit, or all: its hash says nothing.
_FEWEST_SET_BITS = 6
# Where neighbours by name lie in different splits, how often they are more alike than cases of different splits that
# are so many places apart, and the rank test's p. Measured over 200 random splits: slices of ISBI 2012 at least 0.98
# (neighbours differ in 11 to 26 bits, a median of 15; cases farther apart in 31), frames of CamVid 0.75; volumes of the
# hippocampus task, which are independent, at most 0.64.
_APART = range(5, 21)
_ALIKE, _BY_CHANCE = 0.7, 1e-3
# Of the neighbouring pairs that cases dealt one by one would put into different splits (measured on ISBI: 0.67 to 1.34
# of it; whole videos of CamVid: 0.01). Blocks of five leave a fifth.
_TORN_PAIRS = 0.5
_SHOWN = 3  # images named in a row
# Pairs that are compared before a training, some 12 s of one core; `seglab check-data` compares all.
MOST_COMPARED = 10_000_000


def torn_groups(split: Split, cases: Sequence[Case]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Of each group that lies in several splits, its cases in each of them; empty for a split without a leak."""
    group_of = {case.id: case.group for case in cases}
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in SPLIT_NAMES:
        for case_id in getattr(split, name):
            inside = parts.setdefault(group_of[case_id], {})
            inside[name] = (*inside.get(name, ()), case_id)
    return {group: inside for group, inside in sorted(parts.items()) if len(inside) > 1}


def find_torn_groups(split: Split, cases: Sequence[Case]) -> Iterator[Finding]:
    """A row for each group that lies in several splits."""
    for group, parts in torn_groups(split, cases).items():
        yield Finding.of(
            "group-in-two-splits",
            f"group {group}",
            ", ".join(f"{len(ids)} in {name} (such as {ids[0]})" for name, ids in parts.items()),
            "all cases of a group in one split, or the score is of what training has all but seen",
            "leave the data set's own split: data.customary_split=false where there is such a setting, or data.fold=0 "
            "for folds over groups; or list the group in one split",
        )


def find_same_images(split: Split, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row for each two splits that hold equal images, by the hash of their decoded values."""
    holders: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, case_id in _not_flat(split, facts):
        holders[facts[case_id].image_hash][name].append(case_id)
    for one, other in combinations(SPLIT_NAMES, 2):
        pairs = [(parts[one][0], parts[other][0]) for parts in holders.values() if one in parts and other in parts]
        if pairs:
            yield Finding.of(
                "same-image-in-two-splits",
                f"{one} and {other}",
                f"{len(pairs)} images in both: " + _shown([f"{a} = {b}" for a, b in pairs]),
                "an image in one split, once",
                "remove the copies, or give them one group (data.group_pattern)",
            )


def find_similar_images(
    split: Split, facts: Mapping[str, CaseFingerprint], answers: KeptResults | None = None, *, thorough: bool = True
) -> list[Finding]:
    """A row for each two splits of which images show the same thing: see `seglab.data.check.duplicates`.

    Args:
        split: which case is for what.
        facts: of its cases.
        answers: where an answer is kept for the next time.
        thorough: compare all images. Otherwise, of more than `MOST_COMPARED` pairs, a sample of those held out, which a
            row says; unless the whole answer is known.
    """
    ids: dict[str, list[str]] = {name: [] for name in SPLIT_NAMES}
    for name, case_id in _not_flat(split, facts):
        ids[name].append(case_id)
    if sum(map(bool, ids.values())) < 2:
        return []
    answers = answers or KeptResults(None)
    question = [[len(getattr(split, name)), *((i, facts[i].image_hash) for i in ids[name])] for name in SPLIT_NAMES]
    pairs = [(one, other) for one, other in combinations(SPLIT_NAMES, 2) if ids[one] and ids[other]]
    sampled = sum(len(ids[one]) * len(ids[other]) for one, other in pairs) > MOST_COMPARED
    if not thorough and sampled:
        known = answers.known(question)
        if known is not None:
            return known
        most = {other: MOST_COMPARED // len(pairs) // len(ids[one]) for one, other in reversed(pairs)}
        held = {name: evenly(ids[name], max(most.get(name, 1), 1)) for name in ids}
        return answers.of(["sample", question], lambda: _similar(split, facts, ids, held))
    return answers.of(question, lambda: _similar(split, facts, ids, ids))


def _similar(
    split: Split,
    facts: Mapping[str, CaseFingerprint],
    ids: Mapping[str, Sequence[str]],
    held: Mapping[str, Sequence[str]],
) -> list[Finding]:
    """The rows, with `held` of each split compared with all of those before it."""
    order = [case_id for name in SPLIT_NAMES for case_id in ids[name]]
    row_of = {case_id: row for row, case_id in enumerate(order)}
    rows = {name: np.array([row_of[i] for i in ids[name]], np.int64) for name in SPLIT_NAMES}
    asked = {name: np.array([row_of[i] for i in held[name]], np.int64) for name in SPLIT_NAMES}
    findings = []
    with step("looking for the same image in two splits"):
        known = [facts[case_id] for case_id in order]
        likeness = DuplicateSearch([f.detail for f in known], [f.shape for f in known], [f.image_hash for f in known])
        for one, other in combinations(SPLIT_NAMES, 2):
            matches = likeness.matches(asked[other], rows[one]) if ids[one] and ids[other] else []
            if not matches:
                continue
            limit = likeness.limit
            usual = "" if np.isnan(limit.usual) else f"; unrelated images of this set: {limit.usual:.2f} (median)"
            whole = len(getattr(split, other)) if len(held[other]) == len(ids[other]) else len(held[other])
            findings.append(
                Finding.of(
                    "similar-image-in-two-splits",
                    f"{one} and {other}",
                    f"{len(matches)} of {whole} {other} images look like one of {one}: "
                    + _shown(
                        [f"{order[m.held]} ~ {order[m.known]} ({m.relation}, {m.agreement:.2f})" for m in matches]
                    ),
                    f"an agreement below {limit.agreement:.2f} of the details of images in two splits, however they "
                    f"are laid over each other{usual}",
                    "look at the pairs (seglab explore); keep in one split what belongs together, by "
                    "data.group_pattern or, for slices and frames in a row, data.block_size; or leave one of a pair "
                    "out; if they are not alike after all, data.allow=[similar-image-in-two-splits]",
                )
            )
    out, total = (sum(len(part[name]) for name in ("val", "test")) for part in (held, ids))
    if out < total:
        findings.append(
            Finding.of(
                "near-duplicates-sampled",
                "val and test",
                f"{out:,} of {total:,} images were compared with those of other splits; equal ones were looked for "
                "among all",
                f"all of them: if one in a hundred had a twin in another split, {0.99**out:.1%} of such samples "
                "would hold none",
                "seglab check-data with the same words compares all, once: later runs know its answer",
            )
        )
    return findings


def find_torn_sequences(split: Split, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row when the order of the names is one of slices or frames, and the splits cut it at every other place.

    Neighbours that lie in different splits are much more alike there than cases of different splits elsewhere, though
    not so much as `find_similar_images` asks for. Of cases that are merely sorted by kind, 25 or more of each, those a
    few places apart are as alike as neighbours.
    """
    split_of = {case_id: name for name, case_id in _with_usable_hash(split, facts)}
    ids = sorted(split_of, key=natural_key)
    looks = np.array([facts[case_id].look for case_id in ids], np.uint64)
    parts = np.array([SPLIT_NAMES.index(split_of[case_id]) for case_id in ids])
    torn = np.flatnonzero(parts[1:] != parts[:-1])
    shares = np.bincount(parts) / len(ids) if ids else np.zeros(1)
    by_chance = (1 - float(np.square(shares).sum())) * (len(ids) - 1)
    near = np.bitwise_count(looks[torn + 1] ^ looks[torn])
    lags = [n for n in _APART if n < len(ids)]
    far = np.concatenate([near[:0], *(np.bitwise_count(looks[n:] ^ looks[:-n])[parts[n:] != parts[:-n]] for n in lags)])
    if len(torn) <= _TORN_PAIRS * by_chance or not len(far):
        return
    ranks = mannwhitneyu(near, far, alternative="less")
    if ranks.pvalue >= _BY_CHANCE or 1 - ranks.statistic / (len(near) * len(far)) < _ALIKE:
        return
    shown = [f"{ids[n]} in {split_of[ids[n]]}, {ids[n + 1]} in {split_of[ids[n + 1]]}" for n in torn]
    yield Finding.of(
        "sequence-across-splits",
        "neighbours by name",
        f"{len(torn)} of {len(ids) - 1} pairs lie in different splits and look alike (a median of {np.median(near):g} "
        f"of 64 bits apart, {np.median(far):g} of cases farther off): {'; '.join(shown[:_SHOWN])}"
        + ("; …" if len(shown) > _SHOWN else ""),
        f"fewer than {_TORN_PAIRS * by_chance:.0f} such pairs: slices of a stack and frames of a film stay together, "
        "or the score is of what training has all but seen",
        "data.block_size=5 keeps so many consecutive cases together, data.group_pattern those of one name; if the "
        "cases are no sequence after all, nothing",
    )


def _with_usable_hash(split: Split, facts: Mapping[str, CaseFingerprint]) -> Iterator[tuple[str, str]]:
    """Split and id of every case whose hash says something."""
    for name, case_id in _not_flat(split, facts):
        if _FEWEST_SET_BITS <= facts[case_id].look.bit_count() <= 64 - _FEWEST_SET_BITS:
            yield name, case_id


def _not_flat(split: Split, facts: Mapping[str, CaseFingerprint]) -> Iterator[tuple[str, str]]:
    """Split and id of every case whose image holds more than one value: any two black images are equal."""
    for name in SPLIT_NAMES:
        for case_id in getattr(split, name):
            if case_id in facts and not facts[case_id].flat:
                yield name, case_id


def _shown(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")
