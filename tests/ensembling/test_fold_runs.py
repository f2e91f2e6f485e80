"""Only a whole cross-validation is chosen among; what lacks or does not belong is named."""

from __future__ import annotations

import pytest
from recorded_runs import CASES, Recorder, level

from seglab.data.splits import Split
from seglab.ensembling.fold_runs import gather
from seglab.errors import DataError, TrackingError

FOLDS = 3


def split_of(fold: int, shift: int = 0) -> Split:
    tested = [case for number, case in enumerate(CASES) if (number + shift) % FOLDS == fold]
    return Split(tuple(case for case in CASES if case not in tested), (), tuple(tested))


def recorded(
    recorder: Recorder, study: str, fold: int | None, model: str = "UNet", split: Split | None = None, **more: str
) -> str:
    split = split or split_of(fold or 0)
    given = {} if fold is None else {"data.fold": str(fold), "data.folds": str(FOLDS)}
    digest = {"split": split.digest()} | more
    run = recorder.run(
        level(0.8, cases=list(split.test)),
        model=model,
        params=given,
        tags={"parameters": "2000" if model == "UNet" else "500"},
        experiment=study,
        **digest,
    )
    recorder.store.client.log_text(run, split.to_json(), "config/split.json")
    return run


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    return Recorder(tmp_path_factory.mktemp("store") / "mlruns")


def refused(recorder: Recorder, study: str, code: str) -> DataError:
    with pytest.raises(DataError) as error:
        gather(recorder.store, study=study)
    assert error.value.code == code
    return error.value


def test_a_whole_cross_validation_is_gathered_by_configuration_and_fold(recorder: Recorder) -> None:
    runs = {
        (model, fold): recorded(recorder, "whole", fold, model) for model in ("UNet", "Small") for fold in range(FOLDS)
    }
    newer = recorded(recorder, "whole", 1)
    found = gather(recorder.store, study="whole")
    assert [one.parameters for one in found.configurations] == [500, 2000]
    assert "Small" in found.configurations[0].label
    assert {fold: run.id for (fold, _), run in found.configurations[1].runs.items()} == {
        0: runs["UNet", 0],
        1: newer,
        2: runs["UNet", 2],
    }
    assert found.places == [(0, "0"), (1, "0"), (2, "0")]
    assert found.splits[2, "0"] == split_of(2)
    assert sorted(found.groups) == CASES
    assert "1 older run(s) of a fold are left out" in found.notes[0]


def test_missing_and_failed_folds_are_named(recorder: Recorder) -> None:
    recorded(recorder, "missing", 0)
    recorded(recorder, "missing", 1)
    failed = recorded(recorder, "missing", 2, status="FAILED")
    error = refused(recorder, "missing", "ensemble-folds")
    assert "fold 2 of seed 0" in error.found
    assert f"{failed[:8]} (UNet_DiceLoss_Adam, seed 0) FAILED" in error.found
    assert "the same sweep again" in error.remedy


def test_runs_without_folds_on_other_data_and_other_splits_are_refused(recorder: Recorder) -> None:
    for fold in range(FOLDS):
        recorded(recorder, "mixed", fold)
    stray = recorded(recorder, "mixed", None, "Stray")
    assert stray[:8] in refused(recorder, "mixed", "ensemble-folds").found
    recorder.store.client.delete_run(stray)
    for fold in range(FOLDS):
        recorded(recorder, "mixed", fold, "Small", split_of(fold, shift=1))
    assert "fold 0" in refused(recorder, "mixed", "ensemble-splits").what
    recorded(recorder, "mixed", 0, data="data-b")
    assert "data-b" in refused(recorder, "mixed", "ensemble-data").found


def test_a_case_that_is_tested_twice_or_was_trained_on_is_refused(recorder: Recorder) -> None:
    for fold, shift in ((0, 0), (1, 0), (2, 1)):
        recorded(recorder, "leaking", fold, split=split_of(fold, shift))
    assert "tested in fold 1 and in fold 2" in refused(recorder, "leaking", "ensemble-leak").found


def test_a_split_or_a_table_that_is_gone_is_named(recorder: Recorder) -> None:
    runs = [recorded(recorder, "gone", fold) for fold in range(FOLDS)]
    (folder,) = recorder.store.directory.glob(f"artifacts/*/{runs[1]}/artifacts")
    (folder / "test_cases.csv").unlink()
    assert "was deleted" in refused(recorder, "gone", "ensemble-folds").found
    (folder / "config" / "split.json").unlink()
    with pytest.raises(TrackingError, match="an artifact that is gone"):
        gather(recorder.store, study="gone")
