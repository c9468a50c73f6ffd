"""From a recipe to an adapter, from the top down.

train      the public function: checks that a run can start, trains, writes the adapter
progress   what a terminal shows of a run
loop       Hugging Face's Trainer with our batches, our evaluation and our checkpoints
tracked    a run at experiment trackers
averaging  the moving average of the trained weights
run        a run's input, checkpoints and result: epoch table, early stopping, the best epoch, listeners
ranks      the processes of a run, and what they exchange
"""
