"""The integrity checks: an adapter's directory has no faults, and differs from the baseline only as the policy allows.

checks      the registry; runs each check over one side at a time, then over both
answers     a check: the adapter in memory answers as it did when it was trained
probes      measures the answers to the manifest's probes
files       a check: the files are those that the manifest lists
tensors     a check: the tensors are those that configuration and base imply
values      a check: numbers are finite and have an effect
base        a check: the base is the baseline's
labels      a check: the labels and their order
encoding    a check: tokenizer, truncation, padding
recipe      a check: PEFT's configuration and the recipe
parameters  a check: how many numbers are trained
comparison  both sides, each part read once, and the policy's settings
layout      the tensors that a base's checkpoint implies
"""
