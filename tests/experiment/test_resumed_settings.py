"""Which settings beside `resume=` are others than those that the run began with."""

from __future__ import annotations

import copy

import pytest

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.experiment.resume import NOT_SET, _changed


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], {}), (["trainer.keep=last"], {"trainer.keep": (NOT_SET, "last")})],
)
def test_a_run_of_before_a_setting_goes_on_by_the_words_that_began_it(
    words: list[str], expected: dict[str, tuple[object, object]]
) -> None:
    given = load_config(compose("train", words))
    stored = copy.deepcopy(dict(given.resolved))
    for name in ("keep", "fit_memory", "devices", "xla"):
        del stored["trainer"][name]
    assert _changed(stored, given, ["experiment=roads", *words, "resume=4f0c"]) == expected
