"""The words of seglab report."""

from __future__ import annotations

import pytest

from seglab.cli.report import read_words
from seglab.errors import ConfigError


def test_words_mean_what_they_say() -> None:
    request = read_words(["study=loss_study", "metric=test_iou", "cases=0", "overwrite=true", "conclusion=confirmed"])
    assert (request.study, request.metric, request.cases) == ("loss_study", "test_iou", 0)
    assert request.overwrite
    assert request.conclusion == "confirmed"
    assert not read_words(["study=loss_study"]).overwrite


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "a missing setting", id="nothing"),
        pytest.param(["loss_study"], "parse error: not a setting", id="the study alone"),
        pytest.param(["study=loss_study", "--metrc", "test_iou"], "did you mean 'metric'", id="a misspelt flag"),
        pytest.param(["study=loss_study", "overwrit=true"], "did you mean 'overwrite'", id="misspelt"),
        pytest.param(["study=loss_study", "overwrite=maybe"], "where:    overwrite", id="neither true nor false"),
        pytest.param(["study=loss_study", "cases=-1"], "where:    cases", id="fewer than none"),
        pytest.param(["study=loss_study", "conclusion=yes"], "'confirmed'", id="another answer"),
        pytest.param(["study=los_study"], "did you mean 'loss_study'", id="an unknown study"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_words(words)
    assert message in str(refused.value)
