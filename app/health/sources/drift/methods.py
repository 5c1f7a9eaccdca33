"""On which side of its threshold a method finds drift. Where that is not known, nobody guesses.

Evidently writes methods that it chose by their display name and others by their short name. What
is called a distance may be tested as a p-value: so it is with the total variation distance.
"""

from collections.abc import Callable
from operator import ge, gt, le, lt

BELOW = {  # short name, display name: how a value is compared with its threshold
    ("ks", "k-s p_value"): le,
    ("chisquare", "chi-square p_value"): lt,
    ("z", "z-test p_value"): lt,
    ("mannw", "mann-whitney u-rank test"): lt,
    ("anderson", "anderson-darling"): lt,
    ("cramer_von_mises", "cramer-von mises"): le,
    ("fisher_exact", "fisher's exact test"): lt,
    ("g_test", "g_test"): lt,
    ("es", "epps-singleton"): lt,
    ("t_test", "t_test"): lt,
    ("empirical_mmd", "empirical_mmd"): lt,
    ("tvd", "total-variation-distance"): lt,
}
ABOVE = {
    ("wasserstein", "wasserstein distance (normed)"): ge,
    ("jensenshannon", "jensen-shannon distance"): ge,
    ("psi", "psi"): ge,
    ("hellinger", "hellinger distance"): ge,
    ("kl_div", "kullback-leibler divergence"): ge,
    ("ed", "energy-distance"): gt,
}
Compare = Callable[[float, float], bool]
COMPARE: dict[str, tuple[bool, Compare]] = {
    name: (is_above, compare)
    for is_above, table in ((False, BELOW), (True, ABOVE))
    for names, compare in table.items()
    for name in names
}


def is_above(method: str) -> bool | None:
    """Whether more means drift; none if that is not known."""
    known = COMPARE.get(method.strip().lower())
    return None if known is None else known[0]


def has_drifted(method: str, value: float | None, threshold: float | None) -> bool | None:
    known = COMPARE.get(method.strip().lower())
    if known is None or value is None or threshold is None:
        return None
    return bool(known[1](value, threshold))
