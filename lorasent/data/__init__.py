"""Labelled reviews: where they come from, and slices of them."""
