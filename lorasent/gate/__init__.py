"""May this candidate replace that baseline? From the top down.

report       a verdict for people: lines for a terminal, and a page (report.html)
verdict      asks all families, settles their claims under one error rate, and returns the verdict
policy       gate.toml
families     the list of the families of checks, and the policy's tables
triggers     a family: words that change the candidate's labels alone
data         a family: what the reviews and the answers to them allow to say
quality      a family: the metric, its floor, a bank of retrains
calibration  a family: proper scores of the probabilities
cost         a family: operations, bytes, latency
behaviour    a family: test cases that newly fail
golden       a family: recorded predictions
context      candidate, baselines, reviews and answers, read once for all families
retrains     whether several baselines are retrains of one another
slices       quality by the values of a column
decisions    two classifiers' decisions on the same reviews
integrity/   what the candidate's files must be, asked before anything else
finding      what a check found, and claims, whose outcome depends on all claims
sections     tables of a policy that belong to no family
"""
