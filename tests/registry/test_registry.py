"""From a run to a champion: the register, the log, the card; and back."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import cv2
import pytest
from mlflow.entities import Metric
from promotable import GATE, PICTURES, made_bundle, trained
from registered_runs import bundle, log, store

from seglab.errors import TrackingError
from seglab.registry import promotion
from seglab.registry.promotion import promote, rollback
from seglab.registry.promotion_log import entries
from seglab.run_record import Artifact
from seglab.task import Task
from seglab.tracking import operations
from seglab.tracking.bundles import find_bundle
from seglab.tracking.store import Store

__all__ = ["bundle", "store"]


def test_promotion_moves_the_alias_and_rollback_moves_it_back(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7, 0.65), trained(store, bundle, 0.7, 0.8, 0.75)
    done = promote(store, store.run(first), "cells", GATE, reason="the first")
    assert (done.passed, done.version, done.former) == (True, "1", None)
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")
    version = store.client.get_model_version_by_alias
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (second, first)
    # The champion is loadable, and has its card beside the weights.
    folder = find_bundle("models:/cells@champion", store.uri, store.directory)
    card = next(folder.parents[1].rglob(Artifact.MODEL_CARD)).read_text()
    assert "| cell | 0.750 [" in card
    assert second in card
    assert "Lowest Dice: 000 (0.700)" in card
    assert version("cells", "champion").description.startswith("# Model card: cells")
    assert rollback(store, "cells", reason="complaints") == ("1", "2")
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (first, second)
    assert [(line["action"], line["run"], line["reason"]) for line in log(store)] == [
        ("promote", first, "the first"),
        ("promote", second, ""),
        ("rollback", first, "complaints"),
    ]
    assert log(store)[0]["scores"] == {"test_dice": pytest.approx(0.65)}
    assert entries(store, "cells") == log(store)


def test_the_card_states_the_licence_of_the_data_and_shows_where_the_model_fails(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.6, 0.7)

    def card() -> Path:
        folder = find_bundle("models:/cells@champion", store.uri, store.directory)
        return next(folder.parents[1].rglob(Artifact.MODEL_CARD))

    promote(store, store.run(run), "cells", GATE)
    text = card().read_text()
    assert "| licence | **not stated** |" in text
    assert "Nobody has stated the licence of the data" in text
    for picture in PICTURES:
        assert f"![{picture}]({picture})" in text.partition("## Where it fails")[2]
        shown = cv2.imread(str(card().with_name(picture)))
        assert (shown == len(picture)).all()
    promote(store, store.run(run), "cells", GATE, licence="CC BY-SA 4.0")
    stated = card().read_text()
    assert "| licence | CC BY-SA 4.0 |" in stated
    assert "The data: CC BY-SA 4.0." in stated
    assert "not stated" not in stated
    promote(store, store.run(run), "cells", GATE)  # the run has been told
    assert "The data: CC BY-SA 4.0." in card().read_text()


def test_a_bundle_that_the_run_logs_later_is_champion_when_it_is_promoted(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    promote(store, store.run(run), "cells", GATE)
    before = find_bundle("models:/cells@champion", store.uri, store.directory)
    for _ in range(3):  # MLflow lists models by random ids
        operations.log_model_folder(store.client, run, before.parents[1])
        assert find_bundle("models:/cells@champion", store.uri, store.directory) == before
    latest = find_bundle(run, store.uri, store.directory)
    assert latest != before
    assert promote(store, store.run(run), "cells", GATE).version == "2"
    assert find_bundle("models:/cells@champion", store.uri, store.directory) == latest


def test_a_champion_of_another_machine_is_not_overrun(
    store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (trained(store, bundle, value, value) for value in (0.6, 0.7, 0.65))
    promote(store, store.run(first), "cells", GATE)
    monkeypatch.setattr(promotion, "_alone", lambda *_: nullcontext())  # the lock of one machine is none on another
    held = promotion.check

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(promotion, "check", held)
        promote(store, store.run(second), "cells", GATE)
        return held(*arguments)

    monkeypatch.setattr(promotion, "check", meanwhile)
    with pytest.raises(TrackingError, match="changed from another machine meanwhile") as caught:
        promote(store, store.run(third), "cells", GATE)
    assert f"version 2, of run {second}" in str(caught.value)
    assert "promote again" in str(caught.value)
    version = store.client.get_model_version_by_alias
    assert [version("cells", alias).run_id for alias in ("champion", "previous")] == [second, first]
    assert [entry["run"] for entry in entries(store, "cells")] == [first, second]
    assert not promote(store, store.run(third), "cells", GATE).passed  # significantly worse than the new one


def test_an_entry_that_is_too_long_for_the_register_leaves_out_what_the_run_has(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    store.client.log_batch(run, metrics=[Metric(f"test_dice/class {i}", 0.5, 0, 1) for i in range(300)])
    promote(store, store.run(run), "cells", GATE, reason="many classes")
    (entry,) = entries(store, "cells")
    assert "scores" not in entry
    assert (entry["run"], entry["reason"], entry["version"]) == (run, "many classes", "1")
    assert len(log(store)[0]["scores"]) == 301


def test_a_rejected_run_changes_nothing_but_its_tags_and_the_log(store: Store, bundle: Path) -> None:
    good, bad = trained(store, bundle, 0.9, 0.9, 0.9), trained(store, bundle, 0.6, 0.7, 0.6)
    promote(store, store.run(good), "cells", GATE)
    done = promote(store, store.run(bad), "cells", GATE)
    assert (done.passed, done.version) == (False, None)
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == good
    assert len(store.client.search_model_versions("name = 'cells'")) == 1
    assert store.run(bad).data.tags["promotion"] == "REJECTED"
    assert "FAILED: test_dice not significantly worse" in store.run(bad).data.tags["promotion_reasons"]
    assert store.run(good).data.tags["promotion"] == "VALIDATED"
    assert [line["action"] for line in log(store)] == ["promote", "reject"]
    assert entries(store, "cells") == log(store)


def test_promoting_the_champion_again_keeps_its_version_and_the_previous(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    promote(store, store.run(run), "cells", GATE)
    done = promote(store, store.run(run), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "1", "1")
    with pytest.raises(TrackingError, match="nothing to roll back to"):
        rollback(store, "cells")


def test_a_run_without_a_model_is_refused(store: Store) -> None:
    run = trained(store, None, 0.9, 0.9)
    with pytest.raises(TrackingError, match="no model bundle"):
        promote(store, store.run(run), "cells", GATE)
    store.client.update_run(run, status="FAILED")
    with pytest.raises(TrackingError, match="only a finished run"):
        promote(store, store.run(run), "cells", GATE)


@pytest.mark.parametrize("names", [("cell", "background"), ("background", "cell", "wall"), ("background", "nucleus")])
def test_a_model_of_other_classes_does_not_take_the_name_over(
    store: Store, bundle: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    first = trained(store, bundle, 0.6, 0.7)
    promote(store, store.run(first), "cells", GATE)
    other = trained(store, made_bundle(tmp_path / "other", Task(2, 1, names)), 0.9, 0.9, names=names)
    done = promote(store, store.run(other), "cells", GATE)
    assert not done.passed
    assert [str(each) for each in done.checks if not each.passed] == [
        f"FAILED: channels and classes are the champion's (found 2D, 1 channel(s), {', '.join(names)})"
    ]
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    assert promote(store, store.run(other), "others", GATE).passed
