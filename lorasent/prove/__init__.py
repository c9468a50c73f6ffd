"""The error rates of the gate, measured on planted faults and innocent retrains (`lorasent prove`).

experiment        retrains are trained, faults are planted, and the gate judges them all
catalogue         FAULTS: how each fault is planted, and which causes are right for it
file_faults       faults of exporters and of settings, planted in the files of a healthy adapter
training_faults   faults of training data: the healthy recipe, trained on corrupted reviews
faulty_copy       a copy of a healthy adapter, its files and its manifest changed
rates             the error rates, as JSON and as text
"""
