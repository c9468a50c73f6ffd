"""May this candidate replace that baseline? From the top down.

waivers      findings that a file of waivers keeps from deciding, each with a reason and a last day
verdict      checks all families and returns the verdict: outcome, exit code, JSON
proposal     facts -> a policy with comments, whose margin the reviews can resolve
facts        what `lorasent init` finds out about adapters and reviews
policy       gate.toml, and the list of the families of checks
triggers     a family: words that change the candidate's labels alone
data         a family: reviews that repeat or trained an adapter, baselines that answer alike
quality      a family: the metric, overall and by slice, its floor, a bank of retrains
calibration  a family: proper scores of the probabilities
cost         a family: operations, bytes, latency
behaviour    a family: test cases that newly fail
golden       a family: recorded predictions
context      candidate, baselines, reviews and answers, read once for all families
retrains     whether several baselines are retrains of one another
decisions    two classifiers' decisions on the same reviews
integrity/   checks of the candidate's files, which run before all others
finding      the result of a check; `settle` decides claims on samples: PASS, BLOCK or INCONCLUSIVE
sections     tables of a policy that belong to no family
"""
