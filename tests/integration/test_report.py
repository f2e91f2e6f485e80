"""Reports of studies on real stores: what stands in the README, what is kept, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mounts import needs_mounts, small, within
from recorded_runs import level
from studies import Bench

from seglab.comparison.settings import CompareSettings
from seglab.errors import ConfigError, TrackingError
from seglab.reports.comparison.compare import compare, open_runs
from seglab.reports.study.page_record import BEGIN, END, TO_BE_WRITTEN
from seglab.reports.study.write_report import write_report
from seglab.run_record import Artifact, Tag

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PATH", str(tmp_path))  # no browser: to print takes seconds
    return Bench(tmp_path)


@pytest.fixture
def ids(bench: Bench) -> dict[tuple[str, int], str]:
    means = {"DiceLoss": 0.6, "FocalLoss": 0.7}
    return {(loss, seed): bench.run(loss, mean, seed) for loss, mean in means.items() for seed in (0, 1)}


def table_row(text: str, beginning: str) -> list[str]:
    line = next(line for line in text.splitlines() if re.match(rf"\| \**{re.escape(beginning)}", line))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_number_is_that_of_the_store(bench: Bench, ids: dict[tuple[str, int], str]) -> None:
    bench.report()
    text = bench.readme
    means = [np.mean(list(level(0.7)(seed).values())) for seed in (0, 1)]
    best = table_row(text, "UNet_FocalLoss_Adam")
    assert best[:3] == [
        "**UNet_FocalLoss_Adam**",
        "best",
        f"**{np.mean(means):.3f} ± {np.std(means, ddof=1):.3f}**",
    ]
    assert best[3:] == ["", "", "40 s", ", ".join(ids["FocalLoss", seed][:8] for seed in (0, 1))]
    settings = CompareSettings(study="grid")
    found = compare(settings, open_runs(settings, bench.recorder.store.directory))
    row = found.variants.set_index("variant").loc["UNet_DiceLoss_Adam"]
    worse = table_row(text, "UNet_DiceLoss_Adam")
    assert worse[1] == "worse"
    low, high = row["difference_low"], row["difference_high"]
    assert worse[3] == f"−{-row['difference']:.3f} [−{-low:.3f}, −{-high:.3f}]"
    effect = found.effects.iloc[0]
    change = table_row(text, "loss | FocalLoss")
    assert change[1] == "FocalLoss instead of DiceLoss"
    assert f"+{effect['difference']:.3f}" in change[3]
    assert all(run_id in text for run_id in ids.values())
    # four runs of a minute each, begun a millisecond apart, 90 s of processor time each
    assert table_row(text, "wall time")[1] == "4.0 min in all, 60 s a run"
    assert table_row(text, "processor time")[1] == "6.0 min in all"
    assert table_row(text, "first start")[1].startswith("60 s, from 2023-11-14 22:13 UTC")
    assert table_row(text, "code")[1] == "abcdef012345"
    assert table_row(text, "machine")[1] == "not recorded"


def test_question_and_command_are_those_of_the_study_and_what_varies_is_of_the_runs(
    bench: Bench, ids: dict[tuple[str, int], str]
) -> None:
    bench.report()
    assert "\nDoes the focal loss win, and is that luck?\n" in bench.readme
    assert "```\n# the command of these runs is not recorded; the configuration of each is, config/config.yaml\n" in (
        bench.readme
    )
    assert "\nseglab report study=grid\n```" in bench.readme
    assert "| loss | DiceLoss, FocalLoss |\n| seed | 0, 1 |\n" in bench.readme


def test_the_note_says_what_it_cannot_know_and_holds_the_conclusion(
    bench: Bench, ids: dict[tuple[str, int], str]
) -> None:
    files = bench.report()
    assert [file.name for file in files if file.parent == bench.folder] == ["README.md", "note.md", "note.html"]
    note = (bench.folder / "note.md").read_text()
    assert note.startswith("# grid: Does the focal loss win, and is that luck?\n")
    titles = re.findall(r"^## \d+\. ([\w ]+)", note, re.MULTILINE)
    for wanted in ("Question", "Answer", "Data", "Approaches", "Architectures", "Training", "Limits", "Next steps"):
        assert wanted in titles
    assert "UNet is not drawn: the run has no model bundle." in note
    assert "Not written yet" in note
    assert "4 of 4 runs had their best val_dice in the last epoch" in note
    assert "12 test cases are few" in note
    readme = bench.readme.replace(TO_BE_WRITTEN, "Yes, it **wins**:\nby far.\n- `a`\n- b")
    (bench.folder / "README.md").write_text(readme)
    bench.report()
    assert "\nYes, it wins: by far.\n\n- a\n\n- b\n" in (bench.folder / "note.md").read_text()


def test_jobs_that_were_never_begun_are_counted_over_all_sweeps(bench: Bench) -> None:
    """Jobs 0 to 3 and 2 to 5, of which 0 and 2 have run; the second is a search of 5, one of them not yet named."""
    client = bench.recorder.store.client
    parents = []
    for jobs, total in ((range(4), 4), (range(2, 6), 5)):
        tags = {"sweep_digest": "d", Tag.SWEEP_JOBS: str(total), "study": "grid", "launcher": "local"}
        tags |= {"launcher_jobs": "2", "launcher_threads": "1"}
        parents.append(client.create_run(bench.recorder.store.experiment_id("seglab"), tags=tags).info.run_id)
        listed = [{"job": job, "overrides": [f"seed={job}"], "identity": str(job)} for job in jobs]
        client.log_text(parents[-1], json.dumps(listed), Artifact.SWEEP_JOBS)
    for job, parent, loss in ((0, 0, "DiceLoss"), (2, 1, "FocalLoss")):
        run = bench.run(loss, 0.6, 0)
        client.set_tag(run, "mlflow.parentRunId", parents[parent])
        client.set_tag(run, "job_identity", str(job))
    bench.report()
    assert "5 jobs were never begun" in (bench.folder / "note.md").read_text()
    assert table_row(bench.readme, "launcher")[1] == "local, 2 jobs at once, 1 thread each"
    assert table_row(bench.readme, "at one time")[1] == "up to 2 runs on one machine"


def test_a_sweep_that_does_not_say_how_it_was_launched(bench: Bench, ids: dict[tuple[str, int], str]) -> None:
    client = bench.recorder.store.client
    parent = client.create_run(bench.recorder.store.experiment_id("seglab"), tags={"study": "grid"}).info.run_id
    client.set_tag(ids["DiceLoss", 0], "mlflow.parentRunId", parent)
    bench.report()
    assert table_row(bench.readme, "launcher")[1] == "not recorded"


def test_times_of_runs_that_shared_the_machine_are_marked(bench: Bench) -> None:
    for n, (loss, seed) in enumerate([("DiceLoss", 0), ("DiceLoss", 1), ("FocalLoss", 0), ("FocalLoss", 1)]):
        bench.run(loss, 0.6, seed, begun=60 * n)
    bench.report()
    assert "| train time of a run |" in bench.readme
    assert "⚠" not in bench.readme
    bench.run("FocalLoss", 0.6, 2, begun=30)
    bench.report()
    assert "| train time of a run ⚠ |" in bench.readme
    assert "⚠ Up to 2 of these runs ran at the same time on one machine" in bench.readme


def test_what_a_person_has_concluded_is_kept_and_the_rest_written_anew(
    bench: Bench, ids: dict[tuple[str, int], str]
) -> None:
    bench.report()
    first = bench.readme
    assert f"{BEGIN}\n{TO_BE_WRITTEN}\n{END}" in first
    concluded = "The focal loss wins.\n\n- by a tenth, for **every** seed | really"
    (bench.folder / "README.md").write_text(first.replace(TO_BE_WRITTEN, concluded))
    bench.report()
    above = first.replace(TO_BE_WRITTEN, concluded).rpartition("<!--")[0]
    assert bench.readme.rpartition("<!--")[0] == above
    bench.run("DiceLoss", 0.6, 2)
    bench.report()
    assert f"{BEGIN}\n{concluded}\n{END}" in bench.readme
    assert table_row(bench.readme, "runs |")[1] == "5 finished"


@needs_mounts
def test_a_full_disk_does_not_cost_the_conclusion(
    bench: Bench, ids: dict[tuple[str, int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.report()
    (bench.folder / "README.md").write_text(bench.readme.replace(TO_BE_WRITTEN, "The focal loss wins."))
    before = {path.relative_to(bench.folder): path.read_bytes() for path in bench.folder.rglob("*") if path.is_file()}
    kept = shutil.copytree(bench.folder, bench.studies / "kept")
    bench.run("DiceLoss", 0.6, 2)
    code = (
        "import sys; from pathlib import Path; from seglab.reports.study.write_report import write_report; "
        "from seglab.errors import run_script; run_script(lambda: write_report('grid', directory=Path(sys.argv[1]), "
        "studies=Path(sys.argv[2]), cases=0) and None)"
    )
    pages = sum(-(-len(content) // 4096) for content in before.values())
    mount = f"{small(bench.folder, f'{4 * (pages + 1)}k')} && cp -r {kept}/. {bench.folder}"
    command = [sys.executable, "-c", code, str(bench.recorder.store.directory), str(bench.studies)]
    copy = bench.studies / "copy"
    copy.mkdir()
    monkeypatch.setenv("PATH", os.defpath)
    status, output = within(mount, command, after=f"cp -r {bench.folder}/. {copy}")
    assert status == 2, output
    assert "error: the report cannot be written" in output
    assert "No space left on device" in output
    assert {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_writing_again_changes_no_byte(bench: Bench, ids: dict[tuple[str, int], str]) -> None:
    files = bench.report()
    before = {path: path.read_bytes() for path in files if path.suffix != ".pdf"}
    bench.report()
    assert {path: path.read_bytes() for path in before} == before


def test_pictures_are_there_linked_and_small(bench: Bench, ids: dict[tuple[str, int], str]) -> None:
    bench.report()
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", bench.readme)
    assert {Path(name).stem for name in linked} == {"curves", "cases"}
    for name in linked:
        assert 1000 < (bench.folder / name).stat().st_size <= 150_000


def test_unfinished_runs_are_listed(bench: Bench, ids: dict[tuple[str, int], str]) -> None:
    failed = bench.run("DiceLoss", 0.6, 2, status="FAILED")
    going = bench.run("DiceLoss", 0.6, 3, status="RUNNING")
    bench.report()
    assert table_row(bench.readme, "runs |")[1] == "4 finished, 1 failed, 1 running"
    assert table_row(bench.readme, failed)[3] == "FAILED"
    assert table_row(bench.readme, going)[3] == "RUNNING"


@pytest.mark.parametrize("marks", ["", BEGIN, END + "\n" + BEGIN, f"{BEGIN}\n{BEGIN}\n{END}"])
def test_a_readme_of_somebody_elses_is_not_written_over(
    bench: Bench, ids: dict[tuple[str, int], str], marks: str
) -> None:
    (bench.folder / "README.md").write_text(f"# Mine\n{marks}\n")
    with pytest.raises(ConfigError, match="would be written over"):
        bench.report()
    assert bench.readme == f"# Mine\n{marks}\n"


def test_an_unknown_study_names_those_that_are_there(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="did you mean 'grid'"):
        write_report("gird", directory=bench.recorder.store.directory, studies=bench.studies)


def test_a_study_without_finished_runs_says_what_became_of_them(bench: Bench) -> None:
    bench.run("DiceLoss", 0.6, 0, status="FAILED")
    with pytest.raises(TrackingError, match="1 FAILED"):
        bench.report()
    assert not (bench.folder / "README.md").exists()


def test_a_study_that_was_never_run(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="no run of this study"):
        bench.report()


def test_one_run_is_no_study(bench: Bench) -> None:
    bench.run("DiceLoss", 0.6, 0)
    with pytest.raises(TrackingError, match="too few runs"):
        bench.report()


def test_a_study_without_a_question_is_refused(bench: Bench) -> None:
    (bench.folder / "study.yaml").write_text("# @package _global_\n# seglab train -m experiment=grid\na: 1\n")
    with pytest.raises(ConfigError, match="without a question"):
        bench.report()


def test_the_command_tells_mistakes_in_one_message(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "scripts" / "report.py"), "study=no_such", f"runs={tmp_path}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: an unknown study")
    assert "loss_study" in done.stderr
    assert "Traceback" not in done.stderr
