"""The pytest plugin, from the top down.

gate     a policy is a file of tests
goldens  recorded results that must come out again
options  options that are added only where they are used and nobody else has them
"""
