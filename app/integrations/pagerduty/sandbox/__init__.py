"""The sandbox pager: our own stateful stand-in for PagerDuty, with its contract and its refusals.

Pages go to it while no PagerDuty key is set up, and tests drive it with the real client.
"""

from app.integrations.pagerduty.sandbox.app import SandboxPager, create_sandbox
from app.integrations.pagerduty.sandbox.faults import Fault, Trouble

__all__ = ["Fault", "SandboxPager", "Trouble", "create_sandbox"]
