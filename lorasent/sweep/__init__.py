"""A search over recipes, with Optuna.

results        the search's results: a table, JSON, plots, the best recipe as TOML
study          trials in several processes, resumable
confirmation   whether the best recipe is better than the starting one: fresh seeds, and the gate
leases         which process trains a trial, and whether it is still alive
search         what is searched, and where the study and its files are kept
processes      processes that train in parallel
space          the ranges of the search
"""
