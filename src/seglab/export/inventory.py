"""What a target is made of: its software bill of materials as CycloneDX 1.6, and the licences of what runs it."""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

# Packages that a target needs to run as it was proved, and those that made it.
RUNS_WITH = {
    "openvino": ("openvino", "numpy"),
    "onnx": ("onnxruntime", "numpy"),
    "litert": ("ai-edge-litert", "numpy"),
    "savedmodel": ("tensorflow", "numpy"),
}
MADE_WITH = {
    "openvino": ("tensorflow", "keras", "openvino"),
    "onnx": ("tensorflow", "keras", "tf2onnx", "onnx"),
    "litert": ("tensorflow", "keras"),
    "savedmodel": ("tensorflow", "keras"),
}
_LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)[^/]*$", re.IGNORECASE)
_LARGEST = 500_000


def versions_of(names: tuple[str, ...]) -> dict[str, str]:
    """Of installed packages."""
    return {name: found.version for name in names if (found := _found(name)) is not None}


def _found(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def bill_of_materials(
    name: str, networks: Mapping[str, Mapping[str, str]], format: str, int8: bool, architecture: str = ""
) -> dict[str, Any]:
    """The CycloneDX document of a target; the same for the same target.

    Args:
        name: of the target.
        networks: SHA-256 of every file of each network, by the folder of the network within that of the target: "." of
            the one that answers, and of a cascade that of its first stage.
        format: that they have.
        int8: whether they were quantised.
        architecture: of the one that answers, where it is known.
    """
    made = (*MADE_WITH[format], *(("nncf",) if int8 and format == "openvino" else ()))
    components = [_component(one, "required") for one in RUNS_WITH[format]]
    components += [_component(one, "excluded") for one in made if one not in RUNS_WITH[format]]
    packages = [one for one in components if one]
    models = {place: _network(name if place == "." else f"{name}/{place}", files) for place, files in networks.items()}
    answering = models.pop(".")
    card: dict[str, str] = {"task": "semantic segmentation"}
    answering["modelCard"] = {"modelParameters": card | ({"modelArchitecture": architecture} if architecture else {})}
    needed = [one["bom-ref"] for one in packages]
    whole = hashlib.sha256("".join(sorted(file for one in networks.values() for file in one.values())).encode())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{name}:{whole.hexdigest()}')}",
        "version": 1,
        "metadata": {
            "component": answering,
            "tools": {"components": [{"type": "application", "name": "seglab", **_versioned("seglab")}]},
        },
        "components": [*models.values(), *packages],
        "dependencies": [
            {"ref": answering["bom-ref"], "dependsOn": [*(one["bom-ref"] for one in models.values()), *needed]},
            *({"ref": one["bom-ref"], "dependsOn": needed} for one in models.values()),
        ],
    }


def _network(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """A model with its files; its version says which weights it has."""
    digest = hashlib.sha256("".join(f"{files[file]}  {file}\n" for file in sorted(files)).encode()).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}",
        "name": name,
        "version": digest[:12],
        "components": [
            {"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": files[file]}]}
            for file in sorted(files)
        ],
    }


def _versioned(name: str) -> dict[str, str]:
    found = _found(name)
    return {"version": found.version} if found else {}


def _component(name: str, scope: str) -> dict[str, Any]:
    found = _found(name)
    if found is None:
        return {}
    metadata: Any = found.metadata
    expression = metadata.get("License-Expression")
    words = (metadata.get("License") or "").strip().splitlines()
    licences: list[dict[str, Any]] = []
    if expression:
        licences = [{"expression": expression}]
    elif words:
        licences = [{"license": {"name": words[0][:100]}}]
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{found.version}",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version}",
        "scope": scope,
        **({"licenses": licences} if licences else {}),
    }


def copy_licences(format: str, folder: Path) -> None:
    """Put the licence files of the packages that run a target into `LICENSES/<package>/`."""
    for name in RUNS_WITH[format]:
        found = _found(name)
        for file in (found.files or []) if found else []:
            source = Path(str(file.locate()))
            if _LICENCE.search(str(file)) and source.is_file() and source.stat().st_size <= _LARGEST:
                target = folder / "LICENSES" / name / source.name
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
