"""From a recipe to an adapter, from the top down.

train        the public function: checks that a run can start, trains, writes the adapter
progress     what a terminal shows of a run
loop         Hugging Face's Trainer with our batches, our evaluation and our checkpoints
checkpoints  the folder of a run's checkpoints: which are whole, which are kept
batches      which reviews stand in one batch
averaging    the moving average of the trained weights
run          what a run is: its input, its epoch table, when it ends, its result, and who listens to it
"""
