"""Processes that fail before they meet do not keep the others waiting. Run by `make test-jax`."""

from __future__ import annotations

import signal
import socket
import subprocess
import time

import pytest
from process_groups import ends, free_port, started

from seglab.errors import TrainingError
from seglab.runtime import process_meeting
from seglab.runtime.process_end import is_lost
from seglab.runtime.process_group import ProcessGroup

# Of one process: argv says what it does when it begins.
PROGRAM = """
import os, sys, time
from seglab.errors import ConfigError, SeglabError
from seglab.runtime.process_end import ending_together
from seglab.runtime.process_group import own_group
from seglab.runtime.process_meeting import decline, join, leave, publish, receive
group, what = own_group(), sys.argv[1]
try:
    with ending_together(group):
        if what == "fails":
            raise ConfigError("a wrong word", code="unregistered", where="trainer.epoch", remedy="password=hidden")
        if what == "exits":
            sys.exit(3)
        if what == "breaks":
            raise ValueError("token=hidden")
        if what == "declines":
            decline(group)
        else:
            print("met", join(group), flush=True)
        if what == "waits":
            receive("never")
        if what == "stays":
            leave()
        if what == "looks":
            from seglab.runtime.several_devices import chosen_devices
            print(len(chosen_devices({"": None, "1": 1, "auto": "auto"}[sys.argv[2]], 4)), flush=True)
            leave()
except SeglabError as error:
    sys.exit(error.for_terminal())
print("ended", *(name for name in os.environ if name.endswith("_proxy")), flush=True)
"""


@pytest.fixture(autouse=True)
def with_jax() -> None:
    pytest.importorskip("jax")


def group(*acts: str, coordinator: str = "", **variables: str) -> list[subprocess.CompletedProcess[str]]:
    """What became of processes that do so, within seconds."""
    since = time.monotonic()
    done = ends(started([["-c", PROGRAM, act] for act in acts], coordinator=coordinator, variables=variables))
    assert time.monotonic() - since < 50, [one.stderr[-1000:] for one in done]
    return done


@pytest.mark.parametrize(
    ("acts", "codes", "words"),
    [
        (("joins", "fails"), (2, 2), "found:    a wrong word; where: trainer.epoch; remedy: password=***"),
        (("breaks", "joins"), (1, 2), "found:    ValueError: token=***"),
        (("joins", "joins", "exits"), (2, 2, 3), "found:    SystemExit: 3"),
    ],
)
def test_who_fails_before_the_meeting_comes_to_tell(acts: tuple[str, ...], codes: tuple[int, ...], words: str) -> None:
    done = group(*acts)
    assert tuple(one.returncode for one in done) == codes, [one.stderr for one in done]
    teller = next(number for number, act in enumerate(acts) if act != "joins")
    for act, one in zip(acts, done, strict=True):
        if act == "joins":
            assert "error: another process of this run has ended, so this one ends too [process-lost]" in one.stderr
            assert f"where:    process {teller} of {len(acts)}" in one.stderr
            assert words in one.stderr
        assert "hidden" not in one.stderr.replace("ValueError: token=hidden", "").replace("password=***", "")


def test_who_has_nothing_left_to_do_lets_the_others_go() -> None:
    first, second = group("declines", "joins")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "met False" in second.stdout
    assert first.stdout.endswith("ended\n")


def test_they_meet_though_a_proxy_is_set_that_knows_none_of_them() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = group("stays", "stays", http_proxy=nowhere, https_proxy=nowhere, no_proxy="")
    for one in done:
        assert (one.returncode, "met True" in one.stdout) == (0, True), one.stderr
        set_still = one.stdout.splitlines()[-1].split()
        assert {"ended", "http_proxy", "https_proxy"} <= {*set_still}, "others may need them"
        assert "proxy" not in one.stderr


@pytest.mark.parametrize("devices", ["", "auto", "1"])
def test_unlike_numbers_of_devices_are_named_by_process(devices: str) -> None:
    done = ends(started([["-c", PROGRAM, "looks", devices]] * 2, devices=(1, 2)))
    first, second = done
    assert first.returncode == second.returncode == 2, first.stderr
    assert "error: processes that do not have the same number of devices [devices-missing]" in first.stderr
    assert "found:    1 of process 0, 2 of process 1" in first.stderr
    assert "remedy:   let each see 1" in first.stderr
    assert "[devices-missing]" in second.stderr or "[process-lost]" in second.stderr


def test_they_meet_at_an_address_of_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        port = server.getsockname()[1]
    for one in group("stays", "stays", coordinator=f"[::1]:{port}"):
        assert (one.returncode, "met True" in one.stdout) == (0, True), one.stderr


def test_a_port_that_another_program_has_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = group("joins", coordinator=f"127.0.0.1:{taken.getsockname()[1]}", SEGLAB_PROCESSES="2")[0]
    assert first.returncode == 2
    assert "error: processes that did not meet [processes-not-met]" in first.stderr
    assert "Address already in use" in first.stderr


def test_a_machine_that_does_not_know_its_own_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_meeting, "_came", False)
    monkeypatch.setattr(socket, "gethostname", lambda: "nowhere.invalid")
    with pytest.raises(TrainingError) as refused:
        process_meeting.join(ProcessGroup(2, 1, f"127.0.0.1:{free_port()}"))
    assert refused.value.code == "processes-not-met"
    assert "nowhere.invalid, the name of this machine, has no address here" in str(refused.value)


@pytest.mark.parametrize("act", ["joins", "waits"])
def test_ctrl_c_ends_who_waits_for_the_others(act: str) -> None:
    alone = act == "joins"
    processes = started([["-c", PROGRAM, act]] * (1 if alone else 2), variables={"SEGLAB_PROCESSES": "2"})
    time.sleep(8)
    processes[0].send_signal(signal.SIGINT)
    since = time.monotonic()
    done = ends(processes)
    assert time.monotonic() - since < 10
    assert done[0].returncode in (-signal.SIGINT, 130, 1), done[0].stderr
    if not alone:
        assert "[process-lost]" in done[1].stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "UNAVAILABLE: Connection reset by peer … while calling /xla.coordination.CoordinationService/GetKeyValue",
            True,
        ),
        ("FAILED_PRECONDITION: Gloo all-reduce failed: Read error [127.0.0.1]:1: Connection reset by peer", True),
        ("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.", False),
    ],
)
def test_what_jax_says_of_one_that_is_gone_is_known(
    monkeypatch: pytest.MonkeyPatch, words: str, expected: bool
) -> None:
    import jax

    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    assert is_lost(RuntimeError(words)) is expected
