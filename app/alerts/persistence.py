"""How long what Baton sees itself has to last, by failure mode: a pure table.

An incident opens as soon as a panel is in breach: the panel's own rule (k of n windows, rows)
says what that takes. It ends later for modes that come back in waves. A panel that is read once
an hour and looks well once has not recovered, and a provider is failed back in stages.
"""

from datetime import timedelta

from app.health.evidence import Pace

# Clear windows in a row before an incident of the mode may end; else those of the panel's rule.
CLEAR_WINDOWS = {
    "input_drift": 2,
    "output_drift": 2,
    "train_serve_skew": 2,
    "feedback_loop": 3,
    "provider_degraded": 3,
    "fallback_stuck": 3,
}
LONGEST = timedelta(days=1)  # whatever the pace: then it is told


def rest(failure_mode: str, pace: Pace) -> timedelta:
    """How much longer a panel has to stay clear after its own rule said that the breach is over."""
    missing = max(0, CLEAR_WINDOWS.get(failure_mode, 1) - pace.k)
    return min(missing * pace.between, LONGEST)
