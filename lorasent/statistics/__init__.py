"""Estimates, tests and power, as functions of counts, from the top down. Nothing here knows of adapters.

power      power, minimum detectable effects, sample sizes
retrains   the spread of an accuracy over retrains, rates over pairs of them
estimates  estimates, intervals and p values of paired comparisons
latency    the ratio of two running times, measured in turns
"""
