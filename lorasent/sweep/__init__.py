"""A search over recipes, with Optuna.

results        the search's results: a table, JSON, plots, the best recipe as TOML
study          trials in several processes, resumable
confirmation   whether the best recipe is better than the starting one: fresh seeds, and the gate
search         what is searched: the ranges around a recipe, and where the study and its files are kept
workers        processes that train in parallel, and leases: which of them trains a trial, and whether it is still alive
database       the study's database: opened, waited for while it is away, and named without its password
"""
