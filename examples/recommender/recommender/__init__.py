"""A shop's "similar items": a small recommender, run, watched and broken on purpose."""
