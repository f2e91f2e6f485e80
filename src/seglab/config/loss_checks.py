"""Settings of a loss that cannot mean anything; asked by the config and by the losses themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seglab.errors import ConfigError


def check_class_weights(weights: Sequence[float], classes: int, names: Sequence[str] = ()) -> None:
    """Refuse class weights that are not one for each class, 0 or more, one of them positive.

    Raises:
        ConfigError: see above.
    """
    if len(weights) != classes or min(weights) < 0 or max(weights) <= 0:
        raise ConfigError(
            "class weights do not fit the task",
            code="class-weights-mismatch",
            where="loss.class_weights",
            found=list(weights),
            expected=f"{classes} numbers of 0 or more, not all 0: one for each of "
            + (", ".join(names) or "the classes, background first"),
            remedy=f"loss.class_weights=[{','.join(['1.0'] * classes)}], or null, weighs all classes alike",
        )


def check_prices(alpha: float, beta: float) -> None:
    """Refuse a Tversky loss for which neither a false alarm nor a miss costs anything.

    Raises:
        ConfigError: see above.
    """
    if alpha == 0 and beta == 0:
        raise ConfigError(
            "false positives and false negatives both weigh 0",
            code="zero-penalty",
            where="loss.alpha, loss.beta",
            found="0 and 0",
            expected="a positive weight of the false positives, of the false negatives, or of both",
            remedy="for example loss.alpha=0.3 loss.beta=0.7",
        )


def check_terms(terms: Mapping[str, float]) -> None:
    """Refuse a sum of losses of which every weight, by its key, is 0.

    Raises:
        ConfigError: see above.
    """
    if not any(terms.values()):
        raise ConfigError(
            "a loss without terms",
            code="loss-without-terms",
            where=", ".join(f"loss.{key}" for key in terms),
            found="all 0",
            expected="a positive weight for one of them",
            remedy=f"loss.{next(iter(terms))}=1.0",
        )
