"""Recipes, from the top down.

recipe    everything that determines a training run, as a validated TOML file
settings  TOML tables whose every key and value is checked
"""
