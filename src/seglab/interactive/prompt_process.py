"""The process that holds the promptable model and its sessions, so that no runtime is loaded where connections are
served, and one that dies takes no connection along."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.serving.errands import Doing, Errand


def main(line: int, words: Sequence[str]) -> None:
    """Load the model that the words name, and answer prompts with it; see `MODULE` in `interactive.prompting`."""
    doing = Doing(line)
    doing.run(lambda: _begin(json.loads(words[0])))


def _begin(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Errand]]:
    from seglab.interactive.accepted import AcceptedMasks
    from seglab.interactive.answering import Answering
    from seglab.interactive.kept_embeddings import KeptEmbeddings
    from seglab.interactive.prompt_models import MODELS, load_model
    from seglab.interactive.sessions import Sessions
    from seglab.serving.limits import Limits

    model = load_model(settings["model"], Path(settings["checkpoint"]) if settings["checkpoint"] else None)
    if MODELS[model.name].checkpoint != "none":  # else an embedding is the image itself
        model = KeptEmbeddings(model, Path(settings["embeddings"]))
    answering = Answering(Sessions(model), AcceptedMasks(Path(settings["accepted"])), Limits(**settings["limits"]))
    return {}, answering.errands()
