"""A policy that tests judge by."""

POLICY = """
[data]
test = "embedded:test"
sample = 200
[integrity]
truncation_side = "left"
[quality]
margin = 0.10
slices = ["length", "tags"]
[behaviour]
cases = "embedded"
[calibration]
[cost]
"""
"""A policy of every family but goldens, on 200 embedded reviews."""
