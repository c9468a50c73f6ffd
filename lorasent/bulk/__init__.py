"""Reviews by the million, from the top down. A job is cut into shards; which engine scores them does not change a bit.

answers    texts in memory -> logits, by an engine
run        a job: planned, what is there already checked, the rest scored, summed up
engines    where work is done: processes of this machine, or actors of Ray
shards     rows of a file -> a Parquet file, named by the hash of all that determines it
model      an adapter as every worker loads it, once in each process
"""
