"""Recipes: everything that determines a training run, as TOML."""
