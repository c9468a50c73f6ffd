"""The integrity checks: an adapter's directory is sound, and differs from the baseline only as the policy allows.

checks      the registry; runs each check over one side at a time, then over both
files, tensors, values, base, labels, encoding, recipe, parameters, answers    one module per check, named as the check is
probes      the adapter in memory answers its manifest's probes
comparison  both sides and the policy's settings
side        one side of a comparison, each part read once
layout      the tensors that a base's checkpoint implies
"""
