"""Paging through PagerDuty: an outbox, its sender, and a sandbox pager for when there is no key."""
