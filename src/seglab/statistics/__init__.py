"""Methods × seeds × cases: which is best, and is it more than luck? Arrays in, numbers out."""

from seglab.statistics.differences import LEVEL
from seglab.statistics.intervals import mean_interval
from seglab.statistics.power import Power, expected_maximum, power
from seglab.statistics.ranking import Difference, Ranking, Standing, compare_pair, pairwise_differences, rank_methods

__all__ = [
    "LEVEL",
    "Difference",
    "Power",
    "Ranking",
    "Standing",
    "compare_pair",
    "expected_maximum",
    "mean_interval",
    "pairwise_differences",
    "power",
    "rank_methods",
]
