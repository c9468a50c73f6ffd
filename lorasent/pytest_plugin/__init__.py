"""The pytest plugin, from the top down.

gate     `pytest gate.toml`: each check of a policy is a test
goldens  recorded results that tests must reproduce
result   what a policy came to, and what the terminal shows of it
options  options that are added only where they are used and nobody else has them
"""
