"""Search over recipes, with Optuna.

outcome         what was found: table, JSON, plots, the best recipe as TOML
confirmation    is the best recipe better, or was it lucky? fresh seeds, and the gate
study           trials in several processes, resumable
claims          who trains a trial, and whether they still do
space           what is searched
team            processes that train beside each other
"""
