"""The pytest plugin, from the top down.

goldens       recorded results that tests must reproduce
gate          `pytest gate.toml`: which files are policies, and the options that name adapters
reporting     verdicts at experiment trackers
benchmarking  the candidate's speed, measured once it is judged
policies      each check of a policy is a test, and the terminal shows the verdict
result        the result of a policy, which the processes of a run share
options       options that are added only where they are used and nobody else has them
"""
