"""Training reviews in other words, from the top down.

preservation  whether labels hold: an adapter answers reviews before and after
ways          the ways of changing a review without changing its label
english       sentences and words: negations, opinions, contrasts (lexicon.toml)
"""
