"""May this candidate replace that baseline? From the top down.

report       a verdict for people: lines for a terminal, and a page (report.html)
verdict      asks all families, settles their claims under one error rate, and returns the verdict
policy       gate.toml
families     the list of the families of checks, and the policy's tables
data, quality, calibration, cost, behaviour, triggers, golden
             a family each: its table, the names of its checks, what it asks
slices       quality by the values of a column
decisions    two classifiers' decisions on the same reviews
context      candidate, baselines, reviews and answers, read once for all families
retrains     whether several baselines are retrains of one another
integrity/   what the candidate's files must be, asked before anything else
finding      what a check found, and claims, whose outcome depends on all claims
sections     tables of a policy that belong to no family
"""
