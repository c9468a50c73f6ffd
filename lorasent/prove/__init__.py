"""How often is the gate wrong? Real faults are planted, innocent twins trained, and both are judged (`lorasent prove`)

proof.py       the experiment: members, twins, planted faults, verdicts, the two error rates
catalogue.py   the faults by name: how each is planted, and what names it rightly
exports.py     faults of exporters and settings, planted in the files of a healthy adapter
trainings.py   faults of training: an adapter trained by the recipe on reviews that something went wrong with
"""
