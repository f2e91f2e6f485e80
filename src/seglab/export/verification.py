"""Whether an exported folder is what it says, from the folder alone and without TensorFlow.

python -m seglab.export.verification <folder> [<public key>]; exit code 1 when it is not.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from seglab.errors import DataError, SeglabError
from seglab.export.accuracy import AGREEMENT, LOGIT, MARGIN, RESIZED_AGREEMENT
from seglab.export.examining import compare_logits
from seglab.export.folder import ANSWER, GIVEN, IMAGE, MASK, Exported, read_folder, targets_below
from seglab.export.signing import check_signature
from seglab.safety.shown_text import shown

# Of int8 kernels: what another processor may round differently.
_INT8_AGREEMENT = 0.995


def verify(folder: Path | str, public_key: Path | None = None, tell: Callable[[str], None] = print) -> None:
    """See that every target below a folder is what it says: digests, form, precision, and what it answers.

    Args:
        folder: of one target, or of several.
        public_key: Ed25519 in PEM; with it, a target without that key's signature is refused.
        tell: called with one line a target.

    Raises:
        DataError: the first thing that is not so, with the file's name.
        ConfigError: a runtime that is not installed.
    """
    for place in targets_below(folder):
        if public_key is not None:
            check_signature(place, public_key)
        exported = read_folder(place)
        if exported.runtime == "savedmodel":
            tell(f"{place.name}: its files are those that were exported; it was not run, as that needs TensorFlow")
            continue
        try:
            stages = [exported] if (first := exported.first_stage) is None else [first, exported]
            result = "; ".join(map(_run, stages))
        except (SeglabError, OSError):
            raise
        except Exception as error:  # whatever a runtime or an array says of files that nobody signed
            raise DataError(
                "an example that the model cannot be run on",
                code="exported-model-differs",
                where=str(place),
                found=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
                expected="the arrays and the model that were exported",
                remedy="copy the folder again from where it was exported, or export it again",
            ) from error
        tell(f"{place.name}: {result}")


def _run(exported: Exported) -> str:
    """Run the example through the target; returns a line of text about the result."""
    network, target = exported.open(), exported.manifest["target"]
    if network.precision != target["executed"]:
        raise _other(
            exported,
            "a model that is not executed in the precision that it was proved in",
            exported.manifest["file"],
            network.precision,
            target["executed"],
        )
    answer = network.run(exported.array(GIVEN)).copy()
    expected = exported.array(ANSWER)
    if answer.shape != expected.shape:
        raise _other(exported, "a model of another shape", ANSWER, answer.shape, expected.shape)
    task, mask = exported.bundle.task, exported.array(MASK)
    if exported.end_to_end:
        agreement = float((answer == expected).mean())
        _at_least(exported, "class ids", agreement, _INT8_AGREEMENT if exported.int8 else RESIZED_AGREEMENT)
        return f"{network.precision}; {agreement:.4%} of the example's pixels as they were exported"
    largest, other, labels, margin = compare_logits(answer, expected, task, exported.bundle.threshold)
    most = max(LOGIT, min(MARGIN, float(target.get("logit", 0))))  # a manifest is data: it cannot allow more
    if not exported.int8 and not largest <= most:
        raise _other(
            exported, "logits that are not those of the example", ANSWER, f"{largest:.2g} apart", f"{most:.2g}"
        )
    if not exported.int8 and other and margin >= MARGIN:
        raise _other(exported, "a class that is not that of the example", ANSWER, f"margin {margin:.2g}", f"{MARGIN:g}")
    lowest = _INT8_AGREEMENT if exported.int8 else AGREEMENT
    _at_least(exported, "labels", 1 - other / labels, lowest)
    predictor = exported.predictor(network=network)
    found = predictor.predict(exported.array(IMAGE), predictor.example_spacing)
    _at_least(exported, "mask", float((found == mask).mean()), lowest)
    return f"{network.precision}; logits of the example within {largest:.2g}, {other} of {labels} labels differ"


def _at_least(exported: Exported, what: str, agreement: float, lowest: float) -> None:
    if agreement < lowest:
        raise _other(
            exported,
            f"a model whose {what} are not those of the example",
            MASK,
            f"{agreement:.4%} equal",
            f"{lowest:.2%}",
        )


def _other(exported: Exported, what: str, file: str, found: object, expected: object) -> DataError:
    return DataError(
        what,
        code="exported-model-differs",
        where=str(exported.folder / file),
        found=found,
        expected=str(expected),
        remedy="use the runtime's version that the manifest names, or export again on this kind of machine",
    )


def _unreadable(error: OSError, folder: str) -> DataError:
    return DataError(
        "a file of an exported folder that cannot be read",
        code="file-unreadable",
        where=str(error.filename or folder)[:200],
        found=error.strerror or str(error),
        expected="the files that were exported, to the bit",
        remedy="see who may read it, or copy the folder again from where it was exported",
    )


def verify_apart(folder: Path | str, public_key: Path | None = None) -> tuple[int, str]:
    """`verify` in a process of its own, which has not loaded TensorFlow; returns its exit code and its message."""
    words = [str(folder), *([str(public_key)] if public_key else [])]
    done = subprocess.run(
        [sys.executable, "-m", "seglab.export.verification", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout.strip()


def main(words: Sequence[str]) -> int:
    """Verify and say so; returns the exit code."""
    try:
        verify(words[0], Path(words[1]) if len(words) > 1 else None, lambda line: print(shown(line), flush=True))
    except SeglabError as error:
        print(error.for_terminal(), file=sys.stderr)
        return 1
    except OSError as error:
        print(_unreadable(error, words[0]).for_terminal(), file=sys.stderr)
        return 1
    assert "tensorflow" not in sys.modules
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
