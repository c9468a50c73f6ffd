"""How fast an adapter is on this machine, with a history. From the top down.

run       measures an adapter, holds it beside a baseline, and keeps what was found
page      the trend, as one HTML page
measure   times, throughput and memory of one adapter, in a process of its own
history   runs, kept in one file, a JSON object a line
"""
